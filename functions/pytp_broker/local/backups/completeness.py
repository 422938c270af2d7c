"""What a backup lacks: bytes that published files need, and bytes that are not what they should be.

``backup`` says it when it makes one, ``backup --verify`` when it reads one, and ``restore`` when it
has made a folder of one. In each case all else is there.
"""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytp_broker.local.backups.databases import needed_keys
from pytp_broker.local.backups.manifest import FILES, Manifest

# Keys that name the hash of their bytes.
_HASHED: Final = re.compile("(?:files|receipts|attestations)/[^/]+/([0-9a-f]{64})/[^/]+")
_METADATA: Final = ".metadata"


def find_lacks(database: Path, manifest: Manifest) -> Iterator[str]:
    """Yield a sentence for each key of a published file that has no bytes, or wrong ones.

    ``database`` is that of the backup, or of the folder that was made of it.
    """
    yield from _find_missing(database, manifest)
    for key, entry in manifest.files.items():
        named = _HASHED.fullmatch(key)
        if named and not key.endswith(_METADATA) and named[1] != entry.sha256:
            yield f"{FILES}/{key} was damaged before it was copied"


def _find_missing(database: Path, manifest: Manifest) -> Iterator[str]:
    try:
        missing = [key for key in needed_keys(database) if key not in manifest.files]
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        yield "the records of published files are damaged"
        return
    yield from (f"{FILES}/{key} is missing, and a published file needs it" for key in missing)
