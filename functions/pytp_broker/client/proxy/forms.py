"""Read a form of the legacy upload API: its file goes to the disk while it arrives.

The bytes around the file are kept, so that the same form can be sent on. Memory holds them and a
piece of the file, whatever the size of the file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final, Protocol

from pytp_broker.names import is_file_name

# What may stand before the file, with the whole description of a project, and after it.
MAX_TEXT_BYTES: Final = 8 * 1024 * 1024
_PIECE_BYTES: Final = 256 * 1024
_FIELD_NAME: Final = re.compile(rb'name="([^"\r\n]*)"')
_FILE_NAME: Final = re.compile(rb'filename="([^"\r\n]*)"')
# The name of the file on the disk, where the form's name for it is not one of a distribution.
_UNNAMED: Final = "content"


class FormError(Exception):
    """A request does not hold a form that this proxy understands; the text says why."""


class Stream(Protocol):
    """Where a request comes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to this many bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form whose file is on the disk, between the bytes that stood before and after it."""

    content_type: str
    head: bytes
    file: Path
    size: int
    tail: bytes
    fields: Mapping[str, str]


def receive(stream: Stream, length: int, content_type: str, folder: Path) -> Form:
    """Read a form of this length from a stream into a folder; raise FormError or OSError."""
    return _Receiver(stream, length, _delimiter(content_type), folder).run(content_type)


def _delimiter(content_type: str) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/form-data" or not boundary:
        raise FormError("the request is not a form (multipart/form-data with a boundary)")
    return b"--" + boundary.encode()


class _Receiver:
    """Reads one form, from its beginning to its end."""

    def __init__(self, stream: Stream, length: int, delimiter: bytes, folder: Path) -> None:
        self._stream = stream
        self._left = length
        self._delimiter = delimiter
        self._folder = folder
        self._buffer = bytearray()

    def run(self, content_type: str) -> Form:
        headers = self._read_head()
        head, rest = bytes(self._buffer[: headers.end()]), self._buffer[headers.end() :]
        path = self._folder / _name_in(headers[0])
        size, tail = self._read_file(path, rest)
        fields = _fields_in(head + tail, self._delimiter)
        return Form(content_type, head, path, size, tail, fields)

    def _read_head(self) -> re.Match[bytes]:
        """Read until the headers of the file have come, and return where they are."""
        delimiter = re.escape(self._delimiter)
        headers = re.compile(
            rb"(?:\A|\r\n)" + delimiter + rb"\r\n"
            rb'(?i:content-disposition:)[^\r\n]*; *name="content"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n'
        )
        while True:
            if found := headers.search(self._buffer):
                return found
            if len(self._buffer) > MAX_TEXT_BYTES:
                raise FormError("the form has too much text before its file")
            if not (piece := self._read()):
                raise FormError("the form has no file: no part is named `content`")
            self._buffer += piece

    def _read_file(self, path: Path, rest: bytearray) -> tuple[int, bytes]:
        """Write the file; return its size, and what follows it."""
        end = b"\r\n" + self._delimiter
        with path.open("xb") as file:
            while (found := rest.find(end)) < 0:
                # The last bytes may be the beginning of the delimiter.
                whole = max(len(rest) - len(end) + 1, 0)
                file.write(rest[:whole])
                del rest[:whole]
                if not (piece := self._read()):
                    raise FormError("the form ends in the middle of its file")
                rest += piece
            file.write(rest[:found])
            size = file.tell()
        return size, self._read_tail(rest[found:])

    def _read_tail(self, tail: bytearray) -> bytes:
        while piece := self._read():
            tail += piece
            if len(tail) > MAX_TEXT_BYTES:
                raise FormError("the form has too much text after its file")
        if self._left:
            raise FormError("the form is shorter than its length says")
        return bytes(tail)

    def _read(self) -> bytes:
        piece = self._stream.read(min(self._left, _PIECE_BYTES))
        self._left -= len(piece)
        return piece


def _name_in(headers: bytes) -> str:
    """Return the name of the file, if a distribution could have it: no path, nothing hidden."""
    found = _FILE_NAME.search(headers)
    name = found[1].decode("ascii", "replace") if found else ""
    return name if is_file_name(name) else _UNNAMED


def _fields_in(text: bytes, delimiter: bytes) -> dict[str, str]:
    """Return the fields before and after the file; of several with one name, the last."""
    fields = {}
    for part in text.split(delimiter + b"\r\n"):
        headers, _, value = part.partition(b"\r\n\r\n")
        if found := _FIELD_NAME.search(headers):
            shown = value.partition(b"\r\n" + delimiter)[0].removesuffix(b"\r\n")
            fields[found[1].decode(errors="replace")] = shown.decode(errors="replace")
    return fields
