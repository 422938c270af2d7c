"""Ask whether attestations (PEP 740) are good, for one file and for whom has published it.

The library that verifies them is large. So on AWS a function of its own answers, which may do
nothing else; the answer takes milliseconds once that function runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, Self

from pytp_broker.errors import StoreUnavailable


class AttestationStatus(Enum):
    """What is known of a file's attestations."""

    PENDING = "pending"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AttestationState:
    """What is known of a file's attestations, and why they are not verified.

    ``UNVERIFIED`` are those that nobody here can verify, such as those of a private Sigstore.
    ``REFUSED`` are those that are wrong: of another publisher, or with a bad signature.
    """

    status: AttestationStatus
    reason: str = ""

    def document(self) -> dict[str, str]:
        """Return the state as JSON types."""
        return {"status": self.status.value, "reason": self.reason}

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> Self:
        """Return the state that ``document()`` described."""
        return cls(AttestationStatus(document["status"]), document["reason"])


@dataclass(frozen=True, slots=True)
class AttestationQuestion:
    """What to verify: the JSON array that the client sent, of which file, and by whom.

    ``publisher`` is the one of the provenance object (PEP 740), with its ``kind``.
    """

    attestations: str
    filename: str
    sha256: str
    publisher: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """Return the question as JSON types."""
        return {
            "attestations": self.attestations,
            "filename": self.filename,
            "sha256": self.sha256,
            "publisher": dict(self.publisher),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the question that ``document()`` described."""
        return cls(**document)


class Attester(Protocol):
    """Verifies attestations."""

    def verify(self, question: AttestationQuestion) -> AttestationState:
        """Return VERIFIED, UNVERIFIED or REFUSED, the last two with a reason for the publisher.

        Raises StoreUnavailable if nobody can say it now.
        """


class NoAttester:
    """The attester of a function that asks nobody."""

    def verify(self, question: AttestationQuestion) -> AttestationState:
        """Raise StoreUnavailable."""
        raise StoreUnavailable(
            "attestations cannot be verified here",
            operator_detail=f"no attester for {question.filename}",
        )
