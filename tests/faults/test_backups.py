"""A backup or a restore is killed, or finds a full disk, at each of its steps on the disk."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, Final
from unittest import mock

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.backups.checking import check
from pytp_broker.local.backups.making import Made, back_up
from pytp_broker.local.backups.manifest import MANIFEST, BackupError
from pytp_broker.local.backups.restoring import restore
from pytp_broker.local.lock import Holder
from pytp_broker.storage.data_folder import DATABASE, RESTORING, open_data_folder
from tests.support.data_folders import DataFolder, state_of
from tests.support.samples import NOW

HOLDER: Final = Holder(1, "olive", "a restore")
# More than either of them takes. The loops end at the first run that is not interrupted.
MAX_STEPS: Final = 400


class Killed(BaseException):
    """The process is killed."""


class Disk:
    """Counts steps on the disk; from one of them on, or only at that one, it fails."""

    def __init__(self, fails_at: int, error: Callable[[], BaseException], *, once: bool) -> None:
        self._left = fails_at
        self._error = error
        self._once = once
        self.has_failed = False

    def step(self) -> None:
        if self.has_failed and not self._once:
            raise self._error()
        if self._left == 0 and not self.has_failed:
            self.has_failed = True
            raise self._error()
        self._left -= 1


@contextmanager
def failing(disk: Disk, *names: str) -> Iterator[None]:
    """Let each sync, rename, removal and new folder be a step that may fail before it is done."""

    def stepping(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            disk.step()
            return real(*arguments, **options)

        return step

    with mock.patch.object(os, "fsync", stepping(os.fsync)):
        patches = [mock.patch.object(Path, n, stepping(getattr(Path, n))) for n in names]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


ALL_STEPS: Final = ("replace", "unlink", "mkdir", "rmdir")


@pytest.fixture
def data(quick_path: Path) -> DataFolder:
    folder = DataFolder(quick_path / "data")
    folder.publish("1.0")
    return folder


def make(data: DataFolder, folder: Path) -> Made:
    return back_up(data.path, folder, NOW)


def restored(folder: Path, at: Path) -> dict[str, object]:
    restore(folder, at, HOLDER, NOW + timedelta(minutes=5))
    return state_of(at)


def check_restorable(folder: Path, *states: dict[str, object]) -> None:
    assert check(folder)[1] == []
    at = folder.with_name("checked")
    assert restored(folder, at) in states
    shutil.rmtree(at)


def test_a_backup_that_is_killed_at_any_step_leaves_the_one_before_or_the_new_one(
    data: DataFolder, quick_path: Path
) -> None:
    first, old = quick_path / "first", data.state()
    make(data, first)
    data.publish("2.0")
    new = data.state()

    for number in range(MAX_STEPS):
        folder = quick_path / "backup"
        shutil.copytree(first, folder)
        disk = Disk(number, Killed, once=False)
        with failing(disk, *ALL_STEPS), suppress(Killed):
            make(data, folder)
        check_restorable(folder, old, new)
        make(data, folder)
        check_restorable(folder, new)
        shutil.rmtree(folder)
        if not disk.has_failed:
            break
    else:
        pytest.fail("it never ended")
    assert number > 20


def test_a_first_backup_that_is_killed_is_not_taken_for_one(
    data: DataFolder, quick_path: Path
) -> None:
    for number in range(MAX_STEPS):
        folder = quick_path / "backup"
        disk = Disk(number, Killed, once=False)
        with failing(disk, *ALL_STEPS), suppress(Killed):
            make(data, folder)
        if not disk.has_failed:
            break
        if not (folder / MANIFEST).exists():
            with pytest.raises((BackupError, FileNotFoundError)):
                check(folder)
        make(data, folder)
        assert check(folder)[1] == []
        shutil.rmtree(folder)
    assert number > 20


def test_a_full_disk_at_any_step_leaves_a_good_backup_and_gets_its_room_back(
    data: DataFolder, quick_path: Path
) -> None:
    first, old = quick_path / "first", data.state()
    make(data, first)
    data.publish("2.0")
    new = data.state()

    def full() -> OSError:
        return OSError(errno.ENOSPC, "No space left on device")

    for number in range(MAX_STEPS):
        folder = quick_path / "backup"
        shutil.copytree(first, folder)
        disk = Disk(number, full, once=True)
        with failing(disk, "replace", "mkdir"):
            if disk_is_full := _fails(lambda folder=folder: make(data, folder)):  # type: ignore[misc]
                assert not [*folder.rglob("*.new")]
        check_restorable(folder, old, new)
        shutil.rmtree(folder)
        if not disk.has_failed:
            break
        assert disk_is_full
    assert number > 10


def _fails(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError as error:
        return error.errno == errno.ENOSPC
    return False


def test_a_restore_that_is_killed_at_any_step_serves_nothing_and_is_finished_by_another(
    data: DataFolder, quick_path: Path
) -> None:
    folder, state = quick_path / "backup", data.state()
    make(data, folder)

    for number in range(MAX_STEPS):
        at = quick_path / "new"
        disk = Disk(number, Killed, once=False)
        with failing(disk, *ALL_STEPS), suppress(Killed):
            restored(folder, at)
        if not disk.has_failed:
            break
        if (at / RESTORING).exists():
            with pytest.raises(StoreUnavailable), open_data_folder(at):
                pass
        if (at / DATABASE).exists() and not (at / RESTORING).exists():
            assert state_of(at) == state
        else:
            assert restored(folder, at) == state
        shutil.rmtree(at, ignore_errors=True)
    assert number > 20


def test_of_two_backups_at_once_one_is_made_and_the_other_is_made_or_refused(
    data: DataFolder, quick_path: Path
) -> None:
    folder, state = quick_path / "backup", data.state()
    folder.mkdir()
    together, outcomes = Barrier(2), list[str]()

    def act() -> None:
        together.wait()
        try:
            make(data, folder)
            outcomes.append("made")
        except BackupError as error:
            outcomes.append(str(error))

    threads = [Thread(target=act) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert "made" in outcomes
    assert all(each == "made" or "another command works" in each for each in outcomes)
    check_restorable(folder, state)


def test_every_backup_while_files_are_published_has_the_bytes_of_its_records(
    data: DataFolder, quick_path: Path
) -> None:
    folder, published = quick_path / "backup", list[str]()

    def publish() -> None:
        for number in range(20):
            data.publish(f"2.{number}")
            published.append(f"widgets-2.{number}.tar.gz")

    thread = Thread(target=publish)
    thread.start()
    try:
        while thread.is_alive():
            before = [*published]
            assert make(data, folder).lacks == []
            assert check(folder)[1] == []
            kept: Any = restored(folder, quick_path / "new")["files"]
            assert set(before) <= set(kept)
            shutil.rmtree(quick_path / "new")
    finally:
        thread.join()
