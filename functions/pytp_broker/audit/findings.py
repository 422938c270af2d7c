"""Events that a request brings to light: each has a record of its own, beside the request's."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytp_broker.audit import facts
from pytp_broker.audit.record import AuditRecord, Event
from pytp_broker.provenance.attester import AttestationState, AttestationStatus

KeySetReason: TypeAlias = Literal[
    "refresh-failed", "stale", "no-keys", "duplicate-key-id", "unusable-key"
]
Basis: TypeAlias = Literal["publication", "attestation"]


@dataclass(slots=True, kw_only=True)
class Leak(Event):
    """Secret scanning reported a text that looks like a token; if it is one, we burned it."""

    name = "leak"

    type: facts.LeakType
    url: facts.LeakUrl
    source: facts.LeakSource
    burned: facts.Burned = False
    token_hash: facts.TokenHash | None = None

    def subject(self) -> str:
        """Return the token, and where it was found."""
        found = f"token {self.token_hash}" if self.token_hash else "no token of ours"
        return f"{found} at {self.url}" if self.url else found


@dataclass(slots=True, kw_only=True)
class OperatorsToken(Event):
    """Somebody uploads, or another index asks about an upload, with a token that an operator made.

    The record is there before the upload is: it has the operator's name and reason.
    """

    name = "operators-token"
    outcomes = ("accepted",)

    registry: facts.Registry
    projects: facts.Projects
    made_by: facts.MadeBy
    why: facts.Why
    token_hash: facts.TokenHash

    def subject(self) -> str:
        """Return where the token is used, who made it, and why."""
        return f"{', '.join(self.projects)}: made by {self.made_by}, because: {self.why}"


@dataclass(slots=True, kw_only=True)
class Verification(Event):
    """A large file of a publishing session was checked, after the request that completed it."""

    name = "verification"

    registry: facts.Registry
    filename: facts.Filename

    def subject(self) -> str:
        """Return the file and its registry."""
        return f"{self.filename} in {self.registry}"


@dataclass(slots=True, kw_only=True)
class Attestation(Event):
    """The attestations of a published file were verified, after the request that published it."""

    name = "attestation"

    registry: facts.Registry
    project: facts.Project
    filename: facts.Filename

    def subject(self) -> str:
        """Return the file and its registry."""
        return f"{self.filename} in {self.registry}"

    def settled(self, state: AttestationState) -> AuditRecord:
        """Return the record of what is known of the attestations now."""
        if state.status is AttestationStatus.VERIFIED:
            return self.accepted()
        return self.record("refused", f"attestations-{state.status.value}", state.reason)


@dataclass(slots=True, kw_only=True)
class Timestamp(Event):
    """A receipt has no timestamp, although the registry has a time-stamping authority.

    The file is published all the same.
    """

    name = "timestamp"
    outcomes = ("refused",)

    registry: facts.Registry
    filename: facts.Filename

    def subject(self) -> str:
        """Return the file and its registry."""
        return f"{self.filename} in {self.registry}"

    def missing(self, operator_detail: str) -> AuditRecord:
        """Return the record of a receipt without a timestamp."""
        return self.record("refused", "no-timestamp", operator_detail=operator_detail)


@dataclass(slots=True, kw_only=True)
class ProvenanceChange(Event):
    """A release lost the provenance that an earlier one has, or comes from another source.

    An import keeps the record among those of operators, with `by`.
    """

    name = "provenance"
    outcomes = ("accepted",)

    registry: facts.Registry
    project: facts.Project
    version: facts.Version
    filenames: facts.Filenames
    basis: facts.Basis
    provenance: facts.ProvenanceWords
    compared_with: facts.ComparedWith
    new_sources: facts.NewSources
    by: facts.By | None = None

    def subject(self) -> str:
        """Return the release, what became of it, and with which one it was compared."""
        words = ", ".join(self.provenance)
        release = f"{self.project} {self.version} in {self.registry}"
        return f"{release}: by {self.basis}: {words}, compared with {self.compared_with}"


@dataclass(slots=True, kw_only=True)
class KeySet(Event):
    """We could not fetch a key set, or it has keys that we cannot use."""

    name = "key-set"

    issuer: facts.Issuer
    key_ids: facts.KeyIds | None = None

    def subject(self) -> str:
        """Return whose keys they are, and which of them are meant."""
        return " ".join([self.issuer, *(self.key_ids or ())])

    def failed(self, reason: KeySetReason, detail: str = "") -> AuditRecord:
        """Return the record of what is wrong with the key set."""
        return self.record("refused", reason, detail)
