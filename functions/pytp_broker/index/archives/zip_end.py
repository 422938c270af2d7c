"""The end of a zip archive, which says where its directory is.

Tools search for the end from the last byte backwards, and not all of them read the records for
large archives (zip64). So nothing may look like another end, and all records must say the same.
"""

import operator
import re
import struct
from typing import Any, Final, NamedTuple

from pytp_broker.content import Content
from pytp_broker.errors import InvalidUpload

_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_END_SIGNATURE: Final = b"PK\x06\x06"
_LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
# Signature, two disk numbers, two counts, size and offset of the directory, length of the comment.
_END_RECORD: Final = struct.Struct("<4s4H2LH")
# Signature, own length, two versions, two disk numbers, two counts, size and offset.
_ZIP64_END_RECORD: Final = struct.Struct("<4sQ2H2L4Q")
# Signature, disk, offset of the record above, number of disks.
_LOCATOR: Final = struct.Struct("<4sLQL")
# In place of a size, an offset or a count, this means "see the zip64 field".
_ELSEWHERE_16: Final = 0xFFFF
ELSEWHERE_32: Final = 0xFFFFFFFF
# The version of zip64. Nothing that we accept needs more, and tools skip a member that does, each
# from a different version on. The upper byte is reserved.
MAX_VERSION_NEEDED: Final = 45
# A comment states its length in 16 bits.
_MAX_COMMENT_BYTES: Final = 0xFFFF
# A comment may be text, without these characters. Every other record has one of them in its
# signature, so no tool can take a part of the comment for the end of another archive.
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
REBUILD: Final = "write the archive again, with `wheel unpack` and `wheel pack`"

# The number of members, and size and offset of the directory.
_Numbers = tuple[int, int, int]


class Extent(NamedTuple):
    """Where the directory is, and how many members it has."""

    start: int
    end: int
    members: int


def unpack(layout: struct.Struct, content: Content, offset: int) -> tuple[Any, ...]:
    """Return the fields at an offset; raise struct.error if the archive ends before they do."""
    return layout.unpack(content.read_at(offset, layout.size))


def find_directory(content: Content) -> Extent:
    """Return where the directory is. After it come the records of the end, and nothing else.

    Raises InvalidUpload or struct.error.
    """
    end, numbers = _read_end(content)
    signature = content.read_at(max(end - _LOCATOR.size, 0), len(_LOCATOR_SIGNATURE))
    if bytes(signature) == _LOCATOR_SIGNATURE:
        end -= _LOCATOR.size + _ZIP64_END_RECORD.size
        numbers = _read_zip64_end(content, end, numbers)
    count, size, start = numbers
    if start + size != end:
        raise not_at_end()
    return Extent(start, end, count)


def not_at_end() -> InvalidUpload:
    """Return the error for a directory that does not end where the records of the end begin."""
    return InvalidUpload(f"the zip archive's directory is not at its end; {REBUILD}")


def _read_end(content: Content) -> tuple[int, _Numbers]:
    """Return where the end record is, and what it says. A comment follows it, and nothing else."""
    length = min(content.size, _END_RECORD.size + _MAX_COMMENT_BYTES)
    tail = bytes(content.read_at(content.size - length, length))
    found = tail.rfind(_END_SIGNATURE)
    if found < 0 or len(tail) - found < _END_RECORD.size:
        raise _not_whole()
    _, *disks, here, count, size, start, comment_length = _END_RECORD.unpack_from(tail, found)
    comment = tail[found + _END_RECORD.size :]
    if any(disks) or here != count or len(comment) != comment_length:
        raise _not_whole()
    if _NO_TEXT.search(comment):
        raise InvalidUpload("the zip archive has a comment that is not text; leave the comment out")
    return content.size - length + found, (count, size, start)


def _not_whole() -> InvalidUpload:
    return InvalidUpload(
        f"the zip archive is cut short or in parts, or something follows it; {REBUILD}"
    )


def _read_zip64_end(content: Content, at: int, plain: _Numbers) -> _Numbers:
    """Return the numbers from the zip64 records, which begin here.

    The end record must refer to them, because some tools otherwise ignore them. It must not
    contradict them.
    """
    locator = unpack(_LOCATOR, content, at + _ZIP64_END_RECORD.size)
    record = unpack(_ZIP64_END_RECORD, content, max(at, 0))
    signature, length, _, needed, *disks, here, count, size, start = record
    found = (count, size, start)
    elsewhere = (_ELSEWHERE_16, ELSEWHERE_32, ELSEWHERE_32)
    is_known = (signature, length) == (_ZIP64_END_SIGNATURE, _ZIP64_END_RECORD.size - 12)
    is_whole = not any(disks) and here == count and needed <= MAX_VERSION_NEEDED
    refers = any(map(operator.eq, plain, elsewhere))
    agrees = all(map(operator.contains, zip(found, elsewhere, strict=True), plain))
    is_next = locator == (_LOCATOR_SIGNATURE, 0, at, 1)
    if not (is_next and is_known and is_whole and refers and agrees):
        raise InvalidUpload(f"the zip archive has a second directory (zip64); {REBUILD}")
    return found
