"""Sdists as one tar archive inside one gzip: read once, forwards, and their PKG-INFO.

Tar has grown for forty years, and its readers disagree: which of two names or two sizes of a member
counts, where a number or a name ends, what a header means that has no meaning. What one of them
checks is not what another one unpacks (CVE-2025-62518, CVE-2026-33055, CVE-2026-53655). So this
reads only what all of them understand alike, which is all that build tools write, and refuses the
rest. Python's tarfile is one of those that take far more: it is not asked.
"""

import codecs
import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from pytp_broker.display import printable
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.distributions import Distribution
from pytp_broker.index.members import (
    MemberNames,
    check_metadata_size,
    check_spelling,
    check_unpacked_size,
    inflate,
)

# An extended header holds a path, which has 4 KiB at most, and some small things.
MAX_READ_BYTES: Final = 16 * 1024

_GZIP: Final = 16 + zlib.MAX_WBITS
_BLOCK_BYTES: Final = 512
_HEADER: Final = struct.Struct("<100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
_POSIX: Final = b"ustar\x0000"
_GNU: Final = b"ustar  \0"

_DIRECTORY: Final = b"5"
_PLAIN_TYPES: Final = (b"0", b"\0", _DIRECTORY)
_GLOBAL: Final = b"g"
_RECORDS: Final = b"x"
_LONG_NAME: Final = b"L"

# Octal digits, with blanks before them and blanks or NULs behind; tools differ about all else.
_OCTAL: Final = re.compile(rb" *([0-7]+)[ \0]*")
# Numbers that nothing depends on may be missing, or binary, of 32 bits. Some tools skip the whole
# member where one is larger.
_NUMBER: Final = re.compile(rb" *[0-7]*[ \0]*|\x80\0{3}(?:\0{4})?.{4}", re.DOTALL)
# ``LENGTH KEY=VALUE`` and a newline. An empty value takes back what was said before; and some tools
# end a value at a NUL, or a record at the first newline.
_RECORD: Final = re.compile(rb"([1-9][0-9]{0,4}) ([^=\0\n]+)=([^\0\n]+)\n")
# Numbers in records, by their key; a size is compared with the header's besides.
_RECORD_NUMBERS: Final = {
    **dict.fromkeys(b"gid uid".split(), re.compile(rb"[0-9]{1,12}")),
    **dict.fromkeys(b"atime ctime mtime size".split(), re.compile(rb"-?[0-9]{1,12}(?:\.[0-9]*)?")),
}
# What records may say for all members, and what else for one: no links, nothing sparse, no charset.
_GLOBAL_KEYS: Final = frozenset(b"atime comment ctime gid gname mtime uid uname".split())
_KEYS: Final = _GLOBAL_KEYS | {b"path", b"size"}
# Control characters; and how bzip2 begins, which has none at first.
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f]|\ABZh[1-9]1AY&SY")
_NOT_ONE_FOLDER: Final = "the sdist must have one top-level directory, with a PKG-INFO in it"


class _Header(NamedTuple):
    """The fields of a header, as they are in it."""

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
        return _parse_octal(self.stated_size)

    @property
    def path(self) -> bytes:
        name, prefix = _end_text(self.name), _end_text(self.prefix)
        return prefix + b"/" + name if prefix else name


class _Member(NamedTuple):
    name: str
    kind: bytes
    size: int


def read_sdist(_distribution: Distribution, content: bytes) -> bytes:
    """Return an sdist's PKG-INFO; raise InvalidUpload, or zlib.error for a broken gzip."""
    stream = _Stream(content)
    only_top = None
    found: list[bytes] = []
    for member in _members(stream):
        top, _, rest = member.name.partition("/")
        if top != (only_top := only_top or top):
            raise InvalidUpload(_NOT_ONE_FOLDER)
        check_spelling(rest, "PKG-INFO")
        if rest == "PKG-INFO" and member.kind != _DIRECTORY:
            check_metadata_size(member.size)
            found.append(stream.take(member.size))
    if not found:
        raise InvalidUpload(_NOT_ONE_FOLDER)
    return found[0]


