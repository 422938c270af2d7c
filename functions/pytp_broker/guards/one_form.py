"""The form that the other index gets: made anew from what was checked, around the client's file.

The other index reads nothing that the guard has not read. So it does not matter that two parsers of
forms may understand the same bytes in two ways.
"""

import secrets
from collections.abc import Iterator
from typing import IO, Final

from pytp_broker.content import Content, read_pieces
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.forms import ACTION, FilePart

_PIECE_BYTES: Final = 64 * 1024
_PART: Final = '--{boundary}\r\nContent-Disposition: form-data; name="{name}"'


def spool(stream: IO[bytes], size: int, file: IO[bytes]) -> None:
    """Write a request's body to the disk, once and whole; raise InvalidUpload."""
    left = size
    while left:
        try:
            piece = stream.read(min(left, _PIECE_BYTES))
        except OSError:  # the client is gone, or silent for too long
            piece = b""
        if not piece:
            raise InvalidUpload("the body is shorter than its Content-Length says")
        file.write(piece)
        left -= len(piece)
    file.flush()


class OneForm:
    """A form with an action and one file, whose bytes stay where they are. It is read once."""

    def __init__(self, file: FilePart) -> None:
        boundary = secrets.token_hex(16)
        action = _PART.format(boundary=boundary, name=":action") + f"\r\n\r\n{ACTION}\r\n"
        content = _PART.format(boundary=boundary, name="content")
        content += f'; filename="{file.filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = (action + content).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.size = len(self._head) + file.content.size + len(self._tail)
        self._pieces = self._read_pieces(file.content)
        self._rest = b""

    def _read_pieces(self, content: Content) -> Iterator[bytes]:
        yield self._head
        yield from map(bytes, read_pieces(content))
        yield self._tail

    def read(self, size: int = -1) -> bytes:
        """Return up to this many bytes, or all; none at the end."""
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        found, self._rest = (
            (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        )
        return found
