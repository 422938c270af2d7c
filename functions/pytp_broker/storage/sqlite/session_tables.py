"""Tables of SQLite for publishing sessions, and for the file names that they reserve.

A reservation holds the record of its file, and publishing moves the records to the table of files
in one transaction. So no reader of files knows about reservations.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import TooManySessionsError
from pytp_broker.storage.sessions import (
    INTERRUPTED,
    MAX_SESSIONS,
    Session,
    SessionStatus,
    pack,
    unpack,
)
from pytp_broker.storage.sqlite.database import Database, dump

# What a live session's row says.
_LIVE: Final = "status NOT IN ('published', 'canceled') AND expires_at > ?"


class SessionTables(Database):
    """Publishing sessions."""

    def add_session(self, session: Session) -> Session:
        """Store a new session; return the one that is in force, which may be another."""
        with self._write() as connection:
            live = _list_live(connection, session)
            if session.key in live:
                return unpack(live[session.key])
            if len(live) >= MAX_SESSIONS:
                raise TooManySessionsError
            _save(connection, session, pack(session))
        return session

    def find_session(self, token: str) -> Session | None:
        """Return the session of this token."""
        with self._read() as connection:
            return _find(connection, token)

    def save_session(self, session: Session, present: Session) -> bool:
        """Replace the present revision by this one; say whether this one is stored now."""
        with self._write() as connection:
            return _replace(connection, session, present.revision)

    def reserve(self, session: Session, files: Sequence[PublishedFile]) -> Sequence[str]:
        """Reserve the names of files; return the names that are taken."""
        now = session.processing_since or session.created_at
        with self._write() as connection:
            taken = [file.filename for file in files if _is_taken(connection, file, session, now)]
            if not taken:
                connection.executemany(
                    "INSERT OR REPLACE INTO reserved_files "
                    "(registry, filename, project, document, reservation) VALUES (?, ?, ?, ?, ?)",
                    [
                        (f.registry, f.filename, f.project, dump(f.document()), session.reservation)
                        for f in files
                    ],
                )
        return taken

    def publish_session(self, session: Session) -> bool:
        """Make all files visible that the revision before this one has reserved."""
        reservation = session.published_reservation
        with self._write() as connection:
            is_published = _replace(connection, session, session.revision - 1)
            if is_published:
                connection.execute(
                    "INSERT INTO files (registry, filename, project, document) "
                    "SELECT registry, filename, project, document FROM reserved_files "
                    "WHERE reservation = ?",
                    (reservation,),
                )
            _release(connection, reservation)
            present = _find(connection, session.token)
        return present is not None and present.is_publication_of(reservation)

    def release(self, session: Session) -> None:
        """Give the names free again that this session has reserved."""
        with self._write() as connection:
            _release(connection, session.reservation)

    def list_sessions(self, now: datetime) -> Sequence[Session]:
        """Return every live publishing session, by time of creation."""
        with self._read() as connection:
            found = connection.execute(
                f"SELECT document FROM sessions WHERE {_LIVE}",  # noqa: S608 - ours
                (int(now.timestamp()),),
            ).fetchall()
        sessions = [unpack(document) for (document,) in found]
        return sorted(sessions, key=lambda session: (session.created_at, session.token))

    def list_over_sessions(self, now: datetime) -> Sequence[Session]:
        """Return every session that is published, canceled or expired."""
        with self._read() as connection:
            found = connection.execute(
                f"SELECT document FROM sessions WHERE NOT ({_LIVE})",  # noqa: S608 - ours
                (int(now.timestamp()),),
            ).fetchall()
        return [unpack(document) for (document,) in found]

    def remove_session(self, session: Session) -> None:
        """Remove a session that is over for so long that nobody asks about it."""
        with self._write() as connection:
            connection.execute("DELETE FROM sessions WHERE token = ?", (session.token,))


def is_reserved(connection: sqlite3.Connection, file: PublishedFile, now: datetime) -> bool:
    """Say whether a session that publishes right now has reserved the name of a file.

    A reservation that does not hold any more is removed.
    """
    found = connection.execute(
        "SELECT reservation FROM reserved_files WHERE registry = ? AND filename = ?",
        (file.registry, file.filename),
    ).fetchone()
    if found is None:
        return False
    (reservation,) = found
    session = _find(connection, reservation.partition("#")[0])
    if session is not None and session.reservation == reservation:
        if not session.is_interrupted(now):
            return session.status is SessionStatus.PROCESSING
        # First it must not be able to publish, because it would publish without this file.
        _replace(connection, session.failed(INTERRUPTED), session.revision)
    _release(connection, reservation)
    return False


def _is_taken(
    connection: sqlite3.Connection, file: PublishedFile, session: Session, now: datetime
) -> bool:
    held = connection.execute(
        "SELECT 1 FROM files WHERE registry = ? AND filename = ?", (file.registry, file.filename)
    ).fetchone()
    mine = connection.execute(
        "SELECT 1 FROM reserved_files WHERE registry = ? AND filename = ? AND reservation = ?",
        (file.registry, file.filename, session.reservation),
    ).fetchone()
    return held is not None or (mine is None and is_reserved(connection, file, now))


def _list_live(connection: sqlite3.Connection, session: Session) -> dict[str, bytes]:
    """Return the live sessions of a new session's project, by the key of their versions."""
    found = connection.execute(
        f"SELECT release, document FROM sessions WHERE registry = ? AND project = ? AND {_LIVE}",  # noqa: S608 - ours
        (session.registry, session.project, int(session.created_at.timestamp())),
    )
    return dict(found.fetchall())


def _find(connection: sqlite3.Connection, token: str) -> Session | None:
    found = connection.execute("SELECT document FROM sessions WHERE token = ?", (token,)).fetchone()
    return None if found is None else unpack(found[0])


def _replace(connection: sqlite3.Connection, session: Session, present: int) -> bool:
    """Store a session if the stored one has the present revision; say whether it is stored now."""
    packed = pack(session)
    found = connection.execute(
        "SELECT revision, document FROM sessions WHERE token = ?", (session.token,)
    ).fetchone()
    if found is None or found[0] != present:
        return bool(found == (session.revision, packed))
    _save(connection, session, packed)
    return True


def _save(connection: sqlite3.Connection, session: Session, packed: bytes) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO sessions (token, registry, project, release, status, revision, "
        "expires_at, kept_until, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(session.token, session.registry, session.project, session.key),
            *(session.status.value, session.revision),
            *(int(session.expires_at.timestamp()), int(session.kept_until.timestamp())),
            packed,
        ),
    )


def _release(connection: sqlite3.Connection, reservation: str) -> None:
    connection.execute("DELETE FROM reserved_files WHERE reservation = ?", (reservation,))
