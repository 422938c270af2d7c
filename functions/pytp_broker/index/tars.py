"""Sdists as one tar archive inside one gzip: read once, forwards, and their PKG-INFO.

tarfile reads whatever length a header states, follows sparse maps of any size, and has gone round
in circles (CVE-2024-6232, CVE-2025-8194). It reads here from a stream that lets only plain files,
directories and well-formed extended headers reach it.
"""

import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Final, cast

from pytp_broker.errors import InvalidUpload
from pytp_broker.index.distributions import Distribution
from pytp_broker.index.members import (
    check_count,
    check_metadata_size,
    check_name,
    check_spelling,
    check_unpacked_size,
    inflate,
)

# An extended header holds a path, which has 4 KiB at most, and some small things.
MAX_READ_BYTES: Final = 16 * 1024

_GZIP: Final = 16 + zlib.MAX_WBITS
_TYPE_OFFSET: Final = 156
_PLAIN_TYPES: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
_RECORDS_TYPES: Final = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED_TYPES: Final = (*_RECORDS_TYPES, tarfile.GNUTYPE_LONGNAME)


def read_sdist(_distribution: Distribution, content: bytes) -> bytes:
    """Return an sdist's PKG-INFO; raise InvalidUpload, or what tarfile raises for a broken tar."""
    stream = _TarStream(content)
    tops: set[str] = set()
    found: list[bytes] = []
    for member in _members(stream):
        top, _, rest = member.name.partition("/")
        tops.add(top)
        check_spelling(rest, "PKG-INFO")
        if rest == "PKG-INFO" and member.isreg():
            check_metadata_size(member.size)
            found.append(stream.take(member.size))
    stream.finish()
    if len(tops) != 1 or not found:
        raise InvalidUpload("the sdist must have one top-level directory, with a PKG-INFO in it")
    return found[0]


def _members(stream: "_TarStream") -> Iterator[tarfile.TarInfo]:
    """Yield the members; while one is looked at, the stream stands where its content begins."""
    names: set[str] = set()
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as archive:
        for member in archive:
            check_name(member.name, names)
            check_count(len(names))
            yield member


class _TarStream:
    """What tarfile reads from: it sees every header before tarfile does."""

    def __init__(self, content: bytes) -> None:
        self._pieces = inflate(content, _GZIP)
        self._piece = io.BytesIO()
        self._packed_size = len(content)
        self._position = 0
        self._extended_type = b""
        self._header = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        """Go forwards; at the end of the stream tarfile finds out by itself."""
        if position < self._position:
            raise InvalidUpload("the sdist has a member of impossible size")
        while self._position < position:
            if not self.take(min(MAX_READ_BYTES, position - self._position)):
                return

    def read(self, size: int) -> bytes:
        """Return a header, or what belongs to an extended one: tarfile asks for nothing else.

        But for single bytes, with which it makes sure that content is there.
        """
        if size > MAX_READ_BYTES:
            raise InvalidUpload("the sdist has a header that is too long")
        octets = self.take(size)
        if self._extended_type:
            self._check_extended(octets)
        elif size == tarfile.BLOCKSIZE:
            self._check_header(octets)
        return octets

    def _check_header(self, header: bytes) -> None:
        self._header = header
        kind = header[_TYPE_OFFSET : _TYPE_OFFSET + 1]
        if kind in _EXTENDED_TYPES:
            self._extended_type = kind
        elif kind and kind not in _PLAIN_TYPES:
            raise InvalidUpload("the sdist has a member that is no plain file and no directory")

    def _check_extended(self, octets: bytes) -> None:
        if self._extended_type in _RECORDS_TYPES:
            _check_records(octets)
        self._extended_type = b""

    def take(self, size: int) -> bytes:
        """Return the next bytes, within the limit for all of them."""
        octets = self._piece.read(size)
        while len(octets) < size and (piece := next(self._pieces, b"")):
            self._piece = io.BytesIO(piece)
            octets += self._piece.read(size - len(octets))
        self._position += len(octets)
        check_unpacked_size(self._position, self._packed_size)
        return octets

    def finish(self) -> None:
        """Read to the end, where gzip has its sum; from the last header on, all must be zeros.

        tarfile stops at a block of zeros and at one that is no header. Others go on behind both.
        """
        octets = self._header
        while octets:
            if octets != bytes(len(octets)):
                raise InvalidUpload("the sdist goes on behind the end of its tar archive")
            octets = self.take(MAX_READ_BYTES)


def _check_records(octets: bytes) -> None:
    """Check that the records of an extended header follow one another, and make nothing sparse.

    A record is ``LENGTH KEY=VALUE`` and a newline, the length counting all of it.
    """
    rest = octets.rstrip(b"\0")
    while rest:
        length, _, _ = rest.partition(b" ")
        record = rest[: max(0, int(length))]
        key, separator, _ = record[len(length) + 1 :].partition(b"=")
        if not separator or not record.endswith(b"\n") or key.startswith(b"GNU.sparse"):
            raise InvalidUpload("the sdist has a malformed extended header")
        rest = rest[len(record) :]