def _members(stream: "_Stream") -> Iterator[_Member]:
    """Yield the members; while one is looked at, the stream stands where its content begins."""
    names = MemberNames()
    header = _read_header(stream)
    if header and header.kind == _GLOBAL:
        _read_records(stream, header, _GLOBAL_KEYS)
        header = _read_following(stream)
    while header:
        member = _read_member(stream, header)
        names.add(member.name, is_file=member.kind != _DIRECTORY)
        end = stream.position + member.size + _padding(member.size)
        yield member
        stream.skip(end - stream.position)
        header = _read_header(stream)
    names.check_together()


def _read_member(stream: "_Stream", header: _Header) -> _Member:
    """Return a member, whose own header may be the next: records or a long name come before it.

    One of them at most: some tools take the first of several, and some the last.
    """
    said: dict[bytes, bytes] = {}
    if header.kind == _RECORDS:
        said = _read_records(stream, header, _KEYS)
        header = _read_following(stream)
    elif header.kind == _LONG_NAME:
        said = {b"path": _read_long_name(stream, header)}
        header = _read_following(stream)
    name = said.get(b"path", header.path)
    _check_member(header, name)
    size = b"%d" % header.size
    if said.get(b"size", size) != size:
        raise InvalidUpload("the sdist has a member whose headers state two sizes")
    return _Member(_decode(name), header.kind, header.size)


def _check_member(header: _Header, name: bytes) -> None:
    """Check that a member is a plain file or a directory by all that is said of it.

    Some tools know a directory by its type, some by its name, and not all skip its content.
    """
    if header.kind in (_GLOBAL, _RECORDS, _LONG_NAME):
        raise InvalidUpload("the sdist has an extended header where a member must be")
    if header.kind not in _PLAIN_TYPES:
        kind = printable(header.kind.decode("latin-1"))
        raise InvalidUpload(
            f"the sdist has a member of type `{kind}`, which is no plain file and no directory"
        )
    if header.link.strip(b"\0"):
        raise InvalidUpload("the sdist has a plain file or directory that is also a link")
    # Python's tarfile takes the old type of files for directories' by the header's own name, also
    # where another name counts. Others cut a long one behind a slash.
    is_old = header.kind == b"\0" and _end_text(header.name).endswith(b"/")
    if (is_old or name.endswith(b"/")) and header.kind != _DIRECTORY:
        raise InvalidUpload("the sdist has a file with the name of a directory")
    if header.kind == _DIRECTORY and header.size:
        raise InvalidUpload("the sdist has a directory with content")


def _read_following(stream: "_Stream") -> _Header:
    """Return the header that must come after one that says something about it."""
    header = _read_header(stream)
    if not header:
        raise InvalidUpload("the sdist ends behind an extended header")
    return header


def _read_header(stream: "_Stream") -> _Header | None:
    """Return the next header, or nothing at the end of the archive: a block of zeros, or no block.

    Some tools go on behind such a block, so that only zeros may follow.
    """
    block = stream.take(_BLOCK_BYTES)
    if not block.strip(b"\0"):
        stream.finish()
        return None
    if len(block) < _BLOCK_BYTES:
        raise InvalidUpload("the sdist is cut short, or something follows its tar archive")
    header = _Header(*_HEADER.unpack(block))
    # The sum takes its own field for blanks.
    _check_header(header, sum(block) - sum(header.checksum) + 8 * ord(" "))
    return header


