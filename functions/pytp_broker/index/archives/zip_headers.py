"""Headers of the members of a zip archive: before each member, and in the directory.

A zip says most things twice: before each member, and in a directory at its end. Some tools read one
and some the other, and they disagree about what may stand between members. So this module reads
both, which must say the same, and refuses everything else.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pytp_broker.content import Content
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import check_count
from pytp_broker.index.archives.zip_end import (
    ELSEWHERE_32,
    MAX_VERSION_NEEDED,
    REBUILD,
    Extent,
    find_directory,
    not_at_end,
    unpack,
)
from pytp_broker.redaction import printable

_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
# Signature, version needed, flags, method, date and time, CRC, two sizes, lengths of name and extra
# field.
_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
# The same, with the version that made it after the signature. At the end: length of the comment,
# disk, two kinds of attributes, offset.
_CENTRAL_HEADER: Final = struct.Struct("<4s6H3L5H2L")
_EXTRA_HEADER: Final = struct.Struct("<2H")
_ZIP64: Final = 0x0001
# Extra fields that change a member for the tools that read them. They give another name or comment
# (Unicode path and comment) or another type (ASi Unix, PKWARE Unix and libarchive's field, which
# make links).
_SECOND_OPINIONS: Final = {
    0x7075: "name",
    0x6375: "comment",
    0x756E: "type",
    0x000D: "type",
    0x6C78: "type",
}
# The sizes follow the content instead of standing before it. PyPI refuses such a member.
_DATA_DESCRIPTOR: Final = 0x8
# Systems whose names unzip reads in code page 850, even if a flag says UTF-8: DOS, which Python's
# zipfile writes on Windows, OS/2, and Windows NT with the version that WinZip wrote.
_DOS_SYSTEMS: Final = (0x00, 0x06)
_DOS_VERSION: Final = 0x0B32
# What unzip writes for the upper half of that code page: a character of ISO 8859-1, one of ASCII
# for lines and blocks, or nothing (here 0xFF).
_FROM_DOS: Final = bytes(range(0x80)) + bytes.fromhex(
    "c7fce9e2e4e0e5e7eaebe8efeeecc4c5c9e6c6f4f6f2fbf9ffd6dcf8a3d8d783"
    "e1edf3faf1d1aababfaeacbdbca1abbba6a6a6a6a6c1c2c0a9a6a62b2ba2a52b"
    "2b2d2d2b2d2be3c32b2b2d2da62d2ba4f0d0cacbc869cdcecf2b2ba65fa6ccaf"
    "d3dfd4d2f5d5b5fededadbd9fdddafb4adb13dbeb6a7f7b8b0a8b7b9b3b2a6a0"
)


def refusal(name: bytes, what: str) -> InvalidUpload:
    """Return the error for a refused member; its sentence names the member first."""
    shown = printable(name.decode(errors="replace"))
    return InvalidUpload(f"the archive's `{shown}` {what}; {REBUILD}")


@dataclass(frozen=True, slots=True)
class Header:
    """What the archive says about a member twice: before its content, and in the directory."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed_size: int
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says about a member: its header, and facts that only the directory has."""

    header: Header
    start: int
    made_by: int
    attributes: int

    @property
    def unzip_path(self) -> str:
        """Return the path to which unzip writes the member, one character for each byte."""
        name = self.header.name.rstrip(b"/")
        if self.made_by >> 8 in _DOS_SYSTEMS or self.made_by == _DOS_VERSION:
            name = name.translate(_FROM_DOS).replace(b"\xff", b"")
        return name.decode("latin-1")


def read_entries(content: Content) -> list[tuple[Entry, int]]:
    """Return each entry of the directory, in its order, with the offset where its member ends.

    Raises InvalidUpload, or struct.error for an archive that is cut short.
    """
    if bytes(content.read_at(0, len(_LOCAL_SIGNATURE))) != _LOCAL_SIGNATURE:
        raise InvalidUpload("it is not a zip archive: it does not begin with a member")
    extent = find_directory(content)
    entries = list(_read_directory(content, extent))
    by_start = {entry.start: entry for entry in entries}
    if len(entries) != extent.members or len(by_start) != extent.members:
        raise InvalidUpload(
            f"the zip archive does not have the number of members that it states; {REBUILD}"
        )
    ends = {start: _check_local_header(content, by_start[start]) for start in sorted(by_start)}
    _check_contiguous(ends, extent.start)
    return [(entry, ends[entry.start]) for entry in entries]


def _check_contiguous(ends: Mapping[int, int], directory: int) -> None:
    """Check that each member begins where the one before it ends, and so does the directory."""
    expected = 0
    for start, end in (*ends.items(), (directory, directory)):
        if start != expected:
            raise InvalidUpload(
                "the zip archive has data that its directory does not list, as after an update in "
                f"place; {REBUILD}"
            )
        expected = end


def _read_directory(content: Content, extent: Extent) -> Iterator[Entry]:
    """Yield the directory's entry of each member."""
    offset, count = extent.start, 0
    while offset < extent.end:
        check_count(count := count + 1, content.size)
        entry, offset = _read_entry(content, offset)
        yield entry
    if offset != extent.end:
        raise not_at_end()


