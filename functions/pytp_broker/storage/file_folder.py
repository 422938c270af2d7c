"""The embedded file store: a folder in which each distribution is whole or absent."""

import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import IO, Final

from pytp_broker.content import Content, Opened, file_beginning, find_place, read_pieces
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.file_store import Stored, Target, check_staged
from pytp_broker.storage.receiving import Receiver
from pytp_broker.storage.signed_puts import PutSigner, SignedPut
from pytp_broker.storage.unnamed_files import give_name

# No segment is empty or starts with a dot; no backslash, colon, NUL or space. So on no system can a
# key lead out of the folder or name a temporary file.
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9._+!~-]*"
_KEY: Final = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
# The folder of unfinished files. A process that is killed while it writes leaves its file there.
_INCOMING: Final = ".incoming"
_ABANDONED_SECONDS: Final = 3600
_SECRET_BYTES: Final = 32
# Smaller content may be in a file in memory, and costs little anyway.
_LARGE_BYTES: Final = 1024 * 1024


class AlreadyStoredError(Exception):
    """There are bytes under this key already."""


class FolderFiles:
    """A FileStore in a folder, which is created when it is not there."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        """Remove half-written files that are too old to be another process's work."""
        self._folder = Path(folder)
        # On the same disk as the files, so that a complete one can be moved to its place.
        self.incoming = self._folder / _INCOMING
        self.put_signer = PutSigner(secrets.token_bytes(_SECRET_BYTES))
        self._turn = Lock()
        self._hashes: dict[str, str] = {}  # of staged files that this process has received
        _sweep(self.incoming)

    def save(self, key: str, content: Content, sha256: str) -> None:  # noqa: ARG002 - not checked
        """Store the bytes under the key, durably; raise ValueError if the key is malformed."""
        path = self._path(key)
        if path is None:
            raise ValueError("not a key of this store")
        try:
            if not path.exists():
                for folder in (self.incoming, path.parent):
                    folder.mkdir(parents=True, exist_ok=True)
                _write(path, content, self.incoming)
                # The new name is durable only with the folder that lists it, and so on upwards.
                _sync(path.parents[: key.count("/") + 1])
        except OSError as error:
            raise _unavailable("the stored files cannot be written now; try again", error) from None

    def take(self, receiver: Receiver) -> None:
        """Store what was received, durably, if it is right and there is nothing under its key.

        Raises WrongBytesError, AlreadyStoredError or OSError.
        """
        receiver.finish()
        key = receiver.put.key
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._turn:  # of two that come together, one is first
            if path.exists():
                raise AlreadyStoredError
            receiver.path.replace(path)
        _sync(path.parents[: key.count("/") + 1])
        self._hashes[key] = receiver.put.sha256

    @contextmanager
    def open(self, key: str) -> Iterator[Content]:
        """Return the content of an open file; KeyError when there is none."""
        path = self._path(key)
        if path is None:
            raise KeyError(key)
        with ExitStack() as stack:
            try:
                file = stack.enter_context(_open(path))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise KeyError(key) from None
            except OSError as error:
                raise _unreadable(error) from None
            yield Opened(file, os.fstat(file.fileno()).st_size)

    def remove(self, key: str) -> bool:
        """Remove the bytes under the key; say whether there were any."""
        path = self._path(key)
        if path is None:
            return False
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unavailable("a stored file cannot be removed now", error) from None
        return True

    def download_url(self, key: str, filename: str) -> str | None:  # noqa: ARG002 - no URLs here
        """Return None: a folder has no URLs, so the caller reads the bytes."""
        return None

    def make_incoming(self) -> Path:
        """Return the folder of unfinished files, which is there then; raise OSError."""
        self.incoming.mkdir(parents=True, exist_ok=True)
        return self.incoming

    def upload_target(self, key: str, size: int, sha256: str, now: datetime) -> Target:
        """Return an address of the local server, which ends with this process."""
        check_staged(key)
        return self.put_signer.sign(SignedPut(key, size, sha256), now)

    def find(self, key: str) -> Stored | None:
        """Return the size of the bytes under a key, and the hash if this process received them."""
        path = self._path(key)
        try:
            if path is None or not path.is_file():
                return None
            return Stored(path.stat().st_size, self._hashes.get(key))
        except OSError as error:
            raise _unreadable(error) from None

    def keep(self, key: str) -> None:
        """Do nothing: a folder removes nothing by itself. KeyError when there are no bytes."""
        check_staged(key)
        if self.find(key) is None:
            raise KeyError(key)
        self._hashes.pop(key, None)

    def drop(self, key: str) -> None:
        """Remove the bytes of a staged upload, and its folder once that is empty."""
        check_staged(key)
        self._hashes.pop(key, None)
        if self.remove(key):
            with suppress(OSError):  # the metadata of the same upload is there
                (self._folder / key).parent.rmdir()

    def _path(self, key: str) -> Path | None:
        return self._folder / key if _KEY.fullmatch(key) else None


def _sweep(incoming: Path) -> None:
    for path in incoming.glob("*"):  # none where there is no folder yet
        with suppress(OSError):  # another process sweeps too
            if path.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                path.unlink()


def _write(path: Path, content: Content, incoming: Path) -> None:
    """Put content that arrived in a file of its own in its place without a copy, if we can."""
    own = file_beginning(content)
    if own is None or not give_name(own.file, content.size, path):
        _copy(path, content, incoming)


def _copy(path: Path, content: Content, incoming: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=incoming)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in read_pieces(content, _copy_in_kernel(content, descriptor)):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _copy_in_kernel(content: Content, descriptor: int) -> int:
    """Copy content of a file without reading it; return how many bytes: not all systems can."""
    place = find_place(content)
    if place is None or content.size < _LARGE_BYTES or not hasattr(os, "copy_file_range"):
        return 0
    source, start = place
    copied = 0
    with suppress(OSError):  # what is left is read and written, which meets the error again
        source.flush()
        while copied < content.size:
            left, at = content.size - copied, start + copied
            count = os.copy_file_range(source.fileno(), descriptor, left, at)
            if not count:
                break
            copied += count
    return copied


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _unreadable(error: OSError) -> StoreUnavailable:
    return _unavailable("the stored files cannot be read now; try again", error)


def _unavailable(detail: str, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(detail, operator_detail=error.strerror or type(error).__name__)


def _sync(folders: Sequence[Path]) -> None:
    if os.name != "posix":
        return  # Windows opens no folders
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
