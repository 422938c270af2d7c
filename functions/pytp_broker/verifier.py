"""Ask for a verification that a request does not wait for: of a large upload, or of attestations.

On AWS a function of its own does the work, and in ``serve`` a thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, Self, TypeAlias

from pytp_broker.errors import StoreUnavailable

# What a function of AWS checks within a request, whose gateway waits for half a minute.
IMMEDIATE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Where a file upload session is: in the publishing session of this token."""

    token: str = field(repr=False)
    registry: str
    filename: str
    upload_id: str

    def document(self) -> dict[str, str]:
        """Return the place as JSON types."""
        return {
            "token": self.token,
            "registry": self.registry,
            "filename": self.filename,
            "upload_id": self.upload_id,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> Self:
        """Return the place that ``document()`` described."""
        return cls(**document)


@dataclass(frozen=True, slots=True)
class AttestationPlace:
    """A published file whose attestations are to be verified."""

    registry: str
    project: str
    filename: str

    def document(self) -> dict[str, str]:
        """Return the place as JSON types."""
        return {"registry": self.registry, "project": self.project, "filename": self.filename}

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> Self:
        """Return the place that ``document()`` described."""
        return cls(**document)


Place: TypeAlias = UploadPlace | AttestationPlace


def read_place(document: Mapping[str, str]) -> Place:
    """Return the place of either kind that ``document()`` described."""
    is_upload = "upload_id" in document
    return (UploadPlace if is_upload else AttestationPlace).from_document(document)


class Verifier(Protocol):
    """Verifies later; ``index.verifying`` is what it does then."""

    def request(self, place: Place) -> None:
        """Let this place be verified soon, at least once; raise StoreUnavailable.

        A request may be lost with the machine that took it. Then somebody must ask again.
        """


class NoVerifier:
    """The verifier of a function that takes no uploads: nobody asks it."""

    def request(self, place: Place) -> None:
        """Raise StoreUnavailable."""
        raise StoreUnavailable(
            "the file cannot be checked here", operator_detail=f"no verifier for {place.filename}"
        )
