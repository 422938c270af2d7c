"""The content of a file: read-only, and readable at any place.

The code that reads a file does not know where its bytes are, and gets only those that it asks for.
So the same code can read an upload in memory, a file on a disk and an object in a bucket.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final, Protocol

from pytp_broker.errors import StoreUnavailable

# How much we read at a time when we read a whole file.
PIECE_BYTES: Final = 64 * 1024


class Content(Protocol):
    """The content of a file, which never changes."""

    @property
    def size(self) -> int:
        """Return the number of bytes."""

    def read_at(self, offset: int, length: int) -> memoryview:
        """Return the bytes at an offset, which is not negative; fewer at the end."""


@dataclass(frozen=True, slots=True)
class Held:
    """Content that is held in memory. Reading it copies nothing."""

    octets: bytes | memoryview = field(repr=False)

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return len(self.octets)

    def read_at(self, offset: int, length: int) -> memoryview:
        """Return the bytes at an offset; fewer at the end."""
        return memoryview(self.octets)[offset : offset + length]


@dataclass(frozen=True, slots=True)
class Hashed:
    """Hashes of the first bytes of content, by algorithm, which were made while they arrived."""

    size: int
    hashes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """Content of an open file. Two threads must not read it at the same time.

    ``hashed`` has the hashes of its first bytes, if anybody made them before.
    """

    file: IO[bytes]
    size: int
    hashed: Hashed | None = field(default=None, compare=False, repr=False)

    def read_at(self, offset: int, length: int) -> memoryview:
        """Return the bytes at an offset; fewer at the end. Raises StoreUnavailable."""
        try:
            self.file.seek(offset)
            return memoryview(self.file.read(length))
        except OSError as error:  # which an archive's reader would take for a broken archive
            cause = error.strerror or type(error).__name__
            raise StoreUnavailable(
                "the stored files cannot be read now; try again", operator_detail=cause
            ) from None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of other content."""

    whole: Content
    start: int
    size: int

    def read_at(self, offset: int, length: int) -> memoryview:
        """Return the bytes at an offset of the part; fewer at the end."""
        return self.whole.read_at(self.start + offset, max(0, min(length, self.size - offset)))


@dataclass(frozen=True, slots=True)
class Arrived:
    """A body that came over the wire: its first bytes in memory, the rest in a file of its own.

    The rest begins with the file of a form, if that file begins early enough.
    """

    head: bytes = field(repr=False)
    rest: Opened

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return len(self.head) + self.rest.size

    def read_at(self, offset: int, length: int) -> memoryview:
        """Return the bytes at an offset; fewer at the end."""
        cut = len(self.head)
        if offset >= cut:
            return self.rest.read_at(offset - cut, length)
        first = memoryview(self.head)[offset : offset + length]
        missing = length - len(first)
        return memoryview(bytes(first) + self.rest.read_at(0, missing)) if missing else first


@dataclass(frozen=True, slots=True)
class Lent:
    """Content that somebody else must close, as soon as it is sent."""

    content: Content
    close: Callable[[], object]

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self.content.size

    def read_at(self, offset: int, length: int) -> memoryview:
        """Return the bytes at an offset; fewer at the end."""
        return self.content.read_at(offset, length)


def find_place(content: Content) -> tuple[IO[bytes], int] | None:
    """Return the open file that has this content, and where in it; None if no file has it."""
    start = 0
    while isinstance(content, Part):
        start, content = start + content.start, content.whole
    if isinstance(content, Arrived) and start >= len(content.head):
        start, content = start - len(content.head), content.rest
    return (content.file, start) if isinstance(content, Opened) else None


def file_beginning(content: Content) -> Opened | None:
    """Return the file that begins with this content, if the content arrived in one."""
    whole, start = (content.whole, content.start) if isinstance(content, Part) else (content, 0)
    return whole.rest if isinstance(whole, Arrived) and start == len(whole.head) else None


NOTHING: Final = Held(b"")


def read_pieces(
    content: Content, start: int = 0, end: int | None = None, length: int = PIECE_BYTES
) -> Iterator[memoryview]:
    """Yield the bytes between two offsets in order, at most ``length`` at a time."""
    end = content.size if end is None else end
    for offset in range(start, end, length):
        yield content.read_at(offset, min(length, end - offset))


def read_all(content: Content) -> bytes:
    """Return all bytes of content that is known to be small; bytes in memory are not copied."""
    octets = content.read_at(0, content.size)
    whole = octets.obj
    return whole if isinstance(whole, bytes) and len(whole) == len(octets) else bytes(octets)
