"""Check a backup by reading all of it."""

from collections.abc import Iterator
from pathlib import Path

from pytp_broker.local.backups.completeness import find_lacks
from pytp_broker.local.backups.copying import hash_file, held
from pytp_broker.local.backups.databases import is_sound
from pytp_broker.local.backups.manifest import DATABASES, Manifest, read_manifest


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
    database = folder / DATABASES / manifest.parts
    if is_sound(database):
        yield from find_lacks(database, manifest)
    else:
        yield "the database is damaged"
