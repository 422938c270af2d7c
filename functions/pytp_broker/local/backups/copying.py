"""Write the files of a backup or of a restored folder: each is whole and on the disk, or absent.

All writes of this package go through here. A process that is killed leaves files with the suffix
``.new``, which the next one removes.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Final

from pytp_broker.local.backups.manifest import BackupError, Entry
from pytp_broker.local.lock import try_lock

_PIECE_BYTES: Final = 1024 * 1024
UNFINISHED: Final = ".new"


class Writer:
    """Writes below one folder, and makes all of it durable with ``settle``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed: set[Path] = set()

    def copy(self, source: Path, name: str) -> Entry:
        """Copy a file to this place in the folder; return what was copied. Raises OSError."""
        with _open_plain(source) as read, self._written(name) as written:
            return _hash(read, written.write)

    def write(self, name: str, content: bytes) -> None:
        """Write a file. Raises OSError."""
        with self._written(name) as written:
            written.write(content)

    def remove(self, name: str) -> None:
        """Remove a file, and its folders while they are empty. Raises OSError."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        self._changed.add(self._folder)
        with suppress(OSError):  # not empty
            while (path := path.parent) != self._folder:
                path.rmdir()

    def rename(self, name: str, new: str) -> None:
        """Give a file another name, in place of the file that has it. Raises OSError."""
        path = self._folder / new
        (self._folder / name).replace(path)
        self._changed.add(path.parent)

    def settle(self) -> None:
        """Make every new name durable; without it a power failure may take names away."""
        for folder in sorted(self._changed):
            _sync(folder)
        self._changed.clear()

    @contextmanager
    def _written(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a new file, which takes its place at the end, with all that was written to it."""
        path = self._folder / name
        self._make_folders(path.parent)
        unfinished = path.with_name(f"{path.name}{UNFINISHED}")
        try:
            with open(unfinished, "wb", opener=partial(os.open, mode=0o600)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)  # a full disk gets its room back
            raise
        self._changed.add(path.parent)

    def _make_folders(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folders(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
            self._changed.add(folder.parent)


def hash_file(path: Path) -> Entry:
    """Return what is in a file. Raises OSError."""
    with _open_plain(path) as file:
        return _hash(file, lambda _: None)


def _hash(file: IO[bytes], take: Callable[[bytes], object]) -> Entry:
    """Return what is in an open file, and give it to ``take`` piece by piece."""
    digest, size = hashlib.sha256(), 0
    for piece in iter(partial(file.read, _PIECE_BYTES), b""):
        digest.update(piece)
        size += len(piece)
        take(piece)
    return Entry(digest.hexdigest(), size)


def _open_plain(path: Path) -> IO[bytes]:
    """Open a file for reading; raise BackupError for anything else that has its name.

    A backup may run as root, and the server may not. Through a link the server's user would get a
    copy of a file that it cannot read, and a pipe would let the backup wait.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BackupError(f"{path} is a link, and not a file of the broker") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BackupError(f"{path} is not a file")
    return os.fdopen(descriptor, "rb")


def list_files(folder: Path) -> Iterator[str]:
    """Yield the files below a folder by their paths in it; none where there is no folder.

    A name with a dot at its beginning is a file that is not complete yet, or a folder of those.
    """
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield (Path(path) / name).relative_to(folder).as_posix()


def remove_others(folder: Path, places: Iterable[str], kept: Iterable[str]) -> int:
    """Remove the files in these places of a folder that are not kept; return how many."""
    writer, wanted, removed = Writer(folder), set(kept), 0
    for place in places:
        for name in [*list_files(folder / place)]:
            if f"{place}/{name}" not in wanted:
                writer.remove(f"{place}/{name}")
                removed += 1
    return removed


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a backup for one command at a time; raise BackupError if another one works on it.

    The system gives it back when the process ends.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            raise BackupError(f"another command works on the backup {folder}: wait until it ends")
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
