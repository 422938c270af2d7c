"""Zip archives that every tool reads alike: one archive from end to end, and the same members.

A zip says most things twice: before each member, and in a directory at its end. Some tools read the
one and some the other, and they disagree about what may stand between. So this reads both, which
must say the same, and refuses what is neither. Python's zipfile takes far more: it is not asked.
"""

import operator
import re
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from pytp_broker.display import printable
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.members import MemberNames, check_count, check_unpacked_size, inflate

_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_END_SIGNATURE: Final = b"PK\x06\x06"
_LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
# Signature, version needed, flags, method, date and time, CRC, two sizes, lengths of name and extra
# field.
_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
# The same with the version that made it before; then length of the comment, disk, two kinds of
# attributes, offset.
_CENTRAL_HEADER: Final = struct.Struct("<4s6H3L5H2L")
# Signature, two disk numbers, two counts, size and offset of the directory, length of the comment.
_END_RECORD: Final = struct.Struct("<4s4H2LH")
# Signature, own length, two versions, two disk numbers, two counts, size and offset.
_ZIP64_END_RECORD: Final = struct.Struct("<4sQ2H2L4Q")
# Signature, disk, offset of the record above, number of disks.
_LOCATOR: Final = struct.Struct("<4sLQL")
_EXTRA_HEADER: Final = struct.Struct("<2H")
# "See the zip64 field", where a size, an offset or a count would be.
_ELSEWHERE_16: Final = 0xFFFF
_ELSEWHERE_32: Final = 0xFFFFFFFF
_ZIP64: Final = 0x0001
# Extra fields that give a member something else, for a tool that reads them: another name or a
# comment (Unicode path and comment) or another type (ASi Unix, PKWARE Unix and what libarchive
# writes, which make links).
_SECOND_OPINIONS: Final = {
    0x7075: "name",
    0x6375: "comment",
    0x756E: "type",
    0x000D: "type",
    0x6C78: "type",
}
# That of zip64. Tools skip a member that needs more, each from another version on; nothing here
# does. The upper byte is reserved.
_MAX_VERSION_NEEDED: Final = 45
_STORED: Final = 0
_DEFLATED: Final = 8
# That the name is UTF-8: without it some tools take it for the DOS alphabet, and some do not.
_UTF8: Final = 0x0800
# And how much deflate tried. All other flags change how a member is read.
_KNOWN_FLAGS: Final = _UTF8 | 0x0006
# Sizes behind the content instead of before it. PyPI takes none.
_DATA_DESCRIPTOR: Final = 0x8
# Systems whose names unzip takes for code page 850, whatever the flag above says: DOS, which
# Python's zipfile writes on Windows, OS/2, and Windows NT with the version that WinZip wrote.
_DOS_SYSTEMS: Final = (0x00, 0x06)
_DOS_VERSION: Final = 0x0B32
# What it writes for the upper half of that alphabet: a character of ISO 8859-1, of ASCII where a
# line or a block was, or nothing (here 0xFF).
_FROM_DOS: Final = bytes(range(0x80)) + bytes.fromhex(
    "c7fce9e2e4e0e5e7eaebe8efeeecc4c5c9e6c6f4f6f2fbf9ffd6dcf8a3d8d783"
    "e1edf3faf1d1aababfaeacbdbca1abbba6a6a6a6a6c1c2c0a9a6a62b2ba2a52b"
    "2b2d2d2b2d2be3c32b2b2d2da62d2ba4f0d0cacbc869cdcecf2b2ba65fa6ccaf"
    "d3dfd4d2f5d5b5fededadbd9fdddafb4adb13dbeb6a7f7b8b0a8b7b9b3b2a6a0"
)
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
# Attributes of DOS. A member with a volume's label is none to unzip.
_DOS_VOLUME_LABEL: Final = 0x08
_DOS_DIRECTORY: Final = 0x10
# In the upper half of a member's attributes. Some tools write permissions and no type.
_PLAIN_TYPES: Final = (0, stat.S_IFREG, stat.S_IFDIR)
# A comment may be text. Every other record begins with one of these characters in its signature, so
# that no tool can take a part of the comment for the end of another archive.
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
REBUILD: Final = "write the archive anew, as `wheel unpack` and `wheel pack` do"


class _Extent(NamedTuple):
    """Where the directory is, and how many members it has."""

    start: int
    end: int
    members: int


