"""What the rows of a project's listing hold: marks of changes under way, and the content."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_files import Announcement

# The mark of a change of which we do not know which files it is about.
ANY_FILE: Final = ""
# A mark with this before the file's name says that an attestation state has changed. The file may
# be in the listing already, with the old state. No file's name begins with this, so an earlier
# version that reads such a mark finds no file.
_LISTED: Final = "~"
_LEVEL: Final = 6
_SEPARATOR: Final = "#"


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of a change that is under way: when it began, who makes it, and to which file."""

    began_at: int
    writer: str
    filename: str

    @property
    def changes_listed(self) -> bool:
        """Say whether the listing may have the file already, with an old state."""
        return self.filename.startswith(_LISTED)

    @property
    def row_name(self) -> str:
        """Return the name in the row of the file that the change is about."""
        return self.filename.removeprefix(_LISTED)

    def __str__(self) -> str:
        return _SEPARATOR.join((str(self.began_at), self.writer, self.filename))

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the mark that a row holds."""
        began_at, writer, filename = text.split(_SEPARATOR, 2)
        return cls(int(began_at), writer, filename)


def changing(filename: str) -> str:
    """Return what the mark of a changed attestation state has in place of the file's name."""
    return _LISTED + filename


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a listing: documents of visible files by name, and why releases are yanked.

    ``stored_hash`` is the hash of what is stored; it is empty for content that is not.
    """

    documents: Mapping[str, Mapping[str, Any]]
    yanked: Mapping[str, str]
    stored_hash: str = ""

    @property
    def is_new(self) -> bool:
        """Say whether it is not what is stored."""
        return not self.stored_hash

    def pack(self) -> bytes:
        """Return the content as it is stored."""
        ordered = [self.documents[name] for name in sorted(self.documents)]
        document = {"files": ordered, "yanked": dict(self.yanked)}
        return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), _LEVEL)

    @classmethod
    def unpack(cls, octets: bytes) -> Self:
        """Return the content that was stored as this."""
        document = json.loads(zlib.decompress(octets))
        documents = {each["filename"]: each for each in document["files"]}
        return cls(documents, document["yanked"], hash_of(octets))

    @property
    def files(self) -> list[PublishedFile]:
        """Return the files, ordered by name."""
        ordered = (self.documents[name] for name in sorted(self.documents))
        return [PublishedFile.from_document(document) for document in ordered]

    def with_files(self, documents: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return the content with further files, or itself if there are none."""
        return type(self)({**self.documents, **documents}, self.yanked) if documents else self


def hash_of(packed: bytes) -> str:
    """Return the hash of a content as it is stored, which names what a page shows of the files."""
    return hashlib.sha256(packed).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ListingState:
    """What the rows of a listing say.

    ``revision`` is that of the content, or 0 without one. The content is ``packed``, or it is under
    the ``key`` in the bucket. Content of a revision below ``floor`` is outdated.

    ``settled_hash`` is the hash of the content that the floor was set for. It is empty while there
    are marks, or if a writer of version 0.1.0 has set the floor. ``has_status`` says that the
    project may have a status, which is in another row.
    """

    marks: frozenset[Mark] = frozenset()
    floor: int = 0
    settled_hash: str = ""
    has_status: bool = False
    revision: int = 0
    packed: bytes = b""
    key: str = ""

    @property
    def has_content(self) -> bool:
        """Say whether the content has every change but those that are marked."""
        return self.revision >= self.floor and bool(self.packed or self.key)

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Return what these rows hold."""
        by_kind = {row["sk"]: row for row in rows}
        marks, content = by_kind.get("MARKS", {}), by_kind.get("CONTENT", {})
        return cls(
            marks=frozenset(map(Mark.read, marks.get("marks", ()))),
            floor=marks.get("floor", 0),
            settled_hash=_settled_hash(marks),
            has_status="has_status" in marks,
            revision=content.get("revision", 0),
            packed=content.get("content", b""),
            key=content.get("object_key", ""),
        )


def settled(floor: int, stored_hash: str) -> str:
    """Return what the row of the marks says of the content of this revision."""
    return f"{floor}{_SEPARATOR}{stored_hash}"


def _settled_hash(marks: Mapping[str, Any]) -> str:
    floor, _, stored_hash = marks.get("settled", "").partition(_SEPARATOR)
    # Version 0.1.0 sets the floor alone, and leaves a hash that is not that of the floor.
    is_settled = not marks.get("marks") and floor == str(marks.get("floor"))
    return stored_hash if is_settled else ""


@dataclass(frozen=True, slots=True)
class Announced(Announcement):
    """An announced file: its marks, and what the listing was without them.

    ``content`` is what the project shows; None if that is not known, or without a file.
    """

    marks: AbstractSet[Mark]
    state: ListingState = field(default_factory=ListingState)
    content: Content | None = None

    @property
    def base(self) -> Content | None:
        """Return the stored content, if it has every change that anybody has begun."""
        content = self.content
        return None if content is None or content.is_new or self.state.marks else content
