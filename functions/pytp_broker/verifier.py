"""Ask for the verification of a large upload, which takes longer than a request should.

On AWS a function of its own does the work, and in ``serve`` a thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

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


class Verifier(Protocol):
    """Verifies uploads later; ``index.sessions.verifying`` is what it does then."""

    def request(self, place: UploadPlace) -> None:
        """Let an upload be verified soon, at least once; raise StoreUnavailable.

        A request may be lost with the machine that took it. Then somebody must ask again.
        """


class NoVerifier:
    """The verifier of a function that takes no uploads: nobody asks it."""

    def request(self, place: UploadPlace) -> None:
        """Raise StoreUnavailable."""
        raise StoreUnavailable(
            "the file cannot be checked here", operator_detail=f"no verifier for {place.filename}"
        )
