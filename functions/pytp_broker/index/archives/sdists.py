"""Read an sdist, one tar archive inside one gzip, once from start to end.

Tar has grown for forty years, and its readers disagree. They disagree about which of two names or
two sizes of a member counts, where a number or a name ends, and what an undefined header means. So
one tool may check other files than another tool unpacks (CVE-2025-62518, CVE-2026-33055,
CVE-2026-53655). This module reads only what all tools understand alike, which covers everything
that build tools write, and refuses the rest. It does not use Python's tarfile, which accepts far
more.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pytp_broker.content import Content
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.links import Links
from pytp_broker.index.archives.members import MemberNames, check_metadata_size, check_spelling
from pytp_broker.index.archives.tar_headers import (
    GLOBAL,
    GLOBAL_KEYS,
    KEYS,
    LONG_NAME,
    LONG_TARGET,
    RECORDS,
    Header,
    Stream,
    decode,
    padding,
    read_following,
    read_header,
    read_long_text,
    read_records,
)
from pytp_broker.index.distributions import Distribution
from pytp_broker.redaction import printable

_DIRECTORY: Final = b"5"
_FILES: Final = (b"0", b"\0")
_HARD_LINK: Final = b"1"
_SYMBOLIC_LINK: Final = b"2"
_LINKS: Final = (_HARD_LINK, _SYMBOLIC_LINK)
_EXTENDED: Final = (GLOBAL, RECORDS, LONG_NAME, LONG_TARGET)

NOT_ONE_FOLDER: Final = "the sdist must have one top-level directory, with a PKG-INFO in it"


class _Member(NamedTuple):
    name: str
    kind: bytes
    size: int
    target: str


def read_sdist(_distribution: Distribution, content: Content) -> bytes:
    """Return an sdist's PKG-INFO; raise InvalidUpload, or InflateError for a broken gzip."""
    stream = Stream(content)
    top_level = ""
    found: list[bytes] = []
    for member in _members(stream):
        top, _, rest = member.name.partition("/")
        top_level = top_level or top
        if top != top_level:
            raise InvalidUpload(NOT_ONE_FOLDER)
        check_spelling(rest, "PKG-INFO")
        check_ends(member.name)
        if rest == "PKG-INFO" and member.kind in _LINKS:
            raise InvalidUpload("the sdist's PKG-INFO is a link: put the file itself there")
        if rest == "PKG-INFO" and member.kind != _DIRECTORY:
            check_metadata_size(member.size)
            found.append(stream.take(member.size))
    if not found:
        raise InvalidUpload(NOT_ONE_FOLDER)
    return found[0]


def check_ends(name: str) -> None:
    """Check that no segment ends in a blank: Windows drops it, and uv refuses such an sdist."""
    if " /" in name or name.endswith(" "):
        raise InvalidUpload(
            f"the sdist has the member `{printable(name)}`, and uv does not unpack names with a "
            "part that ends in a blank; rename it"
        )


def _members(stream: "Stream") -> Iterator[_Member]:
    """Yield the members; at each one, the stream stands at the beginning of its content."""
    names, links = MemberNames(stream.packed_size, takes_colons=True), Links()
    header = read_header(stream)
    if header and header.kind == GLOBAL:
        read_records(stream, header, GLOBAL_KEYS)
        header = read_following(stream)
    while header:
        member = _read_member(stream, header)
        names.add(member.name, is_file=member.kind != _DIRECTORY)
        _add_to(links, member)
        end = stream.position + member.size + padding(member.size)
        yield member
        stream.skip(end - stream.position)
        header = read_header(stream)
    names.check_together()
    links.check()


def _add_to(links: Links, member: _Member) -> None:
    if member.kind == _SYMBOLIC_LINK:
        links.add_symbolic_link(member.name, member.target)
    elif member.kind == _HARD_LINK:
        links.add_hard_link(member.name, member.target)
    elif member.kind != _DIRECTORY:
        links.add_file(member.name)


def _read_member(stream: Stream, header: Header) -> _Member:
    """Return a member, together with what extended headers before it say."""
    header, said = _read_said(stream, header)
    name, target = said.get(b"path", header.path), said.get(b"linkpath", header.target)
    _check_member(header, name, target)
    size = b"%d" % header.size
    if said.get(b"size", size) != size:
        raise InvalidUpload("the sdist has a member whose headers state two sizes")
    return _Member(decode(name), header.kind, header.size, decode(target))


def _read_said(stream: Stream, header: Header) -> tuple[Header, dict[bytes, bytes]]:
    """Return a member's own header, and what the headers before it say.

    These are either one header with records, or one with a long target and one with a long name in
    GNU tar's order. A repeated header is refused, because some tools use the first and some the
    last.
    """
    if header.kind == RECORDS:
        said = read_records(stream, header, KEYS)
        return read_following(stream), said
    said = {}
    for kind, key in ((LONG_TARGET, b"linkpath"), (LONG_NAME, b"path")):
        if header.kind == kind:
            said[key] = read_long_text(stream, header)
            header = read_following(stream)
    return header, said


def _check_member(header: Header, name: bytes, target: bytes) -> None:
    """Check that all headers agree on whether a member is a file, a directory or a link.

    Some tools recognise a directory by its type and some by its name, and not all skip its content.
    """
    if header.kind in _EXTENDED:
        raise InvalidUpload(
            "the sdist has an extended header that its member does not follow directly"
        )
    if header.kind not in (*_FILES, *_LINKS, _DIRECTORY):
        kind = printable(header.kind.decode("latin-1"))
        raise InvalidUpload(
            f"the sdist has a member of type `{kind}`, which is not a plain file, directory or link"
        )
    if target and header.kind not in _LINKS:
        raise InvalidUpload(
            "the sdist has a plain file or directory that also has the target of a link, in its "
            "own header, in `linkpath` or in a header of type `K`"
        )
    # A file of the old type whose own header name ends in a slash is a directory to Python's
    # tarfile, even if another name counts. Other tools cut a long name after a slash.
    is_old = header.kind == b"\0" and header.path.endswith(b"/")
    if (is_old or name.endswith(b"/")) and header.kind != _DIRECTORY:
        raise InvalidUpload("the sdist has a file with the name of a directory")
    if header.size and header.kind not in _FILES:
        raise InvalidUpload("the sdist has a directory or a link with content")
