"""Rules for archives of every format: safe names of members, and limits."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final, cast

from zlib_ng import zlib_ng

from pytp_broker.errors import InvalidUpload
from pytp_broker.redaction import printable

MAX_METADATA_BYTES: Final = 1024 * 1024
# A member takes time and a kilobyte of memory here, so only a large archive may have very many: one
# for every 512 bytes. The largest real wheels have some 30,000.
MEMBERS_OF_A_SMALL_ARCHIVE: Final = 20_000
MAX_MEMBERS: Final = 100_000
_BYTES_PER_MEMBER: Final = 512
# Linux does not allow a longer path. We keep all names in memory, some with four bytes a character.
MAX_NAME_CHARACTERS: Final = 4096
# Linux does not allow a longer name of a file or directory.
MAX_SEGMENT_BYTES: Final = 255
MAX_NAMES_CHARACTERS: Final = 8 * 1024 * 1024
# We look at every segment of every name. No real archive has half as many on average.
_SEGMENTS_PER_MEMBER: Final = 20
# An archive that exceeds both is a zip bomb. The numbers are PyPI's.
MAX_EXPANSION: Final = 50
ALWAYS_ALLOWED_BYTES: Final = 64 * 1024 * 1024

_NOT_ONE_STREAM: Final = "the compressed data in the archive is cut short, or other data follows it"
# zlib-ng raises it for a broken stream. It is a class, though the types of zlib-ng deny that.
InflateError: Final = cast("type[Exception]", zlib_ng.error)
# How much goes into inflate at a time. It is little, because each step copies the unused rest.
PACKED_BYTES: Final = 16 * 1024
_UNPACKED_BYTES: Final = 64 * 1024

# Control characters, backslashes, and segments that are empty, `.` or `..`.
_UNSAFE_NAME: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|(?:\A|/)\.{0,2}(?:/|\Z)")
# A drive letter at the start of any segment: some tools cut the first segments off, and what is
# left is then an absolute path.
_DRIVE: Final = re.compile(r"(?:\A|/)[A-Za-z]:")
# Characters that file systems skip when they compare names; Unicode calls them ignorable. HFS+
# skips some of them, ext4 with case folding skips all.
_IGNORABLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# Names that Windows takes for a device, in every directory and with any ending.
_DEVICE: Final = re.compile(
    r"(?:\A|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3]) *(?:[./]|\Z)"
)
# The short name that NTFS gives a file whose name is longer: `WIDGET~1.DIS`.
_SHORT_NAME: Final = re.compile(r"[^.]{1,6}~[0-9]{1,6}(?:\.[^.]{1,3})?")
_NEEDS_NONE: Final = re.compile(r"[^. ]{1,8}(?:\.[^. ]{1,3})?")


class MemberNames:
    """The names of an archive's members: safe to unpack, and different files on every system.

    ``packed_size`` is the archive's own size.
    ``takes_colons`` says whether a name may have a colon that does not follow a drive letter.
    Sdists of 2008 have such names; NTFS takes them for streams of a file.
    """

    def __init__(self, packed_size: int, *, takes_colons: bool) -> None:
        self._packed_size = packed_size
        self._takes_colons = takes_colons
        self._is_file: dict[str, bool] = {}
        self._characters = 0
        self._segments = 0

    def add(self, name: str, *, is_file: bool) -> None:
        """Check a name and keep it; raise InvalidUpload."""
        name = name.removesuffix("/")
        self._characters += len(name)
        self._segments += name.count("/") + 1
        if len(name) > MAX_NAME_CHARACTERS or self._characters > MAX_NAMES_CHARACTERS:
            raise InvalidUpload("the archive has names that are too long")
        if self._segments > _SEGMENTS_PER_MEMBER * max_members(self._packed_size):
            raise InvalidUpload("the archive has names with too many directories")
        if _UNSAFE_NAME.search(name):
            raise InvalidUpload(
                f"the archive has a member with the unsafe name `{printable(name)}`: a name "
                "must not have an empty segment, `.`, `..`, a backslash or a control character; "
                "rename it"
            )
        if _DRIVE.search(name) or (":" in name and not self._takes_colons):
            raise InvalidUpload(
                f"the archive has a member with the unsafe name `{printable(name)}`, which some "
                "file systems read as a drive or a stream because of its colon; rename it"
            )
        if has_long_segment(name):
            raise InvalidUpload(
                f"the archive has names that are too long: file systems take at most "
                f"{MAX_SEGMENT_BYTES} bytes between two slashes; shorten `{printable(name)}`"
            )
        if name in self._is_file:
            raise InvalidUpload(
                f"the archive has two members with the name `{printable(name)}`; remove one"
            )
        self._is_file[name] = is_file
        check_count(len(self._is_file), self._packed_size)

    def check_together(self) -> None:
        """Check that no two members claim the same place; raise InvalidUpload."""
        check_places((folded(name), name, is_file) for name, is_file in self._is_file.items())


def check_places(
    members: Iterable[tuple[str, str, bool]], where: str = "on some file systems"
) -> None:
    """Check members by path, name and whether they are files; raise InvalidUpload.

    No member may have the path of another member, or lie below a file. Where file systems ignore
    case, as on Windows and macOS, the file that is unpacked last replaces the other. Two
    directories become one there, which hides nothing.
    """
    # Sorted like this, what is below a member follows it directly: nothing sorts before NUL.
    ordered = sorted((path.replace("/", "\0"), name, is_file) for path, name, is_file in members)
    for (path, name, is_file), (other_path, other, is_other_file) in pairwise(ordered):
        if path == other_path and (is_file or is_other_file):
            raise InvalidUpload(
                f"the archive has `{printable(name)}` and `{printable(other)}`, which become one "
                f"file {where}; rename one of them"
            )
        if is_file and other_path.startswith(f"{path}\0"):
            raise InvalidUpload(
                f"the archive has a member below the file `{printable(name)}`; rename one of them"
            )


def check_spelling(name: str, expected: str) -> None:
    """Check that a name is not another spelling of the expected one; raise InvalidUpload.

    On a system where both spellings are one file, the second to be unpacked overwrites the first.
    """
    if name.count("/") != expected.count("/") or name == expected:
        return
    if folded(name) == folded(expected):
        raise InvalidUpload(
            f"the archive has `{printable(name)}`, which some file systems read as `{expected}`"
        )


def folded(name: str) -> str:
    """Return a name as file systems compare it: two names of one file on any of them are equal.

    Windows and macOS ignore case, and macOS also ignores how an accent is encoded. Windows drops
    dots and blanks at the end, and the stream after a colon.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFD", _IGNORABLE.sub("", name))
    segments = (segment.partition(":")[0].rstrip(". ") for segment in name.split("/"))
    return unicodedata.normalize("NFD", "/".join(segments).casefold())


