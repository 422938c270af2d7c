"""The credentials for a host that a user keeps in a netrc file."""

import netrc
import os
from collections.abc import Mapping
from pathlib import Path


def find_in_netrc(host: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what netrc has for this very host; its `default` is not for a host that is named."""
    named = environ.get("NETRC")
    paths = [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]
    for path in (each.expanduser() for each in paths):
        try:
            found = netrc.netrc(os.fspath(path)).hosts.get(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if found is not None:
            return found[0] or found[1] or "", found[2] or ""
    return None
