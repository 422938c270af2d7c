"""Events that a request brings to light: each has a record of its own, beside the request's."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytp_broker.audit import facts
from pytp_broker.audit.record import AuditRecord, Event

KeySetReason: TypeAlias = Literal[
    "refresh-failed", "stale", "no-keys", "duplicate-key-id", "unusable-key"
]


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
