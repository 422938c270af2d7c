"""Wheels as zip archives: one zip from end to end, and its METADATA."""

import io
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packaging.utils import canonicalize_name
from packaging.version import Version

from pytp_broker.errors import InvalidUpload
from pytp_broker.index.distributions import Distribution
from pytp_broker.index.members import (
    MAX_METADATA_BYTES,
    check_count,
    check_metadata_size,
    check_name,
    check_unpacked_size,
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
# Extra fields that give a member other sizes (zip64) or another name, to whoever reads them.
_SECOND_OPINIONS: Final = frozenset({0x0001, 0x7075})
_ENCRYPTED: Final = 0x1
# Sizes behind the content instead of before it. No build tool writes them, and PyPI takes none.
_DATA_DESCRIPTOR: Final = 0x8


@dataclass(frozen=True, slots=True)
class _Header:
    """What is said of a member twice: before its content, and in the directory."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed_size: int
    size: int


def read_wheel(distribution: Distribution, content: bytes) -> bytes:
    """Return a wheel's METADATA; raise InvalidUpload, or what zipfile raises for a broken zip."""
    _check_framing(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = _check_zip_members(archive.infolist(), content)
        metadata = archive.getinfo(_metadata_path(names, distribution))
        check_metadata_size(metadata.file_size)
        with archive.open(metadata) as file:
            # Never read() without a limit: it inflates everything before it looks at the size.
            return file.read(MAX_METADATA_BYTES)


def _check_framing(content: bytes) -> None:
    """Check that the zip is its members, its directory and its end, each where the last one ends.

    Parsers disagree about what a zip with something before, after or between its parts holds. Some
    read the directory and some the members' own headers, so the two must say the same.
    """
    if len(content) < _END_RECORD.size or not content.startswith(_LOCAL_SIGNATURE):
        raise InvalidUpload("the wheel is not a zip archive")
    end = len(content) - _END_RECORD.size
    signature, disk, first_disk, here, total, size, offset, comment = _END_RECORD.unpack_from(
        content, end
    )
    if signature != _END_SIGNATURE or comment or disk or first_disk or here != total:
        raise InvalidUpload("the zip archive is in parts, or something follows it")
    if offset + size != end:
        raise InvalidUpload("the zip archive's directory is not at its end")
    directory = dict(_read_directory(content, offset, end))
    if len(directory) != total:
        raise InvalidUpload("the zip archive states another number of members than it has")
    starts = sorted(directory)
    ends = [_check_local_header(content, start, directory[start]) for start in starts]
    if [0, *ends] != [*starts, offset]:
        raise InvalidUpload("the zip archive has something that is not in its directory")


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
        name = _read_name(content, offset, name_length, extra_length)
        yield start, _Header(name, flags, method, *numbers)
        offset += name_length + extra_length + comment_length
    if offset != end:
        raise InvalidUpload("the zip archive's directory is not at its end")


def _check_local_header(content: bytes, start: int, header: _Header) -> int:
    """Return where the member ends, its own header saying what the directory says."""
    fields = _LOCAL_HEADER.unpack_from(content, start)
    signature, _, flags, method, _, _, *numbers, name_length, extra_length = fields
    offset = start + _LOCAL_HEADER.size
    name = _read_name(content, offset, name_length, extra_length)
    if flags & _DATA_DESCRIPTOR:
        raise InvalidUpload("the zip archive has a member with a data descriptor")
    if signature != _LOCAL_SIGNATURE or _Header(name, flags, method, *numbers) != header:
        raise InvalidUpload("the zip archive's directory contradicts a member's own header")
    return int(offset + name_length + extra_length + header.packed_size)


def _read_name(content: bytes, offset: int, name_length: int, extra_length: int) -> bytes:
    """Return the name at an offset, after checking the extra field behind it."""
    extra = offset + name_length
    end = extra + extra_length
    while extra < end:
        kind, length = _EXTRA_HEADER.unpack_from(content, extra)
        if kind in _SECOND_OPINIONS:
            raise InvalidUpload("the archive has a member with two names or sizes")
        extra += _EXTRA_HEADER.size + length
    if extra != end:
        raise InvalidUpload("the archive has a member with a malformed extra field")
    return content[offset : offset + name_length]


def _check_zip_members(members: list[zipfile.ZipInfo], content: bytes) -> list[str]:
    names: set[str] = set()
    for member in members:
        check_name(member.orig_filename, names)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidUpload("the archive is compressed by other means than deflate")
        if member.flag_bits & _ENCRYPTED:
            raise InvalidUpload("the archive is encrypted")
    check_unpacked_size(sum(member.file_size for member in members), len(content))
    return [member.filename for member in members]


def _metadata_path(names: list[str], distribution: Distribution) -> str:
    tops = {name.partition("/")[0] for name in names}
    directories = [top for top in tops if top.lower().endswith(".dist-info")]
    expected = f"{distribution.project.replace('-', '_')}-{distribution.version}.dist-info"
    if len(directories) != 1 or not _is_dist_info(directories[0], distribution):
        raise InvalidUpload(
            f"the wheel must have one directory `{expected}`, and no other of these"
        )
    path = f"{directories[0]}/METADATA"
    if path not in names:
        raise InvalidUpload(f"the wheel has no `{expected}/METADATA`")
    return path


def _is_dist_info(directory: str, distribution: Distribution) -> bool:
    stem, _, suffix = directory.rpartition(".")
    name, _, version = stem.partition("-")
    return (
        suffix == "dist-info"
        and canonicalize_name(name) == distribution.project
        and Version(version) == distribution.version
    )
