"""Remove what publishing sessions leave behind when they are over: staged bytes, and their rows."""

from collections.abc import Iterator
from datetime import datetime

from pytp_broker.index.sessions.transitions import EXPIRED, cancel, is_editable
from pytp_broker.local.hourly import Hourly
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import staged_key
from pytp_broker.storage.sessions import INTERRUPTED, Session, SessionStatus
from pytp_broker.storage.sqlite import SqliteStore


class OverSessions:
    """The sessions of a data folder that are published, canceled or expired.

    A request that cancels a session removes its bytes at once. What is left is of sessions that
    expired, of requests that were interrupted, and of bytes that arrived too late.
    """

    def __init__(self, store: SqliteStore, files: FolderFiles) -> None:
        self._store = store
        self._files = files
        self._hourly = Hourly()

    def remove_bytes(self, now: datetime) -> None:
        """Remove what is not needed, unless we looked a moment ago; raise StoreUnavailable."""
        if self._hourly.is_due(now):
            for session in self._store.list_over_sessions(now):
                self._sweep(session, now)
            self._hourly.done(now)

    def _sweep(self, session: Session, now: datetime) -> None:
        if session.status is SessionStatus.PROCESSING:
            self._roll_back(session, now)
            return
        if is_editable(session) and not self._expire(session):
            return
        for key in _unneeded_keys(session):
            self._files.drop(key)
            self._files.drop(key + METADATA_SUFFIX)
        if session.kept_until < now:
            self._store.remove_session(session)

    def _expire(self, session: Session) -> bool:
        """Cancel an expired session; say whether nobody can publish or extend it any more.

        The state changes first: a request that began in time may still publish these bytes.
        """
        return self._store.save_session(cancel(session, session.expires_at, EXPIRED), session)

    def _roll_back(self, session: Session, now: datetime) -> None:
        """End a publish that was interrupted; the next turn removes its bytes."""
        if session.is_interrupted(now) and self._store.save_session(
            session.failed(INTERRUPTED), session
        ):
            self._store.release(session)


def _unneeded_keys(session: Session) -> Iterator[str]:
    """Yield the keys of all uploads of a session but those that it has published."""
    is_published = session.status is SessionStatus.PUBLISHED
    published = session.filenames if is_published else ()
    for name, file in session.files.items():
        mine = () if name in published else (file.upload_id,)
        for upload_id in (*file.former_ids, *mine):
            yield staged_key(session.registry, upload_id, name)
