"""Ask a registry what its clients ask, for a monitor: one exchange must fail, and one succeed."""

import argparse
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.cli.command import FAILED, MISUSED, CommandError, say
from pytp_broker.client.ambient import find_identity, is_job, read_identity
from pytp_broker.client.locations import Location
from pytp_broker.client.transport import send
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    from pytp_broker.client.probing import Check, FindIdentity

_NO_IDENTITY: Final = (
    "SKIP exchange   no identity token: run in a CI job, or give --identity-token-file"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Exits with 0 if every answer is as it must be, else with 1. It publishes nothing, and "
        "burns the token that it gets. An index URL, which ends in /simple/, probes the exchange "
        "for reading, which takes the same identity token many times."
    )
    parser.add_argument(
        "--url",
        required=True,
        metavar="URL",
        help="the upload URL of the registry, as in https://packages.example.com/acme/legacy/, or "
        "its index URL",
    )
    parser.add_argument(
        "--identity-token-file",
        type=Path,
        metavar="FILE",
        help="a file with an identity token to exchange (default: the CI job's, if this is one)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print each check; return 1 if one has failed. Raises CommandError."""
    from pytp_broker.client.probing import Probe
    from pytp_broker.client.registry import read_trusted_urls

    location = Location.parse(arguments.url)
    if location is None:
        raise CommandError(
            f"{printable(arguments.url)} is not the URL of a registry; it looks like "
            "https://packages.example.com/acme/legacy/",
            MISUSED,
        )
    finder = _finder(arguments.identity_token_file)
    checks = []
    for check in Probe(location, send, finder, read_trusted_urls(os.environ)).run():
        checks.append(check)
        if not arguments.json:
            say(_line(check))
    is_good = all(check.is_good for check in checks)
    if arguments.json:
        print(json.dumps({"url": arguments.url, "good": is_good, "checks": _describe(checks)}))
    elif finder is None:
        say(_NO_IDENTITY)
    return 0 if is_good else FAILED


def _finder(file: Path | None) -> "FindIdentity | None":
    """Return what finds an identity token for an audience; None where there can be none."""
    if file is not None:
        return partial(read_identity, file)
    if not is_job(os.environ):
        return None
    return lambda audience: find_identity(audience, os.environ, send)


def _line(check: "Check") -> str:
    outcome = "OK" if check.is_good else "FAIL"
    line = f"{outcome:<4} {check.name:<9} {check.milliseconds:>5} ms  {check.detail}"
    return line.rstrip()


def _describe(checks: "list[Check]") -> list[dict[str, object]]:
    return [
        {
            "name": check.name,
            "good": check.is_good,
            "milliseconds": check.milliseconds,
            "detail": check.detail,
        }
        for check in checks
    ]
