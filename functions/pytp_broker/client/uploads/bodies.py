"""The body of a request: bytes and files, which are read from the disk while they are sent."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Final

_PIECE_BYTES: Final = 256 * 1024


class ChangedError(OSError):
    """A file changed while it was sent."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file on the disk, with the number of bytes that it must have."""

    path: Path
    size: int

    def __len__(self) -> int:
        return self.size

    def open(self) -> IO[bytes]:
        """Open the file."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class BytesPart:
    """Some bytes."""

    octets: bytes

    def __len__(self) -> int:
        return len(self.octets)

    def open(self) -> IO[bytes]:
        """Open the bytes, as a file is opened."""
        return BytesIO(self.octets)


Part = FilePart | BytesPart


class Body:
    """The parts of a body, one after the other; ``count`` is told what was read of the files.

    ``moved_at`` says when something was read for the last time, in the seconds of
    ``time.monotonic``.
    """

    def __init__(
        self, parts: Sequence[Part], count: Callable[[int], object] = lambda _: None
    ) -> None:
        self._size = sum(map(len, parts))
        self._count = count
        self._pieces = self._read(parts)
        self._rest = b""
        self._is_abandoned = False
        self.moved_at = time.monotonic()

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Return the pieces: `requests` streams only what can be iterated."""
        return iter(lambda: self.read(_PIECE_BYTES), b"")

    def read(self, size: int = _PIECE_BYTES) -> bytes:
        """Return the next bytes, at most ``size``; none at the end. Raises OSError."""
        if self._is_abandoned:
            raise OSError("nobody waits for this request any more")
        self.moved_at = time.monotonic()
        piece = self._rest or next(self._pieces, b"")
        self._rest = piece[size:]
        return piece[:size]

    def abandon(self) -> None:
        """Let the next read fail, so that the thread that sends this body ends."""
        self._is_abandoned = True

    def _read(self, parts: Sequence[Part]) -> Iterator[bytes]:
        for part in parts:
            with part.open() as file:
                left = len(part)
                while left:
                    piece = file.read(min(left, _PIECE_BYTES))
                    if not piece:
                        raise ChangedError("the file is shorter than it was")
                    left -= len(piece)
                    yield piece
                    if isinstance(part, FilePart):
                        self._count(len(piece))
