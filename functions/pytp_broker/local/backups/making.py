"""Make a backup of a data folder while its server runs.

The order makes it consistent. The database is copied first, then the bytes: the bytes of every
record were stored before the record was, so they are there. What is published meanwhile may add
bytes that no record of this backup names, which does no harm.
"""

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pytp_broker import __version__
from pytp_broker.local.backups.completeness import find_lacks
from pytp_broker.local.backups.copying import (
    UNFINISHED,
    Writer,
    held,
    list_files,
    remove_others,
)
from pytp_broker.local.backups.databases import copy_database
from pytp_broker.local.backups.manifest import (
    DATABASES,
    FILES,
    KEYS,
    MANIFEST,
    BackupError,
    Entry,
    Manifest,
    is_file_name,
    is_key_name,
    read_manifest,
)
from pytp_broker.local.key_folder import FOLDER as RECEIPT_KEYS
from pytp_broker.storage.data_folder import DATABASE
from pytp_broker.storage.data_folder import FILES as STORED_FILES

_PLACES: Final = (DATABASES, FILES, KEYS)
# The server makes its certificate anew; clients trust the authority.
_AUTHORITY: Final = ("tls/ca.pem", "tls/ca.key")


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made: how many of its ``files/`` are new, and a sentence for each lack.

    ``removed`` are those of the backup before that the server does not have any more.
    """

    manifest: Manifest
    copied: int
    removed: int
    lacks: Sequence[str]


def back_up(data: Path, folder: Path, now: datetime, *, with_keys: bool = True) -> Made:
    """Bring a backup to the present state of a data folder.

    Until it is complete, the folder has the backup of before. Raises BackupError or OSError.
    """
    _check_places(data, folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held(folder):
        _check_own(folder)
        _remove_unfinished(folder)
        return _Backup(data, folder, _present(folder)).make(now, with_keys=with_keys)


def _check_places(data: Path, folder: Path) -> None:
    inner, outer = folder.resolve(), data.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise BackupError(
            f"{folder} and the data folder {data} contain each other: give a folder elsewhere, "
            "better on another disk"
        )


def _check_own(folder: Path) -> None:
    """Raise BackupError if there is anything in the folder that is not of a backup."""
    foreign = [
        path.name
        for path in folder.iterdir()
        if path.name not in {MANIFEST, *_PLACES} and UNFINISHED not in path.name
    ]
    if foreign:
        raise BackupError(
            f"{folder} is not a backup: it has {min(foreign)}; give an empty folder, or that "
            "of an earlier backup"
        )


def _remove_unfinished(folder: Path) -> None:
    # SQLite keeps a journal beside the file that it writes. No other name ends so.
    for pattern in (f"*{UNFINISHED}", f"*{UNFINISHED}-journal"):
        for path in [*folder.rglob(pattern)]:
            path.unlink()


def _present(folder: Path) -> Manifest | None:
    """Return the backup that is there; a damaged one counts for nothing."""
    try:
        return read_manifest(folder)
    except BackupError:
        return None


class _Backup:
    def __init__(self, data: Path, folder: Path, present: Manifest | None) -> None:
        self._data, self._folder = data, folder
        self._known = present.files if present else {}
        self._writer = Writer(folder)
        self._parts = secrets.token_hex(8)
        self._copied = 0

    def make(self, now: datetime, *, with_keys: bool) -> Made:
        schema, database = self._copy_database()
        manifest = Manifest(
            version=__version__,
            schema=schema,
            began_at=now,
            parts=self._parts,
            database=database,
            keys=dict(self._copy_keys()) if with_keys else {},
            files=dict(self._copy_files()),
        )
        self._writer.settle()
        lacks = [*find_lacks(self._folder / DATABASES / self._parts, manifest)]
        self._writer.write(MANIFEST, manifest.write().encode())
        self._writer.settle()
        remove_others(self._folder, (DATABASES, KEYS), manifest.paths())
        removed = remove_others(self._folder, (FILES,), manifest.paths())
        return Made(manifest, self._copied, removed, lacks)

    def _copy_database(self) -> tuple[int, Entry]:
        unfinished = self._folder / f"database{UNFINISHED}"
        try:
            schema = copy_database(self._data / DATABASE, unfinished)
            entry = self._writer.copy(unfinished, f"{DATABASES}/{self._parts}")
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise BackupError(f"cannot copy {self._data / DATABASE}: {name}") from None
        finally:
            unfinished.unlink(missing_ok=True)
        return schema, entry

    def _copy_keys(self) -> Iterator[tuple[str, Entry]]:
        names = [f"{RECEIPT_KEYS}/{name}" for name in list_files(self._data / RECEIPT_KEYS)]
        for name in (*_AUTHORITY, *filter(is_key_name, names)):
            with suppress(FileNotFoundError):  # a server without TLS has no authority
                copied = self._writer.copy(self._data / name, f"{KEYS}/{self._parts}/{name}")
                yield name, copied

    def _copy_files(self) -> Iterator[tuple[str, Entry]]:
        stored = self._data / STORED_FILES
        for key in filter(is_file_name, list_files(stored)):
            known = self._known.get(key)
            if known is not None and self._has(key, known):
                yield key, known
                continue
            with suppress(FileNotFoundError):  # removed a moment ago: no record needs it
                copied = self._writer.copy(stored / key, f"{FILES}/{key}")
                self._copied += 1
                yield key, copied

    def _has(self, key: str, known: Entry) -> bool:
        try:
            return (self._folder / FILES / key).stat().st_size == known.size
        except FileNotFoundError:
            return False