def _check_header(header: _Header, checksum: int) -> None:
    """Check that a header is one for every tool: some skip it, or stop, where others read it."""
    if _parse_octal(header.checksum) != checksum:
        raise InvalidUpload("the sdist has a tar header with a wrong checksum")
    if header.magic not in (_POSIX, _GNU):
        raise InvalidUpload("the sdist has a tar header that is neither POSIX's nor GNU tar's")
    _check_own_name(header.name)
    # GNU tar has other things in place of the prefix, and star at its end.
    if header.rest.strip(b"\0") or (header.magic == _GNU and header.prefix.strip(b"\0")):
        raise InvalidUpload("the sdist has a tar header with something behind its fields")
    for number in (header.mode, header.uid, header.gid, header.mtime, header.major, header.minor):
        if not _NUMBER.fullmatch(number):
            raise InvalidUpload("the sdist has a tar header with a malformed number")


def _check_own_name(field: bytes) -> None:
    """Check that a header begins with text: bsdtar unpacks whatever begins as if compressed.

    The name may be cut within a character.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(_end_text(field))
    except UnicodeDecodeError:
        raise InvalidUpload("the sdist has a member whose name is not UTF-8") from None
    if _NO_TEXT.search(text):
        raise InvalidUpload("the sdist has a tar header whose name is no text")


def _parse_octal(field: bytes) -> int:
    match = _OCTAL.fullmatch(field)
    if not match:
        raise InvalidUpload("the sdist has a tar header with a malformed size or checksum")
    return int(match[1], 8)


def _end_text(field: bytes) -> bytes:
    """Return what is in a field up to its NULs, with nothing behind: not all tools stop there."""
    text = field.rstrip(b"\0")
    if b"\0" in text:
        raise InvalidUpload("the sdist has a name with something behind its end")
    return text


def _decode(name: bytes) -> str:
    """Return a name as text; tools write other bytes than UTF-8 each in its own way."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidUpload("the sdist has a member whose name is not UTF-8") from None


def _read_long_name(stream: "_Stream", header: _Header) -> bytes:
    """Return GNU tar's long name: with one NUL, at its end, where the stated size ends too."""
    name, end, rest = _read_extended(stream, header).partition(b"\0")
    if not end or rest:
        raise InvalidUpload("the sdist has a long name that is shorter or longer than stated")
    return name


def _read_records(
    stream: "_Stream", header: _Header, known: frozenset[bytes]
) -> dict[bytes, bytes]:
    """Return what an extended header says: known things, and each of them once."""
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


def _read_extended(stream: "_Stream", header: _Header) -> bytes:
    """Return the content of an extended header; some tools read on in the zeros behind it."""
    if header.size > MAX_READ_BYTES:
        raise InvalidUpload("the sdist has a header that is too long")
    octets = stream.take(header.size)
    if stream.take(_padding(header.size)).strip(b"\0"):
        raise InvalidUpload("the sdist has an extended header that is longer than stated")
    return octets


def _padding(size: int) -> int:
    """Return how much follows content of this size, up to the next header."""
    return -size % _BLOCK_BYTES


class _Stream:
    """What is in the gzip, piece by piece."""

    def __init__(self, content: bytes) -> None:
        self._pieces = inflate(content, _GZIP)
        self._piece = io.BytesIO()
        self._packed_size = len(content)
        self.position = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes, within the limit for all of them; fewer at the end."""
        octets = self._piece.read(size)
        while len(octets) < size and (piece := next(self._pieces, b"")):
            self._piece = io.BytesIO(piece)
            octets += self._piece.read(size - len(octets))
        self.position += len(octets)
        check_unpacked_size(self.position, self._packed_size)
        return octets

    def skip(self, size: int) -> None:
        """Read what must be there."""
        while size:
            octets = self.take(min(size, MAX_READ_BYTES))
            if not octets:
                raise InvalidUpload("the sdist is cut short")
            size -= len(octets)

    def finish(self) -> None:
        """Read to the end, where gzip has its sum: all must be zeros."""
        while octets := self.take(MAX_READ_BYTES):
            if octets.strip(b"\0"):
                raise InvalidUpload("the sdist goes on behind the end of its tar archive")