def _read_entry(content: Content, offset: int) -> tuple[Entry, int]:
    """Return the directory's entry of one member, and the offset of the next."""
    fields = unpack(_CENTRAL_HEADER, content, offset)
    signature, made_by, needed, flags, method, _, _, checksum, packed_size, size = fields[:10]
    name_length, extra_length, comment_length, disk, _, attributes, start = fields[10:]
    if signature != _CENTRAL_SIGNATURE:
        raise not_at_end()
    offset += _CENTRAL_HEADER.size
    name, extra = _read_name(content, offset, name_length, extra_length)
    _check_version_needed(needed, name)
    if comment_length:
        shown = printable(name.decode(errors="replace"))
        raise InvalidUpload(f"the archive has a comment on a member, `{shown}`; leave it out")
    if disk:
        raise refusal(name, "is on another disk")
    zip64 = _find_zip64(extra, name)
    size, packed_size, start = _read_numbers(zip64, (size, packed_size, start), name)
    header = Header(name, flags, method, checksum, packed_size, size)
    return Entry(header, start, made_by, attributes), offset + name_length + extra_length


def _read_name(
    content: Content, offset: int, name_length: int, extra_length: int
) -> tuple[bytes, bytes]:
    """Return a member's name and extra fields; they are cut short where the archive ends."""
    octets = bytes(content.read_at(offset, name_length + extra_length))
    return octets[:name_length], octets[name_length:]


def _find_zip64(extra: bytes, name: bytes) -> bytes:
    """Return the zip64 field among a member's extra fields, or nothing.

    Refuse other extra fields that give a member a second name, comment or type.
    """
    found = b""
    offset = 0
    while offset < len(extra):
        kind, size = _EXTRA_HEADER.unpack_from(extra, offset)
        offset += _EXTRA_HEADER.size
        if kind in _SECOND_OPINIONS:
            raise refusal(name, f"has a second {_SECOND_OPINIONS[kind]}, in an extra field")
        if kind == _ZIP64 and (found or not size):
            raise _second_size(name)
        found = extra[offset : offset + size] if kind == _ZIP64 else found
        offset += size
    if offset != len(extra):
        raise refusal(name, "has a malformed extra field")
    return found


def _read_numbers(zip64: bytes, plain: tuple[int, int, int], name: bytes) -> tuple[int, ...]:
    """Return the numbers of a directory's entry; zip64 holds those that refer to it, in order.

    It must hold no others, because uv refuses an archive with a number that nothing refers to.
    """
    missing = sum(number == ELSEWHERE_32 for number in plain)
    if len(zip64) != 8 * missing:
        raise _second_size(name)
    numbers = iter(struct.unpack(f"<{missing}Q", zip64))
    return tuple(next(numbers) if number == ELSEWHERE_32 else number for number in plain)


def _check_local_header(content: Content, entry: Entry) -> int:
    """Check a member's own header against the directory; return where the member ends."""
    fields = unpack(_LOCAL_HEADER, content, entry.start)
    signature, needed, flags, method, _, _, checksum, *sizes, name_length, extra_length = fields
    offset, header = entry.start + _LOCAL_HEADER.size, entry.header
    name, extra = _read_name(content, offset, name_length, extra_length)
    if signature != _LOCAL_SIGNATURE:
        raise _contradiction(header.name)
    _check_version_needed(needed, header.name)
    if flags & _DATA_DESCRIPTOR:
        raise refusal(
            header.name, "has a data descriptor, which zip tools write when the output is a pipe"
        )
    zip64 = _find_zip64(extra, header.name)
    _check_local_sizes(zip64, tuple(sizes), header)
    if Header(name, flags, method, checksum, header.packed_size, header.size) != header:
        raise _contradiction(header.name)
    return int(offset + name_length + extra_length + header.packed_size)


def _check_local_sizes(zip64: bytes, sizes: tuple[int, ...], header: Header) -> None:
    """Check the sizes in a member's own header and in its zip64 field, if it has one.

    A zip64 field holds both sizes. The header then refers to it for both or, as Bazel writes it,
    repeats both.
    """
    if zip64 and zip64 != struct.pack("<2Q", header.size, header.packed_size):
        raise _second_size(header.name)
    refers = bool(zip64) and sizes == (ELSEWHERE_32, ELSEWHERE_32)
    if not refers and sizes != (header.packed_size, header.size):
        raise _contradiction(header.name)


def _check_version_needed(needed: int, name: bytes) -> None:
    if needed > MAX_VERSION_NEEDED:
        what = f"needs version {needed / 10} of the zip format, and some tools know 4.5 at most"
        raise refusal(name, what)


def _contradiction(name: bytes) -> InvalidUpload:
    return refusal(name, "has a header that the zip archive's directory contradicts")


def _second_size(name: bytes) -> InvalidUpload:
    return refusal(name, "has two sizes or none in its zip64 field")
