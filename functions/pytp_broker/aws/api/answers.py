"""Read the answer to a request from a connection: as much of HTTP/1.1 (RFC 9112) as AWS speaks.

An answer without a length, with two, with more than it announces or less, or larger than what a
caller expects, is broken. The tests compare this with ``http.client`` on thousands of answers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_MAX_HEAD_BYTES: Final = 64 * 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_BODILESS: Final = frozenset({204, 304})


class BrokenAnswerError(OSError):
    """What came over the connection is not an answer that we can believe."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; the names of its headers are in lower case.

    With ``is_last`` the connection must not be used again.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_last: bool


def read_answer(more: Callable[[], bytes], *, is_head: bool, max_bytes: int) -> Answer:
    """Return the next answer; raise BrokenAnswerError, and what ``more`` raises.

    ``more`` returns the next bytes of the connection, and none at its end.
    """
    stream = _Stream(more)
    version, status, headers = _read_head(stream)
    while status < 200:  # noqa: PLR2004 - an interim answer, such as 100 Continue
        version, status, headers = _read_head(stream)
    is_bodiless = is_head or status in _BODILESS
    body = b"" if is_bodiless else _read_body(stream, headers, max_bytes)
    # Bytes after an answer belong to no request, so the next answer would be a stranger's.
    is_last = not _is_kept(version, headers) or stream.has_more
    return Answer(status, headers, body, is_last)


class _Stream:
    """The bytes of a connection, in the parts that HTTP has."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._held = b""

    @property
    def has_more(self) -> bool:
        return bool(self._held)

    def until(self, end: bytes, max_bytes: int) -> bytes:
        """Return what comes before an end, which is taken as well."""
        while (at := self._held.find(end)) < 0:
            if len(self._held) > max_bytes:
                raise BrokenAnswerError("a part of the answer is too long")
            self._held += self._next()
        found, self._held = self._held[:at], self._held[at + len(end) :]
        return found

    def take(self, size: int) -> bytes:
        """Return so many bytes."""
        parts, length = [self._held], len(self._held)
        while length < size:
            parts.append(self._next())
            length += len(parts[-1])
        octets = b"".join(parts)
        self._held = octets[size:]
        return octets[:size]

    def _next(self) -> bytes:
        octets = self._more()
        if not octets:
            raise BrokenAnswerError("the answer is cut off")
        return octets


def _read_head(stream: _Stream) -> tuple[bytes, int, dict[str, str]]:
    status_line, *lines = stream.until(b"\r\n\r\n", _MAX_HEAD_BYTES).split(b"\r\n")
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise BrokenAnswerError("the answer is not HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        name, text = _read_header(line)
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return found[1], int(found[2]), headers


def _read_header(line: bytes) -> tuple[str, str]:
    found = _HEADER.fullmatch(line)
    if found is None:
        raise BrokenAnswerError("a header of the answer is not HTTP")
    return found[1].decode("ascii").lower(), found[2].decode("latin-1")


def _read_body(stream: _Stream, headers: Mapping[str, str], max_bytes: int) -> bytes:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and length is None and coding.lower() == "chunked":
        return _read_chunks(stream, max_bytes)
    if coding is not None or length is None or not _LENGTH.fullmatch(length):
        raise BrokenAnswerError("the answer does not say how long it is")
    if int(length) > max_bytes:
        raise BrokenAnswerError("the answer is too large")
    return stream.take(int(length))


def _read_chunks(stream: _Stream, max_bytes: int) -> bytes:
    chunks, left = [], max_bytes
    while size := _read_chunk_size(stream):
        left -= size
        if left < 0:
            raise BrokenAnswerError("the answer is too large")
        chunks.append(stream.take(size))
        if stream.take(2) != b"\r\n":
            raise BrokenAnswerError("a chunk of the answer has another length")
    while stream.until(b"\r\n", _MAX_HEAD_BYTES):
        pass  # a trailer, which we do not need
    return b"".join(chunks)


def _read_chunk_size(stream: _Stream) -> int:
    found = _CHUNK_SIZE.fullmatch(stream.until(b"\r\n", _MAX_HEAD_BYTES))
    if found is None:
        raise BrokenAnswerError("a chunk of the answer has no length")
    return int(found[1], 16)


def _is_kept(version: bytes, headers: Mapping[str, str]) -> bool:
    options = {option.strip() for option in headers.get("connection", "").lower().split(",")}
    return "keep-alive" in options if version == b"0" else "close" not in options
