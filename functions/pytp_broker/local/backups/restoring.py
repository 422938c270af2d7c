"""Make a data folder of a backup.

The world has gone on since the backup was made. So the restored broker refuses what it cannot know:
identity tokens that may have been exchanged since, tokens of jobs that may have been burned since,
and publishing sessions whose files may have been changed since.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Final

from pytp_broker.audit.operations import Restoration
from pytp_broker.grants import Permission
from pytp_broker.index.sessions.transitions import cancel, is_editable
from pytp_broker.local.backups.completeness import find_lacks
from pytp_broker.local.backups.copying import UNFINISHED, Writer, held
from pytp_broker.local.backups.databases import is_sound
from pytp_broker.local.backups.manifest import BackupError, Entry, Manifest, read_manifest
from pytp_broker.local.lock import LOCK_FILE, Holder, locked
from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS
from pytp_broker.storage.data_folder import DATABASE, FILES, RESTORING
from pytp_broker.storage.sessions import INTERRUPTED
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.sqlite.layout import SCHEMA_VERSION
from pytp_broker.tokens import TokenRecord

# What a folder may have that counts as empty: a server was here, or a restore has just begun.
_EMPTY: Final = frozenset({LOCK_FILE, f"{RESTORING}{UNFINISHED}"})
_KEY_PLACES: Final = ("tls", "receipt-keys")
# The clock of an issuer may be so far ahead of ours, and the store counts whole seconds.
_AHEAD: Final = timedelta(seconds=LEEWAY_SECONDS + 1)
_CANCELED: Final = "The registry was restored from a backup; begin a new session."


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored folder: what was ended, and the tokens of persons that live on.

    ``lacks`` has a sentence for each file whose bytes the backup did not have.
    """

    manifest: Manifest
    lacks: Sequence[str]
    ended_tokens: int
    canceled_sessions: int
    kept_tokens: Sequence[TokenRecord]


def restore(folder: Path, data: Path, holder: Holder, now: datetime) -> Restored:
    """Make a data folder of a backup; nothing serves it before it is complete.

    Raises BackupError, FolderTakenError, StoreUnavailable or OSError. The same call may be repeated
    after any of them, and after a crash.
    """
    with held(folder):
        manifest = read_manifest(folder)
        _check_version(folder, manifest)
        _check_place(data)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(data, holder):
            return _Restore(folder, data, manifest).run(holder.user, now)


def _check_version(folder: Path, manifest: Manifest) -> None:
    if manifest.schema > SCHEMA_VERSION:
        raise BackupError(
            f"{folder} is of pytp-broker {manifest.version}, which is newer than this version: "
            f"install {manifest.version} or a later one"
        )


def _check_place(data: Path) -> None:
    """Raise BackupError unless there is nothing, or what an earlier restore has left."""
    if not data.exists() or (data / RESTORING).exists():
        return
    if not data.is_dir() or any(path.name not in _EMPTY for path in data.iterdir()):
        raise BackupError(
            f"{data} is not an empty folder: a restore overwrites nothing, so give a folder that "
            "is empty or does not exist"
        )


class _Restore:
    def __init__(self, folder: Path, data: Path, manifest: Manifest) -> None:
        self._folder, self._data, self._manifest = folder, data, manifest
        self._writer = Writer(data)

    def run(self, user: str, now: datetime) -> Restored:
        self._writer.write(RESTORING, b"")
        self._writer.settle()
        self._clear()
        self._copy_parts()
        restored = self._prepare(user, now)
        self._writer.remove(RESTORING)
        self._writer.settle()
        return restored

    def _clear(self) -> None:
        """Remove what a restore has left that was interrupted, maybe one of another backup."""
        for place in (FILES, *_KEY_PLACES):
            rmtree(self._data / place, ignore_errors=True)
        for path in self._data.glob(f"{DATABASE}*"):  # also what SQLite keeps beside it
            path.unlink()

    def _copy_parts(self) -> None:
        database = f"{DATABASE}{UNFINISHED}"
        paths = self._manifest.paths().items()
        first, *others = paths  # the database is the first
        for path, entry in others:
            place, _, name = path.partition("/")
            # Private keys have their names in the data folder after the name of the backup's part.
            self._copy(path, f"{FILES}/{name}" if place == FILES else name.partition("/")[2], entry)
        self._copy(first[0], database, first[1])
        self._writer.settle()
        if not is_sound(self._data / database):
            raise BackupError(f"the database of {self._folder} is damaged: use another backup")

    def _copy(self, path: str, name: str, entry: Entry) -> None:
        try:
            copied = self._writer.copy(self._folder / path, name)
        except FileNotFoundError:
            copied = None
        if copied != entry:
            raise BackupError(
                f"{self._folder / path} is missing or is not what was copied: use another backup"
            )

    def _prepare(self, user: str, now: datetime) -> Restored:
        """Change the database while it has another name, then give it its own."""
        unfinished = self._data / f"{DATABASE}{UNFINISHED}"
        with closing(SqliteStore(unfinished)) as store:
            store.refuse_identity_tokens(now + _AHEAD)
            ended, kept = _end_tokens(store, now)
            canceled = _cancel_sessions(store, now)
            event = Restoration(by=user, backup_time=self._manifest.began_at.isoformat())
            store.add_operator_record(event.accepted(), now)
        # Not in the backup itself: the tables of an older version are brought up to date only here.
        lacks = [*find_lacks(unfinished, self._manifest)]
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        self._writer.rename(unfinished.name, DATABASE)
        self._writer.settle()
        return Restored(self._manifest, lacks, ended, canceled, kept)


def _end_tokens(store: SqliteStore, now: datetime) -> tuple[int, Sequence[TokenRecord]]:
    """End all tokens but those with which persons read; return how many, and the others."""
    live = [record for record in store.list_tokens(now) if record.burned_at is None]
    kept = [record for record in live if _is_persons(record)]
    ended = [record for record in live if not _is_persons(record)]
    for record in ended:
        store.burn_token(record.lookup_id, record.token_hash, None, now)
    return len(ended), kept


def _is_persons(record: TokenRecord) -> bool:
    may_upload = any(grant.permits(Permission.UPLOAD) for grant in record.grants)
    return record.made_by is not None and not may_upload


def _cancel_sessions(store: SqliteStore, now: datetime) -> int:
    sessions = store.list_sessions(now)
    for session in sessions:
        present = session
        if not is_editable(session):
            present = session.failed(INTERRUPTED)
            store.save_session(present, session)
            store.release(session)
        store.save_session(cancel(present, now, _CANCELED), present)
    return len(sessions)
