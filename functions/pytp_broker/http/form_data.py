"""Find the parts of a form (`multipart/form-data`, RFC 7578) in a body, without copying them."""

from collections.abc import Iterator
from typing import Final

from multipart import MultipartSegment, PushMultipartParser

from pytp_broker.content import Content, Part

# uv sends each dependency and each extra in a separate part, and some projects have 1000.
MAX_PARTS: Final = 4096
# A file name has 255 characters at most. RFC 7578 defines three headers; some clients send four.
MAX_HEADER_BYTES: Final = 512
MAX_HEADERS: Final = 4

END_OF_HEADERS: Final = b"\r\n\r\n"
# No delimiter and headers of a part take more together.
_MAX_HEAD_BYTES: Final = 8 * 1024
# Some clients send text before the form. A form begins within this many bytes.
_MAX_PREAMBLE_BYTES: Final = 64 * 1024
# The parser gets this many bytes at a time, because it copies each block.
_BLOCK_BYTES: Final = 64 * 1024


def find_parts(body: Content, boundary: str) -> Iterator[tuple[MultipartSegment, Part]]:
    """Yield each part with its octets, which stay where the body is; raise ValueError.

    The parser says how long a part is. The octets begin after the empty line that ends its headers.
    """
    delimiter = b"--" + boundary.encode()
    parser = PushMultipartParser(
        boundary,
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADERS,
        max_segment_count=MAX_PARTS,
        strict=True,
    )
    with parser:
        yield from _Parts(body, delimiter, parser)


class _Parts:
    """Follows the parser through a body, block by block, until the form ends."""

    def __init__(self, body: Content, delimiter: bytes, parser: PushMultipartParser) -> None:
        self._body = body
        self._delimiter = delimiter
        self._parser = parser
        self._first = max(bytes(body.read_at(0, _MAX_PREAMBLE_BYTES)).find(delimiter), 0)

    def __iter__(self) -> Iterator[tuple[MultipartSegment, Part]]:
        segments: list[MultipartSegment] = []
        end, is_over = self._first, False
        for block in self._blocks():
            for event in self._parser.parse(block):
                if isinstance(event, MultipartSegment):
                    segments.append(event)
                elif event is None:
                    part = Part(self._body, self._after_head(end), segments[-1].size)
                    end = part.start + part.size
                    is_over = self._is_over(end)
                    yield segments[-1], part
            if is_over:
                return

    def _blocks(self) -> Iterator[bytes]:
        """Yield the body in blocks. The first delimiter is in the first block.

        The parser looks for it in no other block.
        """
        start, end = 0, self._first + _BLOCK_BYTES
        while start < self._body.size:
            yield bytes(self._body.read_at(start, end - start))
            start, end = end, end + _BLOCK_BYTES

    def _after_head(self, end: int) -> int:
        """Return where the octets of a part begin; ``end`` is where the part before it ends."""
        head = bytes(self._body.read_at(end, _MAX_HEAD_BYTES))
        return end + head.index(END_OF_HEADERS) + len(END_OF_HEADERS)

    def _is_over(self, end: int) -> bool:
        """Say whether the form ends after a part. What follows it does not matter.

        The parser takes no further block then.
        """
        closing = b"\r\n" + self._delimiter + b"--"
        return bytes(self._body.read_at(end, len(closing))) == closing
