"""Publishing sessions of Upload API 2.0 (PEP 694): what a store keeps of them.

One document holds a session with all its files. It changes by compare-and-swap on ``revision``, so
that each transition is a function from one session to the next: no race can lose a file, or add one
while a publish begins.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Self

from pytp_broker.storage.file_records import PublishedFile

MAX_FILES: Final = 1000
# Live sessions of one project.
MAX_SESSIONS: Final = 100
# A publish takes seconds. One that has not ended after this time was interrupted, and the next
# request about the session rolls it back.
PUBLISH_TIME: Final = timedelta(seconds=60)
# How long a session can be asked about after it is over.
RETENTION: Final = timedelta(days=30)
# DynamoDB's limit for an item is 409,600, with the names and the other attributes of the row. A
# session that may begin to publish leaves room for what the end of a publish adds.
MAX_DOCUMENT_BYTES: Final = 400_000
_ROOM_FOR_AN_END: Final = 2_000
INTERRUPTED: Final = "The last publish was interrupted, and nothing was published: publish again."


class SessionTooLargeError(Exception):
    """The compressed document of a session has more than MAX_DOCUMENT_BYTES."""


class SessionStatus(Enum):
    """The states of a publishing session."""

    OPEN = "open"
    PROCESSING = "processing"
    PUBLISHED = "published"
    ERROR = "error"
    CANCELED = "canceled"


class UploadStatus(Enum):
    """The states of a file upload session."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERROR = "error"
    CANCELED = "canceled"


