"""What every archive is held to, whatever its format: safe names, and limits."""

import re
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from pytp_broker.display import printable
from pytp_broker.errors import InvalidUpload

MAX_METADATA_BYTES: Final = 1024 * 1024
MAX_MEMBERS: Final = 20_000
# Linux takes no longer path. All names are kept in memory, some with four bytes a character.
MAX_NAME_CHARACTERS: Final = 4096
MAX_NAMES_CHARACTERS: Final = 8 * 1024 * 1024
# A bomb is what exceeds both: the numbers are PyPI's.
MAX_EXPANSION: Final = 50
ALWAYS_ALLOWED_BYTES: Final = 64 * 1024 * 1024

_NOT_ONE_STREAM: Final = "what is compressed in the archive is cut short, or something follows it"
# How much goes into inflate at a time: little, as what it leaves over is copied at each step.
_PACKED_BYTES: Final = 16 * 1024
_UNPACKED_BYTES: Final = 64 * 1024

# Control characters, backslashes, drive letters, and segments that are empty, `.` or `..`.
_UNSAFE_NAME: Final = re.compile(r"[\x00-\x1f\x7f\\]|\A[A-Za-z]:|(?:\A|/)\.{0,2}(?:/|\Z)")


class MemberNames:
    """The names of an archive's members: all safe to unpack, none twice, none below a file."""

    def __init__(self) -> None:
        self._is_file: dict[str, bool] = {}
        self._characters = 0

    def add(self, name: str, *, is_file: bool) -> None:
        """Check a name and keep it; raise InvalidUpload."""
        name = name.removesuffix("/")
        self._characters += len(name)
        if len(name) > MAX_NAME_CHARACTERS or self._characters > MAX_NAMES_CHARACTERS:
            raise InvalidUpload("the archive has names that are too long")
        if _UNSAFE_NAME.search(name):
            shown = printable(name)
            raise InvalidUpload(f"the archive has a member with the unsafe name `{shown}`")
        if name in self._is_file:
            raise InvalidUpload(f"the archive has two members of the name `{printable(name)}`")
        self._is_file[name] = is_file
        check_count(len(self._is_file))

    def check_nesting(self) -> None:
        """Check that none of them is below a file: some tools then replace it by a folder.

        Raises InvalidUpload.
        """
        # What is below a member stands directly behind it: nothing sorts before NUL.
        names = sorted(self._is_file, key=lambda name: name.replace("/", "\0"))
        for name, following in pairwise(names):
            if self._is_file[name] and following.startswith(f"{name}/"):
                raise InvalidUpload(f"the archive has a member below the file `{printable(name)}`")


def check_spelling(name: str, expected: str) -> None:
    """Check that a name is not another spelling of the expected one; raise InvalidUpload.

    Where both are one file, the second to be unpacked overwrites the first.
    """
    if name.count("/") != expected.count("/") or name == expected:
        return
    if folded(name) == folded(expected):
        raise InvalidUpload(
            f"the archive has `{printable(name)}`, which some file systems take for `{expected}`"
        )


def folded(name: str) -> str:
    """Return a name as Windows and macOS compare it: equal for two names of one file.

    Both ignore case. Windows also drops dots and blanks at the end, and the stream after a colon.
    """
    segments = (segment.partition(":")[0].rstrip(". ") for segment in name.split("/"))
    return "/".join(segments).casefold()


def check_count(count: int) -> None:
    """Check that there are not too many members; raise InvalidUpload."""
    if count > MAX_MEMBERS:
        raise InvalidUpload(f"the archive has more than {MAX_MEMBERS} members")


def check_metadata_size(size: int) -> None:
    """Check that the file with the metadata is not too large; raise InvalidUpload."""
    if size > MAX_METADATA_BYTES:
        raise InvalidUpload("the metadata in the archive is larger than 1 MiB")


def check_unpacked_size(size: int, packed_size: int) -> None:
    """Check that the archive does not unpack to too much; raise InvalidUpload."""
    if size > max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * packed_size):
        raise InvalidUpload("the archive unpacks to too many bytes")


def inflate(packed: bytes | memoryview, window_bits: int) -> Iterator[bytes]:
    """Yield what is compressed, at most 64 KiB at a time.

    Raises zlib.error, and InvalidUpload unless it is one stream from end to end.
    """
    stream = zlib.decompressobj(window_bits)
    for start in range(0, len(packed), _PACKED_BYTES):
        if stream.eof:
            raise InvalidUpload(_NOT_ONE_STREAM)
        rest: bytes | memoryview = packed[start : start + _PACKED_BYTES]
        # Never flush(), which has no limit: when nothing more comes out, everything has gone in.
        while octets := stream.decompress(rest, _UNPACKED_BYTES):
            yield octets
            rest = stream.unconsumed_tail
    if not stream.eof or stream.unused_data:
        raise InvalidUpload(_NOT_ONE_STREAM)
