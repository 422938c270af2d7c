"""Wheels as zip archives: one zip from end to end, the same to every tool, and its METADATA."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from packaging.utils import canonicalize_name
from packaging.version import Version

from pytp_broker.display import printable
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.distributions import Distribution
from pytp_broker.index.members import (
    MemberNames,
    check_count,
    check_metadata_size,
    check_spelling,
    check_unpacked_size,
    folded,
    inflate,
)
from pytp_broker.index.records import (
    MAX_RECORD_BYTES,
    MAX_WHEEL_BYTES,
    check_format,
    read_record,
    verify_file,
)

_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_END_SIGNATURE: Final = b"PK\x05\x06"
# Signature, version, flags, method, date and time, CRC, two sizes, lengths of name and extra field.
_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
# The same with another version before it; then length of the comment, disk, attributes, offset.
_CENTRAL_HEADER: Final = struct.Struct("<4s6H3L5H2L")
# Signature, two disk numbers, two counts, size and offset of the directory, length of the comment.
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_EXTRA_HEADER: Final = struct.Struct("<2H")
# Where zip64 says that another directory is, if it stands before the end record.
_LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
_LOCATOR_SIZE: Final = 20
# Extra fields that give a member something else, to whoever reads them: another name (Unicode path)
# or another type (ASi Unix, PKWARE Unix and what libarchive writes, which make links).
_SECOND_OPINIONS: Final = {0x7075: "name", 0x756E: "type", 0x000D: "type", 0x6C78: "type"}
# And other sizes, if they are others: some build tools write them twice.
_ZIP64: Final = 0x0001
_ZIP64_SIZES: Final = struct.Struct("<2Q")
# That the name is UTF-8: without it some tools take it for the DOS alphabet, and some do not.
_UTF8: Final = 0x0800
# And how much deflate tried. All other flags change how a member is read.
_KNOWN_FLAGS: Final = _UTF8 | 0x0006
_DOS_DIRECTORY: Final = 0x10
# Sizes behind the content instead of before it. No build tool writes them, and PyPI takes none.
_DATA_DESCRIPTOR: Final = 0x8
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
# In the upper half of a member's attributes. Some tools write permissions and no type.
_PLAIN_TYPES: Final = (0, stat.S_IFREG, stat.S_IFDIR)
# What is read of a wheel's `.dist-info` directory, and what must be there.
_READ: Final = ("METADATA", "RECORD", "WHEEL")
_REQUIRED: Final = ("METADATA", "RECORD")


@dataclass(frozen=True, slots=True)
class _Header:
    """What is said of a member twice: before its content, and in the directory."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed_size: int
    size: int


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of an archive by name, and the packed content of each by where it starts."""

    infos: dict[str, zipfile.ZipInfo]
    packed: dict[int, memoryview]

    @property
    def sizes(self) -> dict[str, int]:
        """Return the size of each file: directories are no files."""
        infos = self.infos.items()
        return {name: info.file_size for name, info in infos if not name.endswith("/")}

    def unpack(self, name: str) -> Iterator[bytes | memoryview]:
        """Yield a member's content in pieces."""
        info = self.infos[name]
        return _unpack(info, self.packed[info.header_offset])

    def read(self, name: str, limit: int) -> bytes:
        """Return a member's content, if it is not too large; raise InvalidUpload."""
        if self.infos[name].file_size > limit:
            file = name.rpartition("/")[2]
            raise InvalidUpload(f"the wheel's {file} is larger than {limit // 1024} KiB")
        return b"".join(self.unpack(name))


