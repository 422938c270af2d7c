"""Read tar headers from a gzip, and refuse each one that tools do not all read alike.

Tools disagree about where a number or a name ends, and about what an undefined header means. Build
tools write nothing of that kind, so it is refused.
"""

import codecs
import io
import re
import struct
import zlib
from typing import Final, NamedTuple

from pytp_broker.content import Content, read_pieces
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import PACKED_BYTES, check_unpacked_size, inflate
from pytp_broker.redaction import printable

# An extended header holds one or two paths of at most 4 KiB each, and some short values.
MAX_READ_BYTES: Final = 16 * 1024

GLOBAL: Final = b"g"
RECORDS: Final = b"x"
LONG_NAME: Final = b"L"
LONG_TARGET: Final = b"K"

_GZIP: Final = 16 + zlib.MAX_WBITS
_BLOCK_BYTES: Final = 512
_HEADER: Final = struct.Struct("<100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
_POSIX: Final = b"ustar\x0000"
_GNU: Final = b"ustar  \0"

# Octal digits, blanks before them, and blanks or NULs after them. Tools read everything else
# differently.
_OCTAL: Final = re.compile(rb" *([0-7]+)[ \0]*")
# Numbers that nothing depends on may be missing, or binary with 32 bits. If one is larger, some
# tools skip the whole member.
_NUMBER: Final = re.compile(rb" *[0-7]*[ \0]*|\x80\0{3}(?:\0{4})?.{4}", re.DOTALL)
# ``LENGTH KEY=VALUE`` and a newline. The value must not be empty, which would take back an earlier
# one. It must not hold a NUL or a newline, because some tools end the value there.
_RECORD: Final = re.compile(rb"([1-9][0-9]{0,4}) ([^=\0\n]+)=([^\0\n]+)\n")
# Numbers in records, by their key. A size must also equal the header's.
_RECORD_NUMBERS: Final = {
    **dict.fromkeys(b"gid uid".split(), re.compile(rb"[0-9]{1,12}")),
    **dict.fromkeys(b"atime ctime mtime size".split(), re.compile(rb"-?[0-9]{1,12}(?:\.[0-9]*)?")),
}
# The keys that records may have for all members, and below those for one member: nothing about
# sparse files, and no charset.
GLOBAL_KEYS: Final = frozenset(b"atime comment ctime gid gname mtime uid uname".split())
KEYS: Final = GLOBAL_KEYS | {b"linkpath", b"path", b"size"}
# Control characters, and the beginning of bzip2, which has none of them.
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f]|\ABZh[1-9]1AY&SY")


class Stream:
    """The content of the gzip, piece by piece."""

    def __init__(self, content: Content) -> None:
        self._pieces = inflate(read_pieces(content, length=PACKED_BYTES), _GZIP)
        self._piece = io.BytesIO()
        self.packed_size = content.size
        self.position = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes, within the limit for all of them; fewer at the end."""
        octets = self._piece.read(size)
        while len(octets) < size and (piece := next(self._pieces, b"")):
            self._piece = io.BytesIO(piece)
            octets += self._piece.read(size - len(octets))
        self.position += len(octets)
        check_unpacked_size(self.position, self.packed_size)
        return octets

    def skip(self, size: int) -> None:
        """Skip this many bytes, which must exist."""
        while size:
            octets = self.take(min(size, MAX_READ_BYTES))
            if not octets:
                raise InvalidUpload("the sdist is cut short")
            size -= len(octets)

    def finish(self) -> None:
        """Read to the end, where gzip checks its sum; the rest must be zeros."""
        while octets := self.take(MAX_READ_BYTES):
            if octets.strip(b"\0"):
                raise InvalidUpload("the sdist has data after the end of its tar archive")


class Header(NamedTuple):
    """The raw fields of a header."""

    name: bytes
    mode: bytes
    uid: bytes
    gid: bytes
    stated_size: bytes
    mtime: bytes
    checksum: bytes
    kind: bytes
    link: bytes
    magic: bytes
    user: bytes
    group: bytes
    major: bytes
    minor: bytes
    prefix: bytes
    rest: bytes

    @property
    def size(self) -> int:
        """Return the size of the content that follows."""
        return _parse_octal(self.stated_size)

    @property
    def path(self) -> bytes:
        """Return the member's name, in one piece."""
        name, prefix = end_text(self.name), end_text(self.prefix)
        return prefix + b"/" + name if prefix else name

    @property
    def target(self) -> bytes:
        """Return what a link leads to; empty for other members."""
        return end_text(self.link)


