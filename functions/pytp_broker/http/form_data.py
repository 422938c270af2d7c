"""Find the parts of a form (`multipart/form-data`, RFC 7578) in a body, without copying them."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from multipart import MultipartSegment, PushMultipartParser

# uv sends each dependency and each extra in a separate part, and some projects have 1000.
MAX_PARTS: Final = 4096
# A file name has 255 characters at most. RFC 7578 defines three headers; some clients send four.
MAX_HEADER_BYTES: Final = 512
MAX_HEADERS: Final = 4

_END_OF_HEADERS: Final = b"\r\n\r\n"
# The parser gets this many bytes at a time, because it copies each block.
_BLOCK_BYTES: Final = 64 * 1024


def find_parts(body: bytes, boundary: str) -> Iterator[tuple[MultipartSegment, memoryview]]:
    """Yield each part with its octets, which are a view of the body; raise ValueError.

    The parser says how long a part is. The octets begin after the empty line that ends its headers.
    """
    delimiter = b"--" + boundary.encode()
    segments = _parse(body, boundary, delimiter)
    view, end = memoryview(body), body.find(delimiter)
    for segment in segments:
        start = body.index(_END_OF_HEADERS, end) + len(_END_OF_HEADERS)
        end = start + segment.size
        yield segment, view[start:end]


def _parse(body: bytes, boundary: str, delimiter: bytes) -> list[MultipartSegment]:
    parser = PushMultipartParser(
        boundary,
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADERS,
        max_segment_count=MAX_PARTS,
        strict=True,
    )
    with parser:
        events = chain.from_iterable(map(parser.parse, _split(body, delimiter)))
        return [event for event in events if isinstance(event, MultipartSegment)]


def _split(body: bytes, delimiter: bytes) -> Iterator[bytes]:
    """Yield the body in blocks. The first delimiter is in the first, the form's end in the last.

    The parser looks for the first delimiter in no other block. It takes what follows the form, such
    as a newline, but no further block.
    """
    first, last = body.find(delimiter), body.find(b"\r\n" + delimiter + b"--")
    last = len(body) if last < 0 else last
    start = 0
    for end in range(max(first, 0) + _BLOCK_BYTES, last, _BLOCK_BYTES):
        yield body[start:end]
        start = end
    yield body[start:last]
    yield body[last:]
