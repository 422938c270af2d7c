"""The body of a request to S3, in a form that boto3 does not copy and our own client takes."""

import io
from collections.abc import Callable
from typing import Final

from pytp_broker.aws.api.errors import CallError
from pytp_broker.content import Content

# More than an upload to AWS may have.
_MAX_COPIED_BYTES: Final = 5 * 1024 * 1024


def put_body(put: Callable[..., object], content: Content) -> None:
    """Make a request with the content as its body; raise CallError."""
    try:
        put(Body=_body(content))
    except CallError as error:
        if error.code != "ConditionalRequestConflict":
            raise
        put(Body=_body(content))  # another write was in progress: S3 asks for a second attempt


def _body(content: Content) -> "bytes | _File":
    """Return a short content as bytes, and a long one as a file.

    boto3 copies bytes twice. It copies no file, but waits until S3 says that it may send one, which
    takes a round trip more.
    """
    if content.size <= _MAX_COPIED_BYTES:
        return bytes(content.read_at(0, content.size))
    return _File(content)


class _File:
    """Content as an open file, with as much of its interface as boto3 uses."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes; if ``size`` is negative, all that are left."""
        length = self._content.size if size < 0 else size
        octets = bytes(self._content.read_at(self._position, length))
        self._position += len(octets)
        return octets

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> None:
        """Move to an offset from the beginning, from here or from the end."""
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.size}
        self._position = starts[whence] + offset

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position
