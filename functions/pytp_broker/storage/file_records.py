"""What the index keeps about files: each published file, and each release."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from pytp_broker.names import is_wheel
from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.withdrawals import Tombstone

# What ``published_by`` may keep, apart from the publishers, in the order in which it is shown.
RECORDED: Final = (
    *("repository", "workflow", "environment", "ref", "sha", "run", "actor", "issuer"),
    *("operator", "reason", "imported_by", "imported_from", "token_hash"),
)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One visible file of the index; it never changes.

    ``project`` is the normalised name that ``filename`` begins with. ``published_by`` keeps who
    published: issuer, ``provider`` and signed claims (repository, run, …), the immutable ids that
    the publishers expect, the ids of the ``publishers`` that gave the right, and the beginning of
    the token's hash. ``has_static_dependencies`` says that the dependencies in an sdist's PKG-INFO
    hold for every wheel built from it (PEP 643). Records of older versions lack some of these, and
    then nothing is known.
    ``upload_id`` is that of the file upload session by which the file came, if it came by one.
    ``receipt_sha256`` is the hash of the file's receipt, and ``attestations_sha256`` that of the
    attestations that came with the file. ``attestation_state`` is what is known of them now.
    """

    registry: str
    project: str
    version: str
    filename: str
    sha256: str
    size: int
    metadata_sha256: str
    requires_python: str | None
    uploaded_at: datetime
    published_by: Mapping[str, str]
    has_static_dependencies: bool = False
    upload_id: str | None = None
    receipt_sha256: str | None = None
    attestations_sha256: str | None = None
    attestation_state: AttestationState | None = None

    @property
    def advertises_metadata(self) -> bool:
        """Say whether installers may rely on the metadata beside the file (PEP 658).

        They take the dependencies from there and never look inside: a wheel's are final, an
        sdist's only if they are static.
        """
        return is_wheel(self.filename) or self.has_static_dependencies

    @property
    def is_attested(self) -> bool:
        """Say whether attestations of the file are verified."""
        state = self.attestation_state
        return state is not None and state.status is AttestationStatus.VERIFIED

    def with_attestation_state(self, state: AttestationState) -> Self:
        """Return the file when this is known of its attestations."""
        return replace(self, attestation_state=state)

    def document(self) -> dict[str, Any]:
        """Return the file as JSON types."""
        # Earlier versions do not know these members, and may still run during a deployment.
        state = self.attestation_state
        newer = {
            "upload_id": self.upload_id,
            "receipt_sha256": self.receipt_sha256,
            "attestations_sha256": self.attestations_sha256,
            "attestation_state": None if state is None else state.document(),
        }
        return {
            **{name: value for name, value in newer.items() if value is not None},
            "registry": self.registry,
            "project": self.project,
            "version": self.version,
            "filename": self.filename,
            "sha256": self.sha256,
            "size": self.size,
            "metadata_sha256": self.metadata_sha256,
            "requires_python": self.requires_python,
            "uploaded_at": self.uploaded_at.isoformat(),
            "published_by": dict(self.published_by),
            "has_static_dependencies": self.has_static_dependencies,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the file that ``document()`` described."""
        uploaded_at = datetime.fromisoformat(document["uploaded_at"])
        state = document.get("attestation_state")
        known = None if state is None else AttestationState.from_document(state)
        # A later version may have written members that this one does not know, and may still run.
        ours = {name: document[name] for name in cls.__slots__ if name in document}
        return cls(**{**ours, "uploaded_at": uploaded_at, "attestation_state": known})


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index has under a file's name: the file, if there is one, and what operators said.

    ``tombstone`` is the file's, if an operator has deleted it, and ``status`` is its project's.
    """

    file: PublishedFile | None
    tombstone: Tombstone | None
    status: ProjectStatus


@dataclass(frozen=True, slots=True)
class Release:
    """The record of a release, which decides what further files the release takes.

    All spellings of a version have the same ``key``. ``filename`` is the release's first file, and
    its spelling of the version is the first of ``spellings``. Further spellings come from files
    that were published before releases had records. ``claimed_at`` is when the record was last
    written for a file that was about to become visible.
    """

    registry: str
    project: str
    key: str
    spellings: tuple[str, ...]
    filename: str
    sdist: str | None
    opened_at: datetime
    claimed_at: datetime

    def document(self) -> dict[str, Any]:
        """Return the release as JSON types."""
        return {
            "registry": self.registry,
            "project": self.project,
            "key": self.key,
            "spellings": list(self.spellings),
            "filename": self.filename,
            "sdist": self.sdist,
            "opened_at": self.opened_at.isoformat(),
            "claimed_at": self.claimed_at.isoformat(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the release that ``document()`` described."""
        times = {name: datetime.fromisoformat(document[name]) for name in _TIMES_OF_RELEASE}
        return cls(**{**document, **times, "spellings": tuple(document["spellings"])})


_TIMES_OF_RELEASE: Final = ("opened_at", "claimed_at")
