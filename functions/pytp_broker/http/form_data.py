"""Find the parts of a form (`multipart/form-data`, RFC 7578) in a body, without copying them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from multipart import MultipartSegment, PushMultipartParser

from pytp_broker.content import Arrived, Content, Part

# uv sends each dependency and each extra in a separate part, and some projects have 1000.
MAX_PARTS: Final = 4096
# A file name has 255 characters at most. RFC 7578 defines three headers; some clients send four.
MAX_HEADER_BYTES: Final = 512
MAX_HEADERS: Final = 4

_END_OF_HEADERS: Final = b"\r\n\r\n"
# No delimiter and headers of a part take more together.
_MAX_HEAD_BYTES: Final = 8 * 1024
# Some clients send text before the form. A form begins within this many bytes.
_MAX_PREAMBLE_BYTES: Final = 64 * 1024
# The parser gets this many bytes at a time, because it copies each block.
_BLOCK_BYTES: Final = 64 * 1024
# The first bytes that a finder gets are at least as many, or the whole body.
FIRST_BYTES: Final = _MAX_PREAMBLE_BYTES + _BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A part, and where in the body its octets begin."""

    segment: MultipartSegment
    start: int


class PartFinder:
    """Finds the parts of a form in a body that it gets in pieces.

    The parser says how long a part is. The octets begin after the empty line that ends its headers.
    """

    def __init__(self, boundary: str) -> None:
        """Raise ValueError for a boundary that no form may have."""
        self._closing = b"\r\n--" + boundary.encode() + b"--"
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=MAX_HEADER_BYTES,
            max_header_count=MAX_HEADERS,
            max_segment_count=MAX_PARTS,
            strict=True,
        )
        self.found: Final[list[FoundPart]] = []
        self.is_over = False
        self._error: ValueError | None = None
        self._end = 0  # of the previous part
        self._position = 0  # of the block that comes next
        self._before = b""  # what is before that block

    def pieces(self, octets: bytes) -> Iterator[tuple[FoundPart, bytes]]:
        """Look through the next bytes, and yield those that belong to a part, each with its part.

        Nothing is found unless the caller takes all pieces. What follows the form, or the first
        error in it, does not matter. Raises ValueError.
        """
        if self._error is not None:
            return
        try:
            for block in self._blocks(octets):
                yield from self._parse(block)
        except ValueError as error:  # MultipartError is a ValueError
            self._error = error
            raise

    def finish(self, body: Content) -> list[tuple[MultipartSegment, Part]]:
        """Return each part with its octets, which stay where the body is; raise ValueError."""
        if self._error is not None:
            raise self._error
        self._parser.close()
        return [(part.segment, Part(body, part.start, part.segment.size)) for part in self.found]

    def _blocks(self, octets: bytes) -> Iterator[bytes]:
        """Yield bytes in blocks, of which the very first has the first delimiter of the form.

        The parser looks for that delimiter in no other block.
        """
        if not self._position:
            delimiter = self._closing[2:-2]
            self._end = max(octets[:_MAX_PREAMBLE_BYTES].find(delimiter), 0)
            first = self._end + _BLOCK_BYTES
            yield octets[:first]
            octets = octets[first:]
        if octets and not self.is_over:
            yield octets

    def _parse(self, block: bytes) -> Iterator[tuple[FoundPart, bytes]]:
        for event in self._parser.parse(block):
            if isinstance(event, MultipartSegment):
                self.found.append(FoundPart(event, self._after_head(block)))
            elif event is not None:
                yield self.found[-1], bytes(event)
            else:
                self._end = self.found[-1].start + self.found[-1].segment.size
                self.is_over = self._look(block, len(self._closing)) == self._closing
        self._position += len(block)
        self._before = (self._before + block[-_MAX_HEAD_BYTES:])[-_MAX_HEAD_BYTES:]

    def _after_head(self, block: bytes) -> int:
        """Return where the octets of the next part begin, whose head the parser has read."""
        head = self._look(block, _MAX_HEAD_BYTES)
        return self._end + head.index(_END_OF_HEADERS) + len(_END_OF_HEADERS)

    def _look(self, block: bytes, length: int) -> bytes:
        """Return what follows the previous part. It may begin before this block."""
        offset = self._end - self._position
        if offset >= 0:
            return block[offset : offset + length]
        return (self._before[offset:] + block[:length])[:length]


@dataclass(frozen=True, slots=True)
class ArrivedForm(Arrived):
    """A form whose parts were found while it arrived."""

    boundary: str
    finder: PartFinder


def find_parts(body: Content, boundary: str) -> list[tuple[MultipartSegment, Part]]:
    """Return each part with its octets, which stay where the body is; raise ValueError."""
    if isinstance(body, ArrivedForm) and body.boundary == boundary:
        return body.finder.finish(body)
    finder = PartFinder(boundary)
    start, length = 0, FIRST_BYTES
    while start < body.size and not finder.is_over:
        for _ in finder.pieces(bytes(body.read_at(start, length))):
            pass
        start, length = start + length, _BLOCK_BYTES
    return finder.finish(body)
