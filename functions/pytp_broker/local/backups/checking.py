"""Check a backup by reading all of it."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytp_broker.local.backups.copying import hash_file, held
from pytp_broker.local.backups.databases import is_sound, needed_keys
from pytp_broker.local.backups.manifest import DATABASES, FILES, Manifest, read_manifest

# Keys that name the hash of their bytes.
_HASHED: Final = re.compile("(?:files|receipts|attestations)/[^/]+/([0-9a-f]{64})/[^/]+")
_METADATA: Final = ".metadata"


def check(folder: Path) -> tuple[Manifest, list[str]]:
    """Return the manifest of a backup, and a sentence for each fault; raise BackupError."""
    with held(folder):
        manifest = read_manifest(folder)
        return manifest, [*_find_faults(folder, manifest)]


def _find_faults(folder: Path, manifest: Manifest) -> Iterator[str]:
    for path, entry in manifest.paths().items():
        try:
            found = hash_file(folder / path)
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror}"
            continue
        if found != entry:
            yield f"{path} is not what was copied"
    yield from find_rotten(manifest)
    yield from _find_broken_records(folder, manifest)


def find_rotten(manifest: Manifest) -> Iterator[str]:
    """Yield a sentence for each file whose bytes were not what its key says when it was copied."""
    for key, entry in manifest.files.items():
        named = _HASHED.fullmatch(key)
        if named and not key.endswith(_METADATA) and named[1] != entry.sha256:
            yield f"{FILES}/{key} was damaged before it was copied"


def _find_broken_records(folder: Path, manifest: Manifest) -> Iterator[str]:
    path = folder / DATABASES / manifest.parts
    if not is_sound(path):
        yield "the database is damaged"
        return
    try:
        missing = [key for key in needed_keys(path) if key not in manifest.files]
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        yield "the records of published files are damaged"
        return
    yield from (f"{FILES}/{key} is missing, and a published file needs it" for key in missing)