def read_following(stream: "Stream") -> Header:
    """Return the header that must follow an extended header."""
    header = read_header(stream)
    if not header:
        raise InvalidUpload(
            "the sdist ends after an extended header, without the member that it describes"
        )
    return header


def read_header(stream: "Stream") -> Header | None:
    """Return the next header, or None at the end of the archive: a block of zeros, or no block.

    Some tools read on after such a block, so only zeros may follow it.
    """
    block = stream.take(_BLOCK_BYTES)
    if not block.strip(b"\0"):
        stream.finish()
        return None
    if len(block) < _BLOCK_BYTES:
        raise InvalidUpload("the sdist is cut short, or data follows its tar archive")
    header = Header(*_HEADER.unpack(block))
    # The checksum is counted as if its own field held blanks.
    _check_header(header, sum(block) - sum(header.checksum) + 8 * ord(" "))
    return header


def _check_header(header: Header, checksum: int) -> None:
    """Check that every tool reads this header: some skip or stop at what others accept."""
    if _parse_octal(header.checksum) != checksum:
        raise InvalidUpload("the sdist has a tar header with a wrong checksum")
    if header.magic not in (_POSIX, _GNU):
        raise InvalidUpload("the sdist has a tar header that is neither POSIX's nor GNU tar's")
    _check_own_name(header.name)
    # GNU tar puts other fields where the prefix is, and star puts some at the prefix's end.
    if header.rest.strip(b"\0") or (header.magic == _GNU and header.prefix.strip(b"\0")):
        raise InvalidUpload("the sdist has a tar header with data after its fields")
    for number in (header.mode, header.uid, header.gid, header.mtime, header.major, header.minor):
        if not _NUMBER.fullmatch(number):
            raise InvalidUpload("the sdist has a tar header with a malformed number")


def _check_own_name(field: bytes) -> None:
    """Check that a header begins with text: bsdtar decompresses what begins like a compressed file.

    The field may end in the middle of a character.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(end_text(field))
    except UnicodeDecodeError:
        raise InvalidUpload("the sdist has a member whose name is not UTF-8") from None
    if _NO_TEXT.search(text):
        raise InvalidUpload("the sdist has a tar header whose name is not text")


def _parse_octal(field: bytes) -> int:
    match = _OCTAL.fullmatch(field)
    if not match:
        raise InvalidUpload("the sdist has a tar header with a malformed size or checksum")
    return int(match[1], 8)


def end_text(field: bytes) -> bytes:
    """Return a field's text up to its NULs; refuse text after them, as not all tools stop there."""
    text = field.rstrip(b"\0")
    if b"\0" in text:
        raise InvalidUpload("the sdist has a name with data after its end")
    return text


def decode(name: bytes) -> str:
    """Return a name as text; it must be UTF-8, as tools disagree about how to write other bytes."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidUpload("the sdist has a member whose name is not UTF-8") from None


def read_long_text(stream: "Stream", header: Header) -> bytes:
    """Return GNU tar's long name or target, which has one NUL, at the end that its size states."""
    name, end, rest = _read_extended(stream, header).partition(b"\0")
    if not end or rest:
        raise InvalidUpload("the sdist has a long name whose length is not as stated")
    return name


def read_records(stream: "Stream", header: Header, known: frozenset[bytes]) -> dict[bytes, bytes]:
    """Return the records of an extended header: each key must be known and occur once."""
    octets = _read_extended(stream, header)
    records: dict[bytes, bytes] = {}
    while octets:
        match = _RECORD.match(octets)
        if not match or int(match[1]) != match.end():
            raise InvalidUpload("the sdist has a malformed extended header")
        _, key, value = match.groups()
        shown = printable(key.decode(errors="replace"))
        if key not in known:
            raise InvalidUpload(f"the sdist has an extended header that must not say `{shown}`")
        if key in records:
            raise InvalidUpload(f"the sdist has an extended header that says `{shown}` twice")
        if key in _RECORD_NUMBERS and not _RECORD_NUMBERS[key].fullmatch(value):
            raise InvalidUpload(f"the sdist has an extended header with a malformed `{shown}`")
        records[key] = value
        octets = octets[match.end() :]
    return records


def _read_extended(stream: "Stream", header: Header) -> bytes:
    """Return the content of an extended header; zeros must follow, as some tools read on there."""
    if header.size > MAX_READ_BYTES:
        raise InvalidUpload("the sdist has a header that is too long")
    octets = stream.take(header.size)
    if stream.take(padding(header.size)).strip(b"\0"):
        raise InvalidUpload("the sdist has an extended header that is longer than stated")
    return octets


def padding(size: int) -> int:
    """Return how many bytes lie between content of this size and the next header."""
    return -size % _BLOCK_BYTES
