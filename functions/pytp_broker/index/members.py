"""What every archive is held to, whatever its format: safe names, and limits."""

import re
from typing import Final

from pytp_broker.display import printable
from pytp_broker.errors import InvalidUpload

MAX_METADATA_BYTES: Final = 1024 * 1024
MAX_MEMBERS: Final = 20_000
# A bomb is what exceeds both: the numbers are PyPI's.
MAX_EXPANSION: Final = 50
ALWAYS_ALLOWED_BYTES: Final = 64 * 1024 * 1024

# Control characters, backslashes, drive letters, and segments that are empty, `.` or `..`.
_UNSAFE_NAME: Final = re.compile(r"[\x00-\x1f\x7f\\]|\A[A-Za-z]:|(?:\A|/)\.{0,2}(?:/|\Z)")


def check_name(name: str, known: set[str]) -> None:
    """Check that a member's name is safe to unpack and new, and add it to the known ones.

    Raises InvalidUpload.
    """
    name = name.removesuffix("/")
    if _UNSAFE_NAME.search(name):
        raise InvalidUpload(f"the archive has a member with the unsafe name `{printable(name)}`")
    if name in known:
        raise InvalidUpload(f"the archive has two members of the name `{printable(name)}`")
    known.add(name)


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