@dataclass(frozen=True, slots=True)
class _Header:
    """What is said of a member twice: before its content, and in the directory."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed_size: int
    size: int

    @property
    def shown(self) -> str:
        return printable(self.name.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the directory says of a member, and what it alone says."""

    header: _Header
    start: int
    made_by: int
    attributes: int

    @property
    def unzip_path(self) -> str:
        """Return where unzip writes the member, a character for each byte."""
        name = self.header.name.rstrip(b"/")
        if self.made_by >> 8 in _DOS_SYSTEMS or self.made_by == _DOS_VERSION:
            name = name.translate(_FROM_DOS).replace(b"\xff", b"")
        return name.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Member:
    """A member, which is what it says: ``unpack`` holds it to that."""

    name: str
    unzip_path: str
    size: int
    checksum: int
    is_stored: bool
    packed: memoryview

    @property
    def is_file(self) -> bool:
        """Say whether it is a file, and not a directory."""
        return not self.name.endswith("/")

    def unpack(self) -> Iterator[bytes | memoryview]:
        """Yield the content in pieces, which must be of the stated size and CRC-32.

        Nothing is inflated beyond that size, so that the limit holds which the sizes were held to:
        some tools do not look at it, and unpack what is there. Raises InvalidUpload or zlib.error.
        """
        pieces: Iterable[bytes | memoryview] = [self.packed]
        if not self.is_stored:
            pieces = inflate(self.packed, _RAW_DEFLATE)
        size = checksum = 0
        for piece in pieces:
            size += len(piece)
            if size > self.size:
                break
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if size != self.size or checksum != self.checksum:
            raise InvalidUpload(
                f"the archive's `{printable(self.name)}` has another size or CRC-32 than it "
                f"states; {REBUILD}"
            )


def read_zip(content: bytes) -> dict[str, Member]:
    """Return the members by name, in the directory's order; raise InvalidUpload or struct.error."""
    if not content.startswith(_LOCAL_SIGNATURE):
        raise InvalidUpload("the wheel is not a zip archive: its first bytes are not a member's")
    extent = _read_end(content)
    entries = list(_read_directory(content, extent))
    by_start = {entry.start: entry for entry in entries}
    if len(entries) != extent.members or len(by_start) != extent.members:
        raise InvalidUpload(
            f"the zip archive states another number of members than it has; {REBUILD}"
        )
    ends = {start: _check_local_header(content, by_start[start]) for start in sorted(by_start)}
    if [0, *ends.values()] != [*ends, extent.start]:
        raise InvalidUpload(
            "the zip archive has something that is not in its directory, as after an update in "
            f"place; {REBUILD}"
        )
    return _check_members(content, entries, ends)


def _read_end(content: bytes) -> _Extent:
    """Return where the directory is: behind it there is the end record, and nothing but a comment.

    Tools look for that record from the end, so that no other may be in it or in the comment.
    """
    at = content.rfind(_END_SIGNATURE)
    if at < 0 or len(content) - at < _END_RECORD.size:
        raise _not_whole()
    _, *disks, here, count, size, start, comment_length = _END_RECORD.unpack_from(content, at)
    comment = content[at + _END_RECORD.size :]
    if any(disks) or here != count or len(comment) != comment_length:
        raise _not_whole()
    if _NO_TEXT.search(comment):
        raise InvalidUpload("the zip archive has a comment that is not text; leave the comment out")
    end = at
    if content.startswith(_LOCATOR_SIGNATURE, at - _LOCATOR.size):
        end = at - _LOCATOR.size - _ZIP64_END_RECORD.size
        count, size, start = _read_zip64_end(content, end, (count, size, start))
    if start + size != end:
        raise InvalidUpload(f"the zip archive's directory is not at its end; {REBUILD}")
    return _Extent(start, end, count)


def _not_whole() -> InvalidUpload:
    return InvalidUpload(
        f"the zip archive is cut short or in parts, or something follows it; {REBUILD}"
    )