def has_long_segment(name: str) -> bool:
    """Say whether a segment of a name is too long for a file or a directory."""
    return any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in name.split("/"))


def is_visible(name: str) -> bool:
    """Say whether every character of a name is visible, which uv demands of a wheel."""
    return name.isascii() or not any(unicodedata.category(c).startswith("C") for c in name)


def has_device(name: str) -> bool:
    """Say whether Windows takes a segment of a name for a device, such as `nul` or `aux.py`."""
    return _DEVICE.search(folded(name)) is not None


def check_short_names(names: Iterable[str]) -> None:
    """Check that no name can be the short name of another on NTFS; raise InvalidUpload.

    Both would be one file or one directory there. A short name begins like the long name, and its
    ending begins like the long ending.
    """
    short: dict[tuple[int, str, str], str] = {}
    long: set[tuple[int, str, str]] = set()
    for name in names:
        parent = 0
        for segment in folded(name.rstrip("/")).split("/"):
            stem, _, ending = segment.strip(".").rpartition(".")
            place = (parent, (stem or ending)[:1], ending[:1] if stem else "")
            if _SHORT_NAME.fullmatch(segment):
                short[place] = name
            elif not _NEEDS_NONE.fullmatch(segment):
                long.add(place)
            parent = hash((parent, segment))
    if found := sorted(short.keys() & long):
        raise InvalidUpload(
            f"the archive has `{printable(short[found[0]])}`, which may be the short name of "
            "another member on Windows; rename it"
        )


def max_members(packed_size: int) -> int:
    """Return how many members an archive of this size may have."""
    return min(max(MEMBERS_OF_A_SMALL_ARCHIVE, packed_size // _BYTES_PER_MEMBER), MAX_MEMBERS)


def check_count(count: int, packed_size: int) -> None:
    """Check that there are not too many members; raise InvalidUpload."""
    limit = max_members(packed_size)
    if count > limit:
        raise InvalidUpload(
            f"the archive has more than {limit:,} members, which is the most for its size"
        )


def check_metadata_size(size: int) -> None:
    """Check that the file with the metadata is not too large; raise InvalidUpload."""
    if size > MAX_METADATA_BYTES:
        raise InvalidUpload(
            "the metadata in the archive is larger than 1 MiB: shorten the project's description"
        )


def check_unpacked_size(size: int, packed_size: int) -> None:
    """Check that the archive does not unpack to too much; raise InvalidUpload."""
    if size > max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * packed_size):
        limit = ALWAYS_ALLOWED_BYTES // 2**20
        raise InvalidUpload(
            f"the archive unpacks to more than {limit} MiB and {MAX_EXPANSION} times its own size"
        )


def inflate(packed: Iterable[memoryview], window_bits: int) -> Iterator[bytes]:
    """Decompress these pieces, and yield at most 64 KiB at a time.

    zlib-ng accepts exactly what zlib accepts, which pip unpacks with, in less than half the time.
    Raises InflateError, and InvalidUpload unless all of it is one complete stream.
    """
    stream = zlib_ng.decompressobj(window_bits)
    for piece in packed:
        if stream.eof:
            raise InvalidUpload(_NOT_ONE_STREAM)
        rest: bytes | memoryview = piece
        # Never call flush(), which has no limit. When nothing more comes out, everything has gone
        # in.
        while octets := stream.decompress(rest, _UNPACKED_BYTES):
            yield octets
            rest = stream.unconsumed_tail
    if not stream.eof or stream.unused_data:
        raise InvalidUpload(_NOT_ONE_STREAM)