def read_wheel(distribution: Distribution, content: bytes) -> bytes:
    """Return a wheel's METADATA; raise InvalidUpload, or what zipfile raises for a broken zip."""
    packed = _read_framing(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = _Members(_check_zip_members(archive.infolist(), content), packed)
    metadata, record, wheel = _find_dist_info_files(list(members.infos), distribution)
    check_metadata_size(members.infos[metadata].file_size)
    if wheel in members.infos:
        check_format(members.read(wheel, MAX_WHEEL_BYTES))
    hashes = read_record(members.read(record, MAX_RECORD_BYTES), record, members.sizes)
    for name in members.infos:
        verify_file(name, members.unpack(name), hashes.get(name, ""))
    return b"".join(members.unpack(metadata))


def _read_framing(content: bytes) -> dict[int, memoryview]:
    """Return the packed content of each member, by where the member starts.

    The zip must be its members, its directory and its end, each where the last one ends. Parsers
    disagree about what a zip with something before, after or between its parts holds. Some read the
    directory and some the members' own headers, so the two must say the same.
    """
    if len(content) < _END_RECORD.size or not content.startswith(_LOCAL_SIGNATURE):
        raise InvalidUpload("the wheel is not a zip archive")
    end = len(content) - _END_RECORD.size
    signature, disk, first_disk, here, total, size, offset, comment = _END_RECORD.unpack_from(
        content, end
    )
    if signature != _END_SIGNATURE or comment or disk or first_disk or here != total:
        raise InvalidUpload("the zip archive is in parts, or something follows it")
    if content.startswith(_LOCATOR_SIGNATURE, end - _LOCATOR_SIZE):
        raise InvalidUpload("the zip archive has a second directory (zip64)")
    if offset + size != end:
        raise InvalidUpload("the zip archive's directory is not at its end")
    directory = dict(_read_directory(content, offset, end))
    if len(directory) != total:
        raise InvalidUpload("the zip archive states another number of members than it has")
    ends = {at: _check_local_header(content, at, directory[at]) for at in sorted(directory)}
    if [0, *ends.values()] != [*ends, offset]:
        raise InvalidUpload("the zip archive has something that is not in its directory")
    view = memoryview(content)
    return {at: view[end - directory[at].packed_size : end] for at, end in ends.items()}


def _read_directory(content: bytes, offset: int, end: int) -> Iterator[tuple[int, _Header]]:
    """Return where each member starts, and what the directory says of it."""
    count = 0
    while offset < end:
        check_count(count := count + 1)
        fields = _CENTRAL_HEADER.unpack_from(content, offset)
        signature, _, _, flags, method, _, _, *numbers, name_length, extra_length = fields[:12]
        comment_length, _, _, _, start = fields[12:]
        if signature != _CENTRAL_SIGNATURE:
            raise InvalidUpload("the zip archive's directory is not at its end")
        offset += _CENTRAL_HEADER.size
        if comment_length:
            raise InvalidUpload("the zip archive has a comment on a member")
        name = content[offset : offset + name_length]
        header = _Header(name, flags, method, *numbers)
        _check_extra(content, offset + name_length, extra_length, header)
        yield start, header
        offset += name_length + extra_length
    if offset != end:
        raise InvalidUpload("the zip archive's directory is not at its end")


def _check_local_header(content: bytes, start: int, header: _Header) -> int:
    """Return where the member ends, its own header saying what the directory says."""
    fields = _LOCAL_HEADER.unpack_from(content, start)
    signature, _, flags, method, _, _, *numbers, name_length, extra_length = fields
    offset = start + _LOCAL_HEADER.size
    name = content[offset : offset + name_length]
    if flags & _DATA_DESCRIPTOR:
        raise InvalidUpload("the zip archive has a member with a data descriptor")
    if signature != _LOCAL_SIGNATURE or _Header(name, flags, method, *numbers) != header:
        raise InvalidUpload("the zip archive's directory contradicts a member's own header")
    _check_extra(content, offset + name_length, extra_length, header)
    return int(offset + name_length + extra_length + header.packed_size)


def _check_extra(content: bytes, offset: int, length: int, header: _Header) -> None:
    """Check that a member's extra fields say nothing else than its header."""
    name, end = printable(header.name.decode(errors="replace")), offset + length
    while offset < end:
        kind, size = _EXTRA_HEADER.unpack_from(content, offset)
        offset += _EXTRA_HEADER.size
        if kind in _SECOND_OPINIONS:
            raise InvalidUpload(f"the archive's `{name}` has a second {_SECOND_OPINIONS[kind]}")
        sizes = _ZIP64_SIZES.pack(header.size, header.packed_size)
        if kind == _ZIP64 and content[offset : offset + size] != sizes:
            raise InvalidUpload(f"the archive's `{name}` has a second size (zip64)")
        offset += size
    if offset != end:
        raise InvalidUpload(f"the archive's `{name}` has a malformed extra field")


def _check_zip_members(
    members: list[zipfile.ZipInfo], content: bytes
) -> dict[str, zipfile.ZipInfo]:
    names = MemberNames()
    for member in members:
        names.add(member.orig_filename, is_file=not member.is_dir())
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidUpload("the archive is compressed by other means than deflate")
        if not member.orig_filename.isascii() and not member.flag_bits & _UTF8:
            raise InvalidUpload("the archive has a name that is not said to be UTF-8")
        if member.flag_bits & ~_KNOWN_FLAGS:
            raise InvalidUpload("the archive is encrypted, or of a kind that not all tools read")
        _check_zip_type(member)
        if member.is_dir() and member.file_size:
            raise InvalidUpload("the archive has a directory with content")
    names.check_nesting()
    check_unpacked_size(sum(member.file_size for member in members), len(content))
    return {member.filename: member for member in members}


def _check_zip_type(member: zipfile.ZipInfo) -> None:
    """Check that a member is a file or a directory by its attributes as by its name."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in _PLAIN_TYPES:
        raise InvalidUpload("the archive has a member that is no plain file and no directory")
    is_folder = kind == stat.S_IFDIR or bool(member.external_attr & _DOS_DIRECTORY)
    if (is_folder and not member.is_dir()) or (kind == stat.S_IFREG and member.is_dir()):
        raise InvalidUpload("the archive has a member that is a directory to some tools only")


def _unpack(member: zipfile.ZipInfo, packed: memoryview) -> Iterator[bytes | memoryview]:
    """Yield a member's content in pieces, which must be of the stated size and CRC-32.

    Nothing is inflated beyond that size, so that the limit holds which the sizes were held to: some
    tools do not look at it, and unpack what is there. Raises InvalidUpload or zlib.error.
    """
    is_stored = member.compress_type == zipfile.ZIP_STORED
    pieces: Iterable[bytes | memoryview] = [packed] if is_stored else inflate(packed, _RAW_DEFLATE)
    size = checksum = 0
    for piece in pieces:
        size += len(piece)
        if size > member.file_size:
            break
        checksum = zlib.crc32(piece, checksum)
        yield piece
    if size != member.file_size or checksum != member.CRC:
        raise InvalidUpload("the archive has a member of another size or CRC-32 than it states")


def _find_dist_info_files(names: list[str], distribution: Distribution) -> list[str]:
    """Return the paths of METADATA, RECORD and WHEEL: a wheel has none of them twice."""
    places = {place for name in names for place in _places(name)}
    directories = [d for _, d in places if folded(d).endswith(".dist-info")]
    expected = f"{distribution.project.replace('-', '_')}-{distribution.version}.dist-info"
    if len(directories) != 1 or not _is_dist_info(directories[0], distribution):
        raise InvalidUpload(
            f"the wheel must have one directory `{expected}`, and no other of these"
        )
    paths = [f"{directories[0]}/{file}" for file in _READ]
    for path, file in zip(paths, _READ, strict=True):
        if path not in names and file in _REQUIRED:
            raise InvalidUpload(f"the wheel has no `{expected}/{file}`")
        for name in names:
            check_spelling(name.removesuffix("/"), path)
    return paths


def _places(name: str) -> Iterator[tuple[str, str]]:
    """Yield where a member is installed: a root, and the name below it.

    One root is the wheel itself. What is in `X.data/purelib/` and its like is installed as well as
    if it were at the top.
    """
    top, _, rest = name.partition("/")
    yield "", top
    if folded(top).endswith(".data"):
        scheme, _, inner = rest.partition("/")
        yield f"{top}/{scheme}", inner.partition("/")[0]


def _is_dist_info(directory: str, distribution: Distribution) -> bool:
    stem, _, suffix = directory.rpartition(".")
    name, _, version = stem.partition("-")
    return (
        suffix == "dist-info"
        and canonicalize_name(name) == distribution.project
        and Version(version) == distribution.version
    )
