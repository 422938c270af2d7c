"""Find the end of a request, and refuse one whose end a proxy in front of us may read differently.

Two servers that disagree about the end of a request take one request for two (request smuggling).
So we read what RFC 9112 asks of a sender and nothing else. Where the RFC lets a server be lenient,
such as with a bare LF, we refuse the request and close the connection. The tests compare us with
h11 on made-up bytes: what it refuses, we refuse, and what we take, it reads in the same way.
"""

import re
from dataclasses import dataclass
from typing import Final

# How long a head, a line of a chunk or the fields after the last chunk may be.
MAX_BYTES: Final = 16 * 1024
_MAX_DIGITS: Final = 20

_TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
# Any text matches each of these in one way at most: an expression that may divide blanks between
# two of its parts tries every division, which takes days for a head of a few fields.
_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELD: Final = rb"(%s):(%s)\r\n" % (_TOKEN, _TEXT)
_REQUEST_LINE: Final = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/(1\.[01])\r\n" % _TOKEN)
_EACH_FIELD: Final = re.compile(_FIELD)
_FIELDS: Final = re.compile(rb"(?:%s)*" % _FIELD)
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,20})(?:[ \t]*|;%s)\r\n" % _TEXT)
_LENGTH: Final = re.compile(rb"[0-9]{1,%d}" % _MAX_DIGITS)

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_FOLDED_LINE: Final = re.compile(rb"\n[ \t]")
_SIZES: Final = frozenset({b"content-length", b"transfer-encoding"})
# The fields by which we find the end of a request and of a connection.
_FRAMING: Final = _SIZES | {b"host", b"connection", b"expect"}

Fields = list[tuple[bytes, bytes]]


class FramingError(Exception):
    """The bytes are not a request, or not one that has a single end; the text says why."""


class SizedBody:
    """A body whose length the head says."""

    def __init__(self, size: int) -> None:
        self._left = size

    @property
    def is_whole(self) -> bool:
        """Say whether all of it has been taken."""
        return not self._left

    def take(self, received: bytearray) -> bytes:
        """Remove from what was received what is of this body, and return it."""
        with memoryview(received) as whole:
            taken = bytes(whole[: self._left])
        del received[: self._left]
        self._left -= len(taken)
        return taken


class ChunkedBody:
    """A body that comes in chunks, each with its size (RFC 9112 §7.1)."""

    def __init__(self) -> None:
        self.is_whole = False
        self._data = SizedBody(0)
        self._is_chunk_open = False  # the line end after the data is still to come
        self._is_trailer = False
        self._trailer_bytes = 0
        self._line = _Part(re.compile(rb"\n"), "a line of a chunk")

    def take(self, received: bytearray) -> bytes:
        """Remove from what was received what is of this body, and return its data.

        Raises FramingError.
        """
        taken = bytearray()
        while not self.is_whole:
            if not self._data.is_whole:
                taken += self._data.take(received)
            if not self._data.is_whole or not self._read_line(received):
                break
        return bytes(taken)

    def _read_line(self, received: bytearray) -> bool:
        """Read what is not data; return False if it has not come."""
        if self._is_chunk_open:
            return self._close_chunk(received)
        line = self._line.take(received)
        if line is None:
            return False
        if self._is_trailer:
            self._read_trailer(line)
        else:
            self._open_chunk(line)
        return True

    def _open_chunk(self, line: bytes) -> None:
        found = _CHUNK.fullmatch(line)
        if not found:
            raise FramingError("a chunk of the body does not begin with its size")
        size = int(found[1], 16)
        self._data = SizedBody(size)
        self._is_chunk_open, self._is_trailer = size > 0, size == 0

    def _close_chunk(self, received: bytearray) -> bool:
        if not b"\r\n".startswith(received[:2]):
            raise FramingError("a chunk of the body is longer than its size")
        if len(received) < len(b"\r\n"):
            return False
        del received[:2]
        self._is_chunk_open = False
        return True

    def _read_trailer(self, line: bytes) -> None:
        """Check a field after the last chunk and drop it; the empty line ends the body."""
        self._trailer_bytes += len(line)
        if line == b"\r\n":
            self.is_whole = True
        elif self._trailer_bytes > MAX_BYTES or not _EACH_FIELD.fullmatch(line):
            raise FramingError("what follows the last chunk is not a header field")


