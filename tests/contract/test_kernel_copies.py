"""Large content of a file is copied to its place by the system, or read and written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytp_broker.content import Held, Opened, Part
from pytp_broker.storage.file_folder import FolderFiles
from tests.support.distributions import noise

SIZE = 3_000_000
OCTETS = noise(SIZE + 200)
WANTED = OCTETS[100 : 100 + SIZE]

pytestmark = pytest.mark.skipif(
    not hasattr(os, "copy_file_range"), reason="this system copies no files"
)


class Folder:
    """A folder of stored files, and a file of which a part is to be stored."""

    def __init__(self, folder: Path) -> None:
        self.files = FolderFiles(folder / "files")
        self.source = folder / "body"
        self.source.write_bytes(OCTETS)
        self.stored = folder / "files/part"

    def save(self) -> bytes:
        """Return what is stored of the part."""
        with self.source.open("rb") as file:
            whole = Opened(file, len(OCTETS))
            self.files.save("part", Part(Part(whole, 60, SIZE + 40), 40, SIZE), "")
        return self.stored.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def watch(
    monkeypatch: pytest.MonkeyPatch, bound: Callable[[int], int] = lambda count: count
) -> list[int]:
    """Let each call copy no more than ``bound`` says; return what each has copied."""
    real, copied = os.copy_file_range, list[int]()

    def copy(source: int, target: int, count: int, offset: int) -> int:
        copied.append(real(source, target, bound(count), offset))
        return copied[-1]

    monkeypatch.setattr(os, "copy_file_range", copy)
    return copied


def refuse(_count: int) -> int:
    raise OSError(errno.EXDEV, "the files are on two disks")


def test_the_system_copies_a_part_of_a_file(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = watch(monkeypatch)

    assert folder.save() == WANTED
    assert sum(copied) == SIZE


def test_a_system_that_copies_little_at_a_time_is_asked_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = watch(monkeypatch, lambda count: min(count, 1_000_001))

    assert folder.save() == WANTED
    assert copied == [1_000_001, 1_000_001, 999_998]


def test_what_the_system_does_not_copy_is_read_and_written(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch, refuse)

    assert folder.save() == WANTED


def test_the_rest_of_a_copy_that_broke_off_is_read_and_written(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = iter([1_000_000])
    copied = watch(monkeypatch, lambda count: next(bounds, None) or refuse(count))

    assert folder.save() == WANTED
    assert copied == [1_000_000]


def test_a_copy_that_gets_nothing_is_not_tried_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = watch(monkeypatch, lambda _: 0)

    assert folder.save() == WANTED
    assert copied == [0]


def test_a_system_that_cannot_copy_is_not_asked(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range")

    assert folder.save() == WANTED


def test_small_content_and_content_in_memory_is_written(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = watch(monkeypatch)
    with folder.source.open("rb") as file:
        folder.files.save("small", Part(Opened(file, len(OCTETS)), 0, 10), "")
    folder.files.save("part", Held(OCTETS), "")

    assert folder.stored.read_bytes() == OCTETS
    assert copied == []


def test_a_copy_that_fails_leaves_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch)
    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(Exception, match="cannot be written"):
        folder.save()
    assert not folder.stored.exists()
    assert list(folder.files.incoming.iterdir()) == []
