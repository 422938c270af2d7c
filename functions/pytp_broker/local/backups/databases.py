"""The database of a backup: a copy of one moment, and which bytes its records need."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import attestations_key, keys_of, receipt_key

_BUSY_SECONDS: Final = 30


def copy_database(source: Path, target: Path) -> int:
    """Copy a database that others may be writing to, as of one moment; return its schema.

    Nobody waits for it: SQLite reads the moment at which it began. Raises sqlite3.Error.
    """
    with (
        closing(sqlite3.connect(source, timeout=_BUSY_SECONDS)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        # One file instead of three: nobody writes to a backup.
        copy.execute("PRAGMA journal_mode = DELETE")
        (schema,) = copy.execute("PRAGMA user_version").fetchone()
    return int(schema)


def is_sound(path: Path) -> bool:
    """Say whether SQLite can read every page of a database."""
    try:
        with closing(_open(path)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.Error:
        return False


def needed_keys(path: Path) -> Iterator[str]:
    """Yield the keys without which a published file cannot be served. Raises sqlite3.Error.

    The bytes of a deleted file may be gone.
    """
    with closing(_open(path)) as connection:
        for (document,) in connection.execute(
            "SELECT document FROM files WHERE NOT EXISTS (SELECT 1 FROM deleted_files AS deleted "
            "WHERE deleted.registry = files.registry AND deleted.filename = files.filename)"
        ):
            file = PublishedFile.from_document(json.loads(document))
            yield keys_of(file)[0]
            if file.receipt_sha256 is not None:
                yield receipt_key(file.registry, file.receipt_sha256, file.filename)
            if file.attestations_sha256 is not None:
                yield attestations_key(file.registry, file.attestations_sha256, file.filename)


def _open(path: Path) -> sqlite3.Connection:
    # Immutable: SQLite then makes no file beside it, so a backup may be read-only.
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
