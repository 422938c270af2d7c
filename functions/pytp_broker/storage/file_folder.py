"""The embedded file store: a folder in which each distribution is whole or absent."""

import os
import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Final

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.content import Content, read_pieces

# No segment is empty or starts with a dot; no backslash, colon, NUL or space. So on no system can a
# key lead out of the folder or name a temporary file.
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9._+!~-]*"
_KEY: Final = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
# The folder of unfinished files. A process that is killed while it writes leaves its file there.
_INCOMING: Final = ".incoming"
_ABANDONED_SECONDS: Final = 3600


class FolderFiles:
    """A FileStore in a folder, which is created when it is not there."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        """Remove half-written files that are too old to be another process's work."""
        self._folder = Path(folder)
        self._incoming = self._folder / _INCOMING
        _sweep(self._incoming)

    def save(self, key: str, content: Content, sha256: str) -> None:  # noqa: ARG002 - not checked
        """Store the bytes under the key, durably; raise ValueError if the key is malformed."""
        path = self._path(key)
        if path is None:
            raise ValueError("not a key of this store")
        try:
            if not path.exists():
                for folder in (self._incoming, path.parent):
                    folder.mkdir(parents=True, exist_ok=True)
                _write(path, content, self._incoming)
                # The new name is durable only with the folder that lists it, and so on upwards.
                _sync(path.parents[: key.count("/") + 1])
        except OSError as error:
            raise _unavailable("the stored files cannot be written now; try again", error) from None

    def read(self, key: str) -> bytes:
        """Return the bytes; raise KeyError when there are none."""
        path = self._path(key)
        if path is None:
            raise KeyError(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None
        except OSError as error:
            raise _unavailable("the stored files cannot be read now; try again", error) from None

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

    def _path(self, key: str) -> Path | None:
        return self._folder / key if _KEY.fullmatch(key) else None


def _sweep(incoming: Path) -> None:
    for path in incoming.glob("*"):  # none where there is no folder yet
        with suppress(OSError):  # another process sweeps too
            if path.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                path.unlink()


def _write(path: Path, content: Content, incoming: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=incoming)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in read_pieces(content):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
