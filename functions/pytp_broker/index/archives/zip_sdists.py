"""Read an sdist that is a zip archive, as Windows made them until PEP 625.

No upload may be one, but an index that moves in may have some, and installers still take them.
"""

from collections.abc import Mapping

from pytp_broker.content import Content
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import (
    check_metadata_size,
    check_places,
    check_spelling,
    folded,
)
from pytp_broker.index.archives.sdists import NOT_ONE_FOLDER, check_ends
from pytp_broker.index.archives.zips import Member, read_zip
from pytp_broker.index.distributions import Distribution


def read_zip_sdist(_distribution: Distribution, content: Content) -> bytes:
    """Return the sdist's PKG-INFO; raise InvalidUpload, struct.error or InflateError."""
    members = read_zip(content)
    path = _find_metadata(members)
    _check_places(members)
    check_metadata_size(members[path].size)
    found = b""
    for name, member in members.items():
        pieces = member.unpack()  # checks the size and the CRC-32 of each member
        if name == path:
            found = b"".join(pieces)
        for _ in pieces:
            pass
    return found


def _find_metadata(members: Mapping[str, Member]) -> str:
    """Return the path of PKG-INFO in the one top-level directory."""
    tops = {name.partition("/")[0] for name in members}
    path = f"{next(iter(tops), '')}/PKG-INFO"
    if len(tops) != 1 or path not in members:
        raise InvalidUpload(NOT_ONE_FOLDER)
    for name in members:
        check_spelling(name.partition("/")[2], "PKG-INFO")
        check_ends(name)
    return path


def _check_places(members: Mapping[str, Member]) -> None:
    """Check that no two members become one file, whatever tool unpacks them and wherever."""
    check_places((folded(name.rstrip("/")), name, m.is_file) for name, m in members.items())
    check_places((m.unzip_path, name, m.is_file) for name, m in members.items())
