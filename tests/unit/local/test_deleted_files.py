"""The bytes of deleted files in a data folder: kept for some time, then removed."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from pytp_broker.content import Held
from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.deleted_files import DeletedFiles
from pytp_broker.local.hourly import EVERY
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import content_key, keys_of, metadata_key
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.withdrawals import GRACE
from tests.support.fakes import stored_bytes
from tests.support.samples import file, tombstone

SECOND = timedelta(seconds=1)
DELETED_AT = tombstone().deleted_at
DUE = DELETED_AT + GRACE + SECOND
SDIST, WHEEL = file(), file("widgets-1.0-py3-none-any.whl")
# Each has the name or the hash of the deleted file, and another one has both in another registry.
OTHERS = (WHEEL, file(registry="other"), file("widgets-2.0.tar.gz"))


class Folder:
    """A data folder with four files, of which the sdist is deleted."""

    def __init__(self, store: SqliteStore, files: FolderFiles) -> None:
        self.store = store
        self.files = files
        for each in (SDIST, *OTHERS):
            store.add_file(each)
            for key in keys(each):
                files.save(key, Held(b"octets"), each.sha256)
        store.delete_file("acme", "widgets", SDIST.filename, tombstone())

    def open(self) -> DeletedFiles:
        """Return the deleted files as a server sees them that has just started."""
        return DeletedFiles(self.store, self.files)

    def has(self, published: PublishedFile) -> list[bool]:
        return [is_there(self.files, key) for key in keys(published)]


def keys(published: PublishedFile) -> tuple[str, str]:
    place = (published.registry, published.sha256, published.filename)
    return content_key(*place), metadata_key(*place)


def is_there(files: FolderFiles, key: str) -> bool:
    try:
        stored_bytes(files, key)
    except KeyError:
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with closing(SqliteStore(tmp_path / "broker.sqlite3")) as store:
        yield Folder(store, FolderFiles(tmp_path / "files"))


def test_the_bytes_of_a_deleted_file_are_kept_until_the_time_of_grace_is_over(
    folder: Folder,
) -> None:
    assert folder.open().remove_bytes(DELETED_AT + GRACE) == []
    assert folder.has(SDIST) == [True, True]

    assert folder.open().remove_bytes(DUE) == [SDIST]
    assert folder.has(SDIST) == [False, False]


def test_the_bytes_of_other_files_stay(folder: Folder) -> None:
    folder.open().remove_bytes(DUE)

    assert [folder.has(each) for each in OTHERS] == [[True, True]] * 3


def test_the_bytes_of_a_file_that_came_by_a_session_are_removed_where_they_are(
    folder: Folder,
) -> None:
    mine = file("widgets-3.0.tar.gz", upload_id="a" * 32)
    other = file("widgets-3.0.tar.gz", upload_id="b" * 32)
    folder.store.add_file(mine)
    for key in (*keys_of(mine), *keys_of(other)):
        folder.files.save(key, Held(b"octets"), mine.sha256)
    folder.store.delete_file("acme", "widgets", mine.filename, tombstone())

    folder.open().remove_bytes(DUE)

    assert not any(is_there(folder.files, key) for key in keys_of(mine))
    assert all(is_there(folder.files, key) for key in keys_of(other))


def test_a_running_server_looks_each_hour(folder: Folder) -> None:
    running = folder.open()
    running.remove_bytes(DUE - 2 * SECOND)

    assert running.remove_bytes(DUE - 3 * SECOND + EVERY) == []
    assert folder.has(SDIST) == [True, True]
    assert running.remove_bytes(DUE - 2 * SECOND + EVERY) == [SDIST]


def test_a_clock_that_is_put_back_ends_no_removal(folder: Folder) -> None:
    running = folder.open()
    running.remove_bytes(DUE + timedelta(days=365))
    folder.files.save(keys(SDIST)[0], Held(b"octets"), SDIST.sha256)

    assert running.remove_bytes(DUE) == [SDIST]


def test_what_is_removed_is_not_removed_again(folder: Folder) -> None:
    folder.open().remove_bytes(DUE)

    assert folder.open().remove_bytes(DUE) == []


@pytest.mark.parametrize("number", [0, 1], ids=["content", "metadata"])
def test_a_removal_that_was_interrupted_is_completed(folder: Folder, number: int) -> None:
    folder.files.remove(keys(SDIST)[number])

    assert folder.open().remove_bytes(DUE) == [SDIST]
    assert folder.has(SDIST) == [False, False]


def test_a_removal_that_failed_is_tried_again_at_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = folder.open()

    def fail(_: Path) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", fail)
        with pytest.raises(StoreUnavailable):
            running.remove_bytes(DUE)

    assert running.remove_bytes(DUE + SECOND) == [SDIST]