_OVER: Final = frozenset({SessionStatus.PUBLISHED, SessionStatus.CANCELED})


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file upload session: what the client announced, and what has become of it.

    ``hashes`` are those that the client sent, sha256 always among them. ``file`` is the record that
    publishing makes visible, once the upload is completed. ``former_ids`` are the upload ids of
    canceled sessions of the same file name. While the upload is ``processing``, ``published_by``
    says who has completed it, and ``attempts`` how often its check has begun. Attestations
    that the client has sent for it have the hash ``attestations_sha256``; if they are required, the
    upload fails unless they are verified.
    """

    upload_id: str
    filename: str
    size: int
    hashes: Mapping[str, str]
    mechanism: str
    status: UploadStatus
    created_at: datetime
    expires_at: datetime
    notices: tuple[str, ...] = ()
    processing_since: datetime | None = None
    file: PublishedFile | None = None
    former_ids: tuple[str, ...] = ()
    published_by: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    attestations_sha256: str | None = None
    requires_attestations: bool = False

    def document(self) -> dict[str, Any]:
        """Return the file as JSON types."""
        # Earlier versions do not know these members, and most uploads have none of them.
        newer = {
            "attestations_sha256": self.attestations_sha256,
            "requires_attestations": self.requires_attestations,
        }
        return {
            **{name: value for name, value in newer.items() if value},
            "upload_id": self.upload_id,
            "filename": self.filename,
            "size": self.size,
            "hashes": dict(self.hashes),
            "mechanism": self.mechanism,
            "status": self.status.value,
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "notices": list(self.notices),
            "processing_since": _write_time(self.processing_since),
            "file": None if self.file is None else self.file.document(),
            "former_ids": list(self.former_ids),
            "published_by": dict(self.published_by),
            "attempts": self.attempts,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the file that ``document()`` described."""
        file = document["file"]
        return cls(
            upload_id=document["upload_id"],
            filename=document["filename"],
            size=document["size"],
            hashes=document["hashes"],
            mechanism=document["mechanism"],
            status=UploadStatus(document["status"]),
            created_at=datetime.fromisoformat(document["created_at"]),
            expires_at=datetime.fromisoformat(document["expires_at"]),
            notices=tuple(document["notices"]),
            processing_since=_read_time(document["processing_since"]),
            file=None if file is None else PublishedFile.from_document(file),
            former_ids=tuple(document["former_ids"]),
            published_by=document.get("published_by", {}),
            attempts=document.get("attempts", 0),
            attestations_sha256=document.get("attestations_sha256"),
            requires_attestations=document.get("requires_attestations", False),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """A publishing session with all its files.

    ``key`` is the text that all spellings of the version share. ``revision`` grows with every
    change. ``files`` has each file by its name; a canceled one stays until it is replaced.
    ``is_legacy`` says that uploads of the legacy API bring its files.
    """

    token: str = field(repr=False)
    registry: str
    project: str
    version: str
    key: str
    status: SessionStatus
    created_at: datetime
    expires_at: datetime
    revision: int
    files: Mapping[str, StagedFile]
    notices: tuple[str, ...] = ()
    processing_since: datetime | None = None
    ended_at: datetime | None = None
    is_legacy: bool = False

    def is_live(self, now: datetime) -> bool:
        """Say whether the session is neither published nor canceled nor expired."""
        return not self.is_over and now < self.expires_at

    def is_interrupted(self, now: datetime) -> bool:
        """Say whether a publish began that ended without a result."""
        since = self.processing_since
        is_processing = self.status is SessionStatus.PROCESSING
        return is_processing and since is not None and now - since >= PUBLISH_TIME

    @property
    def kept_until(self) -> datetime:
        """Return until when a store keeps the session."""
        return (self.ended_at or self.expires_at) + RETENTION

    @property
    def filenames(self) -> tuple[str, ...]:
        """Return the names of the files that are completed, which a publish makes visible."""
        files = self.files.values()
        return tuple(f.filename for f in files if f.status is UploadStatus.COMPLETED)

    @property
    def is_over(self) -> bool:
        """Say whether the session is published or canceled."""
        return self.status in _OVER

    @property
    def reservation(self) -> str:
        """Return the mark of the names that this session has reserved at this revision.

        No later revision has the same mark, so a publish that failed can make nothing visible.
        """
        return f"{self.token}#{self.revision}"

    @property
    def published_reservation(self) -> str:
        """Return the mark of the names that a published session had reserved."""
        return f"{self.token}#{self.revision - 1}"

    def is_publication_of(self, reservation: str) -> bool:
        """Say whether this session has published what this mark reserved."""
        is_published = self.status is SessionStatus.PUBLISHED
        return is_published and reservation == self.published_reservation

    def changed(self, **changes: Any) -> Self:  # noqa: ANN401 - as `replace`
        """Return the next revision, with changes."""
        return replace(self, revision=self.revision + 1, **changes)

    def processing(self, now: datetime) -> Self:
        """Return the session when a publish begins."""
        return self.changed(status=SessionStatus.PROCESSING, processing_since=now)

    def published(self, now: datetime) -> Self:
        """Return the session when its publish has succeeded."""
        return self.changed(status=SessionStatus.PUBLISHED, processing_since=None, ended_at=now)

    def failed(self, notice: str) -> Self:
        """Return the session when its publish has failed: it may be edited again."""
        return self.changed(status=SessionStatus.ERROR, processing_since=None, notices=(notice,))

    def document(self) -> dict[str, Any]:
        """Return the session as JSON types."""
        return {
            "token": self.token,
            "registry": self.registry,
            "project": self.project,
            "version": self.version,
            "key": self.key,
            "status": self.status.value,
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "revision": self.revision,
            "files": [file.document() for file in self.files.values()],
            "notices": list(self.notices),
            "processing_since": _write_time(self.processing_since),
            "ended_at": _write_time(self.ended_at),
            "is_legacy": self.is_legacy,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the session that ``document()`` described."""
        files = [StagedFile.from_document(each) for each in document["files"]]
        return cls(
            token=document["token"],
            registry=document["registry"],
            project=document["project"],
            version=document["version"],
            key=document["key"],
            status=SessionStatus(document["status"]),
            created_at=datetime.fromisoformat(document["created_at"]),
            expires_at=datetime.fromisoformat(document["expires_at"]),
            revision=document["revision"],
            files={file.filename: file for file in files},
            notices=tuple(document["notices"]),
            processing_since=_read_time(document["processing_since"]),
            ended_at=_read_time(document["ended_at"]),
            is_legacy=document.get("is_legacy", False),
        )


def pack(session: Session) -> bytes:
    """Return a session as a store keeps it; raise SessionTooLargeError.

    Every store has the same limit, so that a session that fits one machine also fits AWS.
    """
    packed = zlib.compress(json.dumps(session.document(), sort_keys=True).encode())
    may_end = session.status in {SessionStatus.OPEN, SessionStatus.PROCESSING}
    if len(packed) > MAX_DOCUMENT_BYTES + (0 if may_end else _ROOM_FOR_AN_END):
        raise SessionTooLargeError
    return packed


def unpack(packed: bytes) -> Session:
    """Return the session that ``pack`` wrote."""
    return Session.from_document(json.loads(zlib.decompress(packed)))


def _write_time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
