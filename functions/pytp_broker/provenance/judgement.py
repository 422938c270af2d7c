"""Why attestations are not verified: each reason has a code, which docs/trust-root.md explains."""

from enum import Enum


class Reason(Enum):
    """Why attestations are refused, or nobody here can verify them."""

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    DUPLICATE = "duplicate"
    FOREIGN_STATEMENT = "foreign-statement"
    FOREIGN_PREDICATE = "foreign-predicate"
    WRONG_SUBJECT = "wrong-subject"
    WRONG_DIGEST = "wrong-digest"
    SEVERAL_ENTRIES = "several-entries"
    MALFORMED_CERTIFICATE = "malformed-certificate"
    BAD_CERTIFICATE = "bad-certificate"
    BAD_EVIDENCE = "bad-evidence"
    WRONG_IDENTITY = "wrong-identity"
    UNREADABLE = "unreadable"
    # With these nothing is wrong that we can see.
    UNKNOWN_PUBLISHER = "unknown-publisher"
    FOREIGN_AUTHORITY = "foreign-authority"
    UNKNOWN_LOG = "unknown-log"
    NO_ENTRY = "no-log-entry"
    NO_LIBRARY = "no-library"


class NotVerifiedError(Exception):
    """The attestations are not verified; the message begins with the reason's code."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(f"{reason.value}: {sentence}")
        self.reason = reason


class RefusedError(NotVerifiedError):
    """Something is wrong with the attestations."""


class UnverifiedError(NotVerifiedError):
    """Nobody here can say whether the attestations are good."""
