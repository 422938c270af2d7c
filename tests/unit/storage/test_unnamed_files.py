"""Files without a name: they vanish with their process, and get a name once they are whole."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from pytp_broker.storage.unnamed_files import give_name, open_unnamed, write_back

KILLED = """
import os, signal, sys
from pathlib import Path
from pytp_broker.storage.unnamed_files import open_unnamed
file = open_unnamed(Path(sys.argv[1]))
file.write(bytes(300_000))
file.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[bytes]]:
    with open_unnamed(tmp_path) as opened:
        opened.write(b"file and more")
        yield opened


def test_a_file_gets_a_name_when_it_is_whole(file: IO[bytes], tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []

    assert give_name(file, 4, tmp_path / "named")

    assert (tmp_path / "named").read_bytes() == b"file"
    assert os.path.samestat(os.fstat(file.fileno()), (tmp_path / "named").stat())


def test_it_is_readable_for_its_owner_alone(file: IO[bytes], tmp_path: Path) -> None:
    give_name(file, 4, tmp_path / "named")

    assert (tmp_path / "named").stat().st_mode & 0o777 == 0o600


def test_it_is_durable_before_it_has_a_name(
    file: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(OSError, match="Input/output error"):
        give_name(file, 4, tmp_path / "named")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(file: IO[bytes], tmp_path: Path) -> None:
    (tmp_path / "named").write_bytes(b"earlier")

    assert give_name(file, 4, tmp_path / "named")

    assert (tmp_path / "named").read_bytes() == b"earlier"


@pytest.mark.parametrize("error", [OSError(errno.EXDEV, "another disk"), NotImplementedError()])
def test_a_file_that_cannot_be_named_is_said(
    file: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, "link", fail)

    assert not give_name(file, 4, tmp_path / "named")


def test_where_there_are_no_such_files_there_are_temporary_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)

    with open_unnamed(tmp_path) as file:
        file.write(b"file")
        assert not give_name(file, 4, tmp_path / "named")
        file.seek(0)
        assert file.read() == b"file"


def test_without_a_folder_it_is_where_temporary_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))

    with pytest.raises(FileNotFoundError, match="not there"):
        open_unnamed(None)


def test_a_process_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reopens a file without a name")
def test_what_was_flushed_is_written_back(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[os.stat_result] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: seen.append(os.fstat(descriptor)))

    write_back(file)

    assert [each.st_ino for each in seen] == [os.fstat(file.fileno()).st_ino]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reopens a file without a name")
def test_the_file_itself_does_not_miss_an_error_of_the_disk(
    file: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system reports an error once to each open file: a second one must meet it first."""
    used: list[int] = []

    def fail(descriptor: int) -> None:
        used.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)

    write_back(file)

    assert used
    assert file.fileno() not in used


def test_a_file_that_is_closed_is_not_written_back(tmp_path: Path) -> None:
    with open_unnamed(tmp_path) as file:
        pass

    write_back(file)
