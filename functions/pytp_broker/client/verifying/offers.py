"""Read which files a project's page of the simple API offers, since when, and what is linked.

PEP 700 has the time, and PEP 740 the link to attestations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pytp_broker.client.verifying.targets import Target, target_named
from pytp_broker.provenance.receipts import read_time

_INDEX: Final = "the index"


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that an index offers, when it was uploaded, and whether it links attestations."""

    target: Target
    uploaded_at: datetime
    is_attested: bool


def read_offers(document: Mapping[str, Any]) -> Iterator[Offered]:
    """Yield the files of a page; what is not a distribution with a hash and a time is left out."""
    files: Any = document.get("files")
    for file in files if isinstance(files, list) else ():
        offered = _read_offer(file) if isinstance(file, dict) else None
        if offered is not None:
            yield offered


def _read_offer(file: Mapping[str, Any]) -> Offered | None:
    name, hashes, time = (file.get(each) for each in ("filename", "hashes", "upload-time"))
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(name, str) or not isinstance(sha256, str) or not isinstance(time, str):
        return None
    target = target_named(name, sha256, None, _INDEX, Path())
    try:
        uploaded_at = read_time(time)
    except ValueError:
        return None
    is_attested = isinstance(file.get("provenance"), str)
    return Offered(target, uploaded_at, is_attested) if isinstance(target, Target) else None