def _read_zip64_end(content: bytes, at: int, plain: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return count, size and offset as the zip64 records have them, which stand from here on.

    The end record must refer to them, or some tools do not look at them, and must contradict none.
    """
    locator = _LOCATOR.unpack_from(content, at + _ZIP64_END_RECORD.size)
    record = _ZIP64_END_RECORD.unpack_from(content, max(at, 0))
    signature, length, _, needed, *disks, here, count, size, start = record
    found = (count, size, start)
    elsewhere = (_ELSEWHERE_16, _ELSEWHERE_32, _ELSEWHERE_32)
    is_known = (signature, length) == (_ZIP64_END_SIGNATURE, _ZIP64_END_RECORD.size - 12)
    is_whole = not any(disks) and here == count and needed <= _MAX_VERSION_NEEDED
    refers = any(map(operator.eq, plain, elsewhere))
    agrees = all(map(operator.contains, zip(found, elsewhere, strict=True), plain))
    is_next = locator == (_LOCATOR_SIGNATURE, 0, at, 1)
    if not (is_next and is_known and is_whole and refers and agrees):
        raise InvalidUpload(f"the zip archive has a second directory (zip64); {REBUILD}")
    return found


def _read_directory(content: bytes, extent: _Extent) -> Iterator[_Entry]:
    """Yield what the directory says of each member."""
    offset, count = extent.start, 0
    while offset < extent.end:
        check_count(count := count + 1)
        signature, made_by, needed, flags, method, _, _, *rest = _CENTRAL_HEADER.unpack_from(
            content, offset
        )
        checksum, packed, size, name_length, extra_length, comment_length = rest[:6]
        disk, _, attributes, start = rest[6:]
        if signature != _CENTRAL_SIGNATURE:
            raise InvalidUpload(f"the zip archive's directory is not at its end; {REBUILD}")
        offset += _CENTRAL_HEADER.size
        name = content[offset : offset + name_length]
        shown = printable(name.decode(errors="replace"))
        _check_version_needed(needed, shown)
        if comment_length:
            raise InvalidUpload(f"the archive has a comment on a member, `{shown}`; leave it out")
        if disk:
            raise InvalidUpload(f"the archive's `{shown}` is on another disk; {REBUILD}")
        zip64 = _read_zip64(content, offset + name_length, extra_length, shown)
        size, packed, start = _read_numbers(zip64, (size, packed, start), shown)
        header = _Header(name, flags, method, checksum, packed, size)
        yield _Entry(header, start, made_by, attributes)
        offset += name_length + extra_length
    if offset != extent.end:
        raise InvalidUpload(f"the zip archive's directory is not at its end; {REBUILD}")


def _read_zip64(content: bytes, offset: int, length: int, shown: str) -> bytes:
    """Return the zip64 field among a member's extra fields, or nothing.

    None of the others may say what the header says otherwise.
    """
    found = b""
    end = offset + length
    while offset < end:
        kind, size = _EXTRA_HEADER.unpack_from(content, offset)
        offset += _EXTRA_HEADER.size
        if kind in _SECOND_OPINIONS:
            raise InvalidUpload(
                f"the archive's `{shown}` has a second {_SECOND_OPINIONS[kind]}, in an extra field;"
                f" {REBUILD}"
            )
        if kind == _ZIP64 and (found or not size):
            raise _second_size(shown)
        found = content[offset : offset + size] if kind == _ZIP64 else found
        offset += size
    if offset != end:
        raise InvalidUpload(f"the archive's `{shown}` has a malformed extra field; {REBUILD}")
    return found


def _read_numbers(zip64: bytes, plain: tuple[int, int, int], shown: str) -> tuple[int, ...]:
    """Return the numbers of the directory's entry: those that refer to zip64 are there, in order.

    And no others: uv takes no archive where one is there in vain.
    """
    missing = sum(number == _ELSEWHERE_32 for number in plain)
    if len(zip64) != 8 * missing:
        raise _second_size(shown)
    numbers = iter(struct.unpack(f"<{missing}Q", zip64))
    return tuple(next(numbers) if number == _ELSEWHERE_32 else number for number in plain)


def _check_local_header(content: bytes, entry: _Entry) -> int:
    """Return where the member ends, its own header saying what the directory says."""
    fields = _LOCAL_HEADER.unpack_from(content, entry.start)
    signature, needed, flags, method, _, _, checksum, *sizes, name_length, extra_length = fields
    offset = entry.start + _LOCAL_HEADER.size
    name = content[offset : offset + name_length]
    header = entry.header
    if signature != _LOCAL_SIGNATURE:
        raise _contradiction(header)
    _check_version_needed(needed, header.shown)
    if flags & _DATA_DESCRIPTOR:
        raise InvalidUpload(
            f"the archive's `{header.shown}` has a data descriptor, as a zip that is written to a "
            f"pipe has; {REBUILD}"
        )
    zip64 = _read_zip64(content, offset + name_length, extra_length, header.shown)
    expected = (header.packed_size, header.size)
    if zip64 and zip64 != struct.pack("<2Q", header.size, header.packed_size):
        raise _second_size(header.shown)
    # With a zip64 field both sizes refer to it or, as in what Bazel builds, are there all the same.
    elsewhere = (_ELSEWHERE_32, _ELSEWHERE_32)
    is_same = tuple(sizes) == expected or (zip64 and tuple(sizes) == elsewhere)
    if _Header(name, flags, method, checksum, *expected) != header or not is_same:
        raise _contradiction(header)
    return int(offset + name_length + extra_length + header.packed_size)


def _contradiction(header: _Header) -> InvalidUpload:
    return InvalidUpload(
        f"the zip archive's directory contradicts the header before `{header.shown}`; {REBUILD}"
    )


def _check_version_needed(needed: int, shown: str) -> None:
    if needed > _MAX_VERSION_NEEDED:
        raise InvalidUpload(
            f"the archive's `{shown}` needs version {needed / 10} of the zip format, and not all "
            f"tools know more than 4.5; {REBUILD}"
        )


def _second_size(shown: str) -> InvalidUpload:
    return InvalidUpload(
        f"the archive's `{shown}` has a second size or none, in a zip64 field; {REBUILD}"
    )


def _check_members(
    content: bytes, entries: list[_Entry], ends: dict[int, int]
) -> dict[str, Member]:
    names = MemberNames()
    members = {}
    view = memoryview(content)
    for entry in entries:
        header, end = entry.header, ends[entry.start]
        name = _check_entry(entry)
        names.add(name, is_file=not name.endswith("/"))
        packed = view[end - header.packed_size : end]
        is_stored = header.method == _STORED
        members[name] = Member(
            name, entry.unzip_path, header.size, header.checksum, is_stored, packed
        )
    check_unpacked_size(sum(member.size for member in members.values()), len(content))
    return members


def _check_entry(entry: _Entry) -> str:
    """Return a member's name, its content and kind being what every tool understands alike."""
    header, shown = entry.header, entry.header.shown
    if header.method not in (_STORED, _DEFLATED):
        raise InvalidUpload(
            f"the archive's `{shown}` is compressed by other means than deflate; {REBUILD}"
        )
    if not header.name.isascii() and not header.flags & _UTF8:
        raise InvalidUpload(
            f"the archive's `{shown}` has a name that is not said to be UTF-8; {REBUILD}"
        )
    if header.flags & ~_KNOWN_FLAGS:
        raise InvalidUpload(
            f"the archive's `{shown}` is encrypted, or of a kind that not all tools read; {REBUILD}"
        )
    try:
        name = header.name.decode()
    except UnicodeDecodeError:
        raise InvalidUpload(
            f"the archive's `{shown}` has a name that is not UTF-8; {REBUILD}"
        ) from None
    _check_kind(entry, is_folder=name.endswith("/"))
    return name


def _check_kind(entry: _Entry, *, is_folder: bool) -> None:
    """Check that a member is a file or a directory by its attributes as by its name."""
    kind, shown = stat.S_IFMT(entry.attributes >> 16), entry.header.shown
    if kind not in _PLAIN_TYPES:
        raise InvalidUpload(
            f"the archive's `{shown}` is a link or a special file, no plain file or directory; "
            "put a copy in the place of a link"
        )
    if entry.attributes & _DOS_VOLUME_LABEL:
        raise InvalidUpload(
            f"the archive's `{shown}` is the label of a volume to some tools; {REBUILD}"
        )
    says_folder = kind == stat.S_IFDIR or bool(entry.attributes & _DOS_DIRECTORY)
    if (says_folder and not is_folder) or (kind == stat.S_IFREG and is_folder):
        raise InvalidUpload(f"the archive's `{shown}` is a directory to some tools only; {REBUILD}")
    if is_folder and entry.header.size:
        raise InvalidUpload(f"the archive's `{shown}` is a directory with content; {REBUILD}")