Body = SizedBody | ChunkedBody


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request; the names of its fields are in lower case."""

    method: bytes
    target: bytes
    http_version: str
    fields: Fields
    body: Body
    is_last: bool
    asks_first: bool


class HeadReader:
    """Reads the heads of a connection's requests."""

    def __init__(self) -> None:
        self._part = _Part(_END_OF_HEAD, "the head")

    def take(self, received: bytearray) -> Head | None:
        """Remove a head from what was received; return None if it has not come whole.

        Raises FramingError.
        """
        if received and received[0] <= ord(" "):
            raise FramingError("a request begins with its method: no other bytes may precede it")
        octets = self._part.take(received)
        return None if octets is None else read_head(octets)


class _Part:
    """Finds the end of a part of a request, and searches no byte twice.

    Otherwise a head that comes byte by byte would cost as much as a hundred whole ones.
    """

    def __init__(self, end: re.Pattern[bytes], name: str) -> None:
        self._end, self._name = end, name
        self._searched = 0

    def take(self, received: bytearray) -> bytes | None:
        """Remove the part from what was received; return None if it has not come whole."""
        found = self._end.search(received, max(0, self._searched - 2))
        size = found.end() if found else len(received)
        if size > MAX_BYTES:
            raise FramingError(f"{self._name} is longer than {MAX_BYTES // 1024} KiB")
        self._searched = 0 if found else size
        if not found:
            return None
        part = bytes(received[:size])
        del found, received[:size]  # a match keeps the array from changing its size
        return part


def read_head(octets: bytes) -> Head:
    """Return the head in these bytes, which end with an empty line; raise FramingError."""
    first = _REQUEST_LINE.match(octets)
    if not first or not _FIELDS.fullmatch(octets, first.end(), len(octets) - len(b"\r\n")):
        raise FramingError(_fault_of(octets))
    method, target, version = first.groups()
    found = read_fields(octets[first.end() :])
    fields = [(name.lower(), value) for name, value in found]
    ours = [field for field in fields if field[0] in _FRAMING]
    is_old = version == b"1.0"
    _check_hosts([value for name, value in ours if name == b"host"], is_old=is_old)
    sizes = [field for field in ours if field[0] in _SIZES]
    return Head(
        method=method,
        target=target,
        http_version=version.decode(),
        fields=fields,
        body=_find_body(sizes, is_old=is_old),
        is_last=is_old or says(ours, b"connection", b"close"),
        asks_first=not is_old and says(ours, b"expect", b"100-continue"),
    )


def read_fields(lines: bytes) -> Fields:
    """Return the header fields in these lines, as every reader finds them."""
    return [(name, value.strip(b" \t")) for name, value in _EACH_FIELD.findall(lines)]


def says(fields: Fields, name: bytes, word: bytes) -> bool:
    """Return whether a field, which is a list of words, has this word."""
    return any(
        word in [each.strip() for each in value.lower().split(b",")]
        for found, value in fields
        if found.lower() == name
    )


def _fault_of(head: bytes) -> str:
    """Return what is wrong with the lines of a head."""
    if _BARE_LINE_FEED.search(head):
        return "a line of the head ends with LF alone: end every line with CR LF"
    if _FOLDED_LINE.search(head):
        return "a header field goes on in a second line: send every field in one line"
    if not _REQUEST_LINE.match(head):
        return "the first line is not that of a request in HTTP/1.1"
    return "a header field is malformed: send NAME: VALUE in visible characters"


def _check_hosts(hosts: list[bytes], *, is_old: bool) -> None:
    if len(hosts) > 1 or not (hosts or is_old):
        raise FramingError(f"the head has {len(hosts)} Host fields: send one")


def _find_body(sizes: Fields, *, is_old: bool) -> Body:
    """Return the body that a head announces; raise FramingError for one with two ends."""
    if not sizes:
        return SizedBody(0)
    if len(sizes) > 1:
        raise FramingError(
            "the head has two fields for the length of the body: "
            "send one Content-Length, or Transfer-Encoding, and not both"
        )
    [(name, value)] = sizes
    if name == b"content-length":
        return SizedBody(_read_length(value))
    if is_old:
        raise FramingError(
            "HTTP/1.0 has no Transfer-Encoding: send Content-Length, or a later version of HTTP"
        )
    if value.lower() != b"chunked":
        raise FramingError("the server knows no Transfer-Encoding other than chunked")
    return ChunkedBody()


def _read_length(value: bytes) -> int:
    if not _LENGTH.fullmatch(value):
        raise FramingError("Content-Length is not a number of bytes")
    return int(value)
