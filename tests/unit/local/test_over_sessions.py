"""What sessions leave behind: the bytes of those that are over go, and published bytes never do."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.content import Held
from pytp_broker.local.hourly import EVERY
from pytp_broker.local.over_sessions import OverSessions
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import keys_of, staged_key
from pytp_broker.storage.sessions import (
    RETENTION,
    Session,
    SessionStatus,
    StagedFile,
    UploadStatus,
)
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.samples import NOW, file, session, staged

SDIST, WHEEL = staged(), staged("widgets-1.0-py3-none-any.whl", former_ids=())
MINE = session(SDIST, WHEEL)
EXPIRED = MINE.expires_at


class Folder:
    """A data folder with an open session of two files, one of which was sent twice."""

    def __init__(self, store: SqliteStore, files: FolderFiles) -> None:
        self.store = store
        self.files = files
        store.add_session(MINE)
        for each in (SDIST, WHEEL):
            for upload_id in (*each.former_ids, each.upload_id):
                for key in keys(each, upload_id):
                    files.save(key, Held(b"octets"), "0" * 64)

    def sweep(self, now: datetime) -> None:
        OverSessions(self.store, self.files).remove_bytes(now)

    def has(self, each: StagedFile, upload_id: str = "") -> bool:
        """Say whether the bytes of an upload are there, with those of its metadata file."""
        (found,) = {self.files.find(key) is not None for key in keys(each, upload_id)}
        return found

    def publish(self, mine: Session = MINE) -> Session:
        processing = self.begin(mine)
        assert self.store.publish_session(processing.published(NOW))
        return processing.published(NOW)

    def begin(self, mine: Session = MINE) -> Session:
        processing = mine.processing(NOW)
        assert self.store.save_session(processing, mine)
        self.store.reserve(processing, [f.file for f in mine.files.values() if f.file is not None])
        return processing


def keys(each: StagedFile, upload_id: str = "") -> tuple[str, str]:
    content = staged_key("acme", upload_id or each.upload_id, each.filename)
    return content, content + ".metadata"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with closing(SqliteStore(tmp_path / "broker.sqlite3")) as store:
        yield Folder(store, FolderFiles(tmp_path / "files"))


def test_the_bytes_of_a_live_session_stay(folder: Folder) -> None:
    folder.sweep(EXPIRED - timedelta(seconds=1))

    assert folder.has(SDIST)
    assert folder.has(WHEEL)


def test_the_bytes_of_an_expired_session_go(folder: Folder) -> None:
    folder.sweep(EXPIRED)

    assert not folder.has(SDIST)
    assert not folder.has(SDIST, "f" * 32)
    assert not folder.has(WHEEL)


class Late:
    """A store in which a session changes after it was listed."""

    def __init__(self, store: SqliteStore, change: Callable[[], object]) -> None:
        self._store = store
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list_over_sessions(self, now: datetime) -> Sequence[Session]:
        found = self._store.list_over_sessions(now)
        self._change()
        return found


@pytest.mark.promise("immutable-file")
def test_a_publish_that_began_in_time_keeps_its_bytes(folder: Folder) -> None:
    late: Any = Late(folder.store, folder.publish)

    OverSessions(late, folder.files).remove_bytes(EXPIRED)

    assert folder.has(SDIST)
    assert folder.has(WHEEL)


def test_nobody_can_publish_a_session_whose_bytes_went(folder: Folder) -> None:
    folder.sweep(EXPIRED)

    assert not folder.store.save_session(MINE.processing(EXPIRED), MINE)


def test_the_bytes_of_a_canceled_session_go(folder: Folder) -> None:
    folder.store.save_session(MINE.changed(status=SessionStatus.CANCELED, ended_at=NOW), MINE)

    folder.sweep(NOW)

    assert not folder.has(SDIST)
    assert not folder.has(WHEEL)


@pytest.mark.promise("immutable-file")
def test_published_bytes_stay_and_those_that_they_replaced_go(folder: Folder) -> None:
    folder.publish()

    folder.sweep(EXPIRED + RETENTION * 2)

    assert folder.has(SDIST)
    assert folder.has(WHEEL)
    assert not folder.has(SDIST, "f" * 32)
    published = folder.store.list_files("acme", "widgets")
    assert all(folder.files.find(key) for each in published for key in keys_of(each))


def test_the_bytes_of_a_file_that_was_canceled_before_the_publish_go(folder: Folder) -> None:
    canceled = replace(WHEEL, status=UploadStatus.CANCELED, file=None)
    mine = MINE.changed(files={SDIST.filename: SDIST, WHEEL.filename: canceled})
    folder.store.save_session(mine, MINE)
    folder.publish(mine)

    folder.sweep(NOW)

    assert folder.has(SDIST)
    assert not folder.has(WHEEL)


def test_the_bytes_of_a_publish_that_takes_long_stay(folder: Folder) -> None:
    mine = MINE.changed(expires_at=NOW)
    folder.store.save_session(mine, MINE)
    processing = folder.begin(mine)

    folder.sweep(NOW)

    assert folder.store.publish_session(processing.published(NOW))
    assert folder.has(SDIST)


def test_an_interrupted_publish_is_rolled_back_before_its_bytes_go(folder: Folder) -> None:
    processing = folder.begin()

    folder.sweep(EXPIRED)
    assert folder.has(SDIST)
    assert not folder.store.publish_session(processing.published(NOW))
    folder.store.add_file(file())

    folder.sweep(EXPIRED)
    assert not folder.has(SDIST)


def test_a_session_that_is_over_for_long_is_forgotten(folder: Folder) -> None:
    folder.sweep(EXPIRED + RETENTION)
    kept = folder.store.find_session(MINE.token)
    assert kept is not None
    assert kept.status is SessionStatus.CANCELED

    folder.sweep(EXPIRED + RETENTION + timedelta(seconds=1))
    assert folder.store.find_session(MINE.token) is None


def test_a_running_server_looks_each_hour(folder: Folder) -> None:
    running = OverSessions(folder.store, folder.files)
    running.remove_bytes(EXPIRED - timedelta(seconds=1))

    running.remove_bytes(EXPIRED)
    assert folder.has(SDIST)

    running.remove_bytes(EXPIRED + EVERY)
    assert not folder.has(SDIST)
