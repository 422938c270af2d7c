"""Wheels as zip archives: one zip from end to end, and its METADATA."""

import io
import struct
import zipfile
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

_LOCAL_HEADER: Final = b"PK\x03\x04"
_CENTRAL_HEADER: Final = b"PK\x01\x02"
_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES: Final = 20
# Signature, two disk numbers, two counts, size and offset of the directory, length of the comment.
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_ENCRYPTED: Final = 0x1


def read_wheel(distribution: Distribution, content: bytes) -> bytes:
    """Return a wheel's METADATA; raise InvalidUpload, or what zipfile raises for a broken zip."""
    stated = _check_framing(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) != stated:
            raise InvalidUpload("the zip archive states another number of members than it has")
        names = _check_zip_members(members, content)
        metadata = archive.getinfo(_metadata_path(names, distribution))
        check_metadata_size(metadata.file_size)
        with archive.open(metadata) as file:
            # Never read() without a limit: it inflates everything before it looks at the size.
            return file.read(MAX_METADATA_BYTES)


def _check_framing(content: bytes) -> int:
    """Return the number of members that the zip states, it being one zip from end to end.

    Parsers disagree about what a zip with something before, after or between its parts holds.
    """
    if len(content) < _END_RECORD.size or not content.startswith(_LOCAL_HEADER):
        raise InvalidUpload("the wheel is not a zip archive")
    end = len(content) - _END_RECORD.size
    signature, disk, first_disk, here, total, size, offset, comment = _END_RECORD.unpack_from(
        content, end
    )
    if signature != _END_SIGNATURE or comment or disk or first_disk or here != total:
        raise InvalidUpload("the zip archive is in parts, or something follows it")
    if offset + size != end or content.startswith(_ZIP64_LOCATOR, end - _ZIP64_LOCATOR_BYTES):
        raise InvalidUpload("the zip archive's directory is not at its end")
    check_count(content.count(_CENTRAL_HEADER, offset, end))
    return int(total)


def _check_zip_members(members: list[zipfile.ZipInfo], content: bytes) -> list[str]:
    names: set[str] = set()
    for member in members:
        check_name(member.orig_filename, names)
        # A second name in an extra field, which only newer versions of Python read.
        if member.filename != member.orig_filename:  # pragma: no cover
            raise InvalidUpload("the archive has a member with two names")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidUpload("the archive is compressed by other means than deflate")
        if member.flag_bits & _ENCRYPTED:
            raise InvalidUpload("the archive is encrypted")
    check_unpacked_size(sum(member.file_size for member in members), len(content))
    if sum(member.compress_size for member in members) > len(content):
        raise InvalidUpload("the archive's members overlap")
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
