"""Read the members of a zip archive, and refuse what tools do not all read alike.

This does not use Python's zipfile, which accepts far more.
"""

import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from zlib_ng.zlib_ng import crc32

from pytp_broker.content import Content, read_pieces
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import (
    PACKED_BYTES,
    MemberNames,
    check_unpacked_size,
    inflate,
)
from pytp_broker.index.archives.zip_headers import Entry, read_entries, refusal
from pytp_broker.redaction import printable

_STORED: Final = 0
_DEFLATED: Final = 8
# The name is UTF-8. Without this flag, some tools read it as UTF-8 and some in the DOS alphabet.
_UTF8: Final = 0x0800
# UTF-8, and how hard deflate tried. All other flags change how a member is read.
_KNOWN_FLAGS: Final = _UTF8 | 0x0006
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
# Attributes of DOS. unzip skips a member that is a volume's label.
_DOS_VOLUME_LABEL: Final = 0x08
_DOS_DIRECTORY: Final = 0x10
# Types in the upper half of a member's attributes. Some tools write permissions and no type.
_PLAIN_TYPES: Final = (0, stat.S_IFREG, stat.S_IFDIR)


@dataclass(frozen=True, slots=True)
class Member:
    """A member, with what the archive says about it; ``unpack`` checks that.

    Its packed content is in the archive between ``start`` and ``end``.
    """

    archive: Content
    start: int
    end: int
    name: str
    unzip_path: str
    size: int
    checksum: int
    is_stored: bool

    @property
    def is_file(self) -> bool:
        """Say whether it is a file, and not a directory."""
        return not self.name.endswith("/")

    def unpack(self) -> Iterator[bytes | memoryview]:
        """Yield the content in pieces, and check the stated size and CRC-32.

        Nothing is inflated beyond the stated size, so the limit on stated sizes holds for the
        content too. Some tools ignore the stated size and unpack everything. Raises InvalidUpload
        or InflateError.
        """
        size = checksum = 0
        for piece in self._read():
            size += len(piece)
            if size > self.size:
                break
            checksum = crc32(piece, checksum)
            yield piece
        if size != self.size or checksum != self.checksum:
            raise refusal(self.name.encode(), "has a size or CRC-32 that is not as stated")

    def _read(self) -> Iterator[bytes | memoryview]:
        if self.is_stored:
            return read_pieces(self.archive, self.start, self.end)
        return inflate(read_pieces(self.archive, self.start, self.end, PACKED_BYTES), _RAW_DEFLATE)


def read_zip(content: Content) -> dict[str, Member]:
    """Return the members by name, in the directory's order; raise InvalidUpload or struct.error."""
    names = MemberNames(content.size, takes_colons=False)
    members = {}
    for entry, end in read_entries(content):
        header, name = entry.header, _check_entry(entry)
        names.add(name, is_file=not name.endswith("/"))
        members[name] = Member(
            archive=content,
            start=end - header.packed_size,
            end=end,
            name=name,
            unzip_path=entry.unzip_path,
            size=header.size,
            checksum=header.checksum,
            is_stored=header.method == _STORED,
        )
    check_unpacked_size(sum(member.size for member in members.values()), content.size)
    return members


def _check_entry(entry: Entry) -> str:
    """Return a member's name; check that every tool understands its content and kind alike."""
    header = entry.header
    if header.method not in (_STORED, _DEFLATED):
        raise refusal(header.name, "is compressed, but not with deflate")
    if not header.name.isascii() and not header.flags & _UTF8:
        raise refusal(header.name, "has a name that is not ASCII and not marked as UTF-8")
    if header.flags & ~_KNOWN_FLAGS:
        raise refusal(header.name, "is encrypted, or has flags that not all tools know")
    try:
        name = header.name.decode()
    except UnicodeDecodeError:
        raise refusal(header.name, "has a name that is not UTF-8") from None
    _check_kind(entry, is_folder=name.endswith("/"))
    return name


def _check_kind(entry: Entry, *, is_folder: bool) -> None:
    """Check that a member's attributes and name agree on whether it is a file or a directory."""
    kind, name = stat.S_IFMT(entry.attributes >> 16), entry.header.name
    if kind not in _PLAIN_TYPES:
        shown = printable(name.decode())
        raise InvalidUpload(
            f"the archive's `{shown}` is a link or a special file, and wheels hold only plain "
            "files and directories; replace a link with a copy of its target"
        )
    if entry.attributes & _DOS_VOLUME_LABEL:
        raise refusal(name, "is marked as a volume label, which some tools skip")
    says_folder = kind == stat.S_IFDIR or bool(entry.attributes & _DOS_DIRECTORY)
    if (says_folder and not is_folder) or (kind == stat.S_IFREG and is_folder):
        raise refusal(name, "is a directory for some tools and a file for others")
    if is_folder and entry.header.size:
        raise refusal(name, "is a directory with content")
