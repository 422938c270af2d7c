"""The keys of receipts: public keys with the time in which each one signs.

They are published as a JWK set (RFC 7517) with members of our own for the time. Old keys stay, so
that old receipts can be verified. A key that may be in wrong hands is revoked, and says since when.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from pytp_broker.provenance.dsse import canonical
from pytp_broker.provenance.receipts import read_time, write_time

# Functions may know a new key a moment later than the one who made it.
OVERLAP: Final = timedelta(minutes=15)
_COORDINATE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Revocation:
    """Since when the key may be in wrong hands, and why we think so."""

    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """A public key on P-256: its coordinates in base64url, and in which time it signs.

    ``location`` is where the private key is: the ARN of a key of KMS, or empty for a file in the
    data folder. It is not published.
    """

    x: str
    y: str
    not_before: datetime
    not_after: datetime | None = None
    revocation: Revocation | None = None
    location: str = ""

    @property
    def key_id(self) -> str:
        """Return the key's id: its JWK thumbprint (RFC 7638)."""
        required = {"crv": "P-256", "kty": "EC", "x": self.x, "y": self.y}
        return _base64url(hashlib.sha256(canonical(required)).digest())

    def signs_at(self, time: datetime) -> bool:
        """Say whether the key may sign at this time."""
        is_before_end = self.not_after is None or time <= self.not_after
        return self.revocation is None and self.not_before <= time and is_before_end

    def ended(self, now: datetime) -> Self:
        """Return the key when another one has taken its place."""
        end = now + OVERLAP
        return replace(self, not_after=end if self.not_after is None else min(self.not_after, end))

    def revoked(self, since: datetime, reason: str) -> Self:
        """Return the key when it may be in wrong hands."""
        return replace(self, revocation=Revocation(since, reason))

    def jwk(self) -> dict[str, Any]:
        """Return the key as it is published."""
        document: dict[str, Any] = {
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "use": "sig",
            "kid": self.key_id,
            "x": self.x,
            "y": self.y,
            "not-before": write_time(self.not_before),
        }
        if self.not_after is not None:
            document["not-after"] = write_time(self.not_after)
        if self.revocation is not None:
            since, reason = write_time(self.revocation.since), self.revocation.reason
            document["revoked"] = {"since": since, "reason": reason}
        return document

    def document(self) -> dict[str, Any]:
        """Return the key as a store keeps it."""
        return {**self.jwk(), "location": self.location}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the key of a published or stored document.

        Raises ValueError for anything that is not a key on P-256 with the id of its own.
        """
        try:
            key = cls(
                x=_coordinate(document["x"]),
                y=_coordinate(document["y"]),
                not_before=read_time(document["not-before"]),
                not_after=_optional_time(document.get("not-after")),
                revocation=_read_revocation(document.get("revoked")),
                location=document.get("location", ""),
            )
            is_ours = (document["kty"], document["crv"], document["alg"], document["kid"]) == (
                *("EC", "P-256", "ES256"),
                key.key_id,
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ValueError("not a key of receipts") from None
        if not is_ours:
            raise ValueError("not a key of receipts")
        return key


def key_from_point(point: bytes, now: datetime, location: str = "") -> ReceiptKey:
    """Return a new key for a point: 0x04 and the two coordinates (SEC 1 §2.3.3)."""
    half = _COORDINATE_BYTES + 1
    return ReceiptKey(_base64url(point[1:half]), _base64url(point[half:]), now, location=location)


def signing_key(keys: Iterable[ReceiptKey], now: datetime) -> ReceiptKey | None:
    """Return the newest key that signs at this time; None if there is none."""
    usable = [key for key in keys if key.signs_at(now)]
    return max(usable, key=lambda key: (key.not_before, key.key_id), default=None)


def oldest_first(keys: Iterable[ReceiptKey]) -> Sequence[ReceiptKey]:
    """Return keys in the order in which they began to sign."""
    return sorted(keys, key=lambda key: (key.not_before, key.key_id))


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """The published keys of a deployment, by id; of its registry alone if a host name is its own.

    ``skipped`` counts keys that we cannot use.
    """

    host: str
    keys: Mapping[str, ReceiptKey]
    registry: str | None = None
    skipped: int = 0

    def document(self) -> dict[str, Any]:
        """Return the document as JSON types."""
        named = {} if self.registry is None else {"registry": self.registry}
        return {"host": self.host, **named, "keys": [key.jwk() for key in self.keys.values()]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the keys of a published document; raise ValueError if it is not one."""
        host, registry = document.get("host"), document.get("registry")
        entries = document.get("keys")
        is_named = registry is None or isinstance(registry, str)
        if not isinstance(host, str) or not isinstance(entries, list) or not is_named:
            raise ValueError("it must have a `host` and a list of `keys`")
        found = _usable(entries)
        by_id = {key.key_id: key for key in found}
        if len(by_id) != len(found):
            raise ValueError("it has one key twice")
        return cls(host, by_id, registry, skipped=len(entries) - len(found))


def _usable(entries: Sequence[Any]) -> list[ReceiptKey]:
    found = []
    for entry in entries:
        try:
            found.append(ReceiptKey.from_document(entry))
        except ValueError:
            continue
    return found


def _read_revocation(document: Any) -> Revocation | None:  # noqa: ANN401 - from outside
    if document is None:
        return None
    reason = document["reason"]
    if not isinstance(reason, str):
        raise TypeError
    return Revocation(read_time(document["since"]), reason)


def _optional_time(text: Any) -> datetime | None:  # noqa: ANN401 - from outside
    return None if text is None else read_time(text)


def _coordinate(text: Any) -> str:  # noqa: ANN401 - from outside
    octets = base64.urlsafe_b64decode(text + "=")
    if len(octets) != _COORDINATE_BYTES or _base64url(octets) != text:
        raise ValueError("not a coordinate on P-256")
    return str(text)


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
