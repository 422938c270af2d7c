"""Upload tokens: their form, their stored records and their rights.

A token is ``pytp_`` and 71 base62 characters: 22 of lookup id, 43 of secret, 6 of checksum.
The lookup id is a hash that names the exchanged identity token, so a second exchange of the same
identity token finds the record of the first. The checksum lets a scanner, and us, drop a malformed
token without a read. Only the SHA-256 of the whole token is stored.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from pytp_broker.grants import Grant, Permission, Trust, read_grants
from pytp_broker.making import Making
from pytp_broker.redaction import Hidden

PREFIX: Final = "pytp_"
LOOKUP_ID_BYTES: Final = 16
SECRET_BYTES: Final = 32
_LOOKUP_ID_DIGITS: Final = 22
_SECRET_DIGITS: Final = 43
_CHECKSUM_DIGITS: Final = 6
_LENGTH: Final = len(PREFIX) + _LOOKUP_ID_DIGITS + _SECRET_DIGITS + _CHECKSUM_DIGITS
_FORM: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_LENGTH - len(PREFIX)}}}")
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE: Final = len(_ALPHABET)
_VALUES: Final = {digit: value for value, digit in enumerate(_ALPHABET)}

MULTI_USE: Final = "multi-use-token"
SINGLE_USE: Final = "single-use-token"
FEATURES: Final = (MULTI_USE, SINGLE_USE)
DEFAULT_FEATURES: Final = (MULTI_USE,)


class MalformedTokenError(ValueError):
    """The text is not one of our upload tokens."""


class UploadToken(Hidden):
    """An upload token. Only ``reveal()`` shows its text, for the one answer that carries it."""

    __slots__ = ("lookup_id",)

    def __init__(self, text: str, lookup_id: str) -> None:
        super().__init__(text)
        self.lookup_id = lookup_id

    @classmethod
    def mint(cls, lookup_id: str) -> Self:
        """Return a new token with 256 bits of entropy for this lookup id (32 hex digits)."""
        digits = _encode(bytes.fromhex(lookup_id), _LOOKUP_ID_DIGITS)
        body = PREFIX + digits + _encode(secrets.token_bytes(SECRET_BYTES), _SECRET_DIGITS)
        return cls(body + _checksum(body), lookup_id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the token of this text; raise MalformedTokenError if it is not of our form."""
        if len(text) != _LENGTH or not text.startswith(PREFIX):
            raise MalformedTokenError
        body, checksum = text[:-_CHECKSUM_DIGITS], text[-_CHECKSUM_DIGITS:]
        if checksum != _checksum(body):
            raise MalformedTokenError
        digits = body[len(PREFIX) :]
        _decode(digits[_LOOKUP_ID_DIGITS:], SECRET_BYTES)
        return cls(text, _decode(digits[:_LOOKUP_ID_DIGITS], LOOKUP_ID_BYTES).hex())

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the text in hex. The store keeps it; logs show its beginning."""
        return hashlib.sha256(self.reveal().encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<UploadToken {self.hash[:8]}>"


def holds_token(text: str) -> bool:
    """Say whether a text contains something of the form of an upload token."""
    return _FORM.search(text) is not None


def _checksum(body: str) -> str:
    # surrogatepass: callers may ask about any text, and none may raise an error here.
    value = zlib.crc32(body.encode(errors="surrogatepass"))
    return _encode(value.to_bytes(4), _CHECKSUM_DIGITS)


def _encode(octets: bytes, digits: int) -> str:
    value = int.from_bytes(octets)
    text = []
    for _ in range(digits):
        text.append(_ALPHABET[value % _BASE])
        value //= _BASE
    return "".join(reversed(text))


def _decode(digits: str, length: int) -> bytes:
    value = 0
    for digit in digits:
        if digit not in _VALUES:
            raise MalformedTokenError
        value = value * _BASE + _VALUES[digit]
    if value >= 1 << 8 * length:
        raise MalformedTokenError
    return value.to_bytes(length)


def file_use(registry: str, filename: str, sha256: str) -> str:
    """Return the text that names one use of a single-use token: one file with one content."""
    return f"{registry}/{filename}#{sha256}"


@dataclass(frozen=True, slots=True)
class Listing:
    """The projects in one registry that a token was minted for: how many, and the first names."""

    names: tuple[str, ...]
    count: int

    @property
    def is_complete(self) -> bool:
        """Say whether every project has its name here."""
        return self.count == len(self.names)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """The record of a token in the store: the token's hash, its rights and its origin.

    The record of an exchange also marks the identity token as used, so it is kept longer than the
    upload token lives: ``kept_until`` is later than both expiries (TOB-PYPI26-1). ``identity``
    holds the signed claims that later say who published. ``used_for`` is the file for which a
    single-use token has been used. ``identity_key`` finds the publishers again. ``projects`` says
    for each registry what the token was minted for; messages use it, and it gives no right.
    ``made_by`` is None unless an operator made the token; such a record has no issuer, no identity
    and no publishers. ``provider`` is the kind of the job's CI service, and ``pins`` are the
    immutable ids that the publishers expect of the job: both say later who published.
    """

    lookup_id: str
    token_hash: str
    issuer: str
    identity: Mapping[str, str]
    grants: tuple[Grant, ...]
    projects: Mapping[str, Listing]
    features: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    kept_until: datetime
    identity_key: str = ""
    burned_at: datetime | None = None
    used_for: str | None = None
    made_by: Making | None = None
    provider: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)

    @property
    def signer(self) -> str | None:
        """Return the issuer whose identity token was exchanged; None if an operator made this."""
        return self.issuer if self.made_by is None else None

    @property
    def registries(self) -> tuple[str, ...]:
        """Return the names of the registries that the token is good for, each once."""
        return tuple(dict.fromkeys(grant.registry for grant in self.grants))

    @property
    def publisher_ids(self) -> tuple[str, ...]:
        """Return the ids of the publishers that gave the token its rights, each once."""
        return tuple(dict.fromkeys(i for grant in self.grants for i in grant.publisher_ids))

    @property
    def project_count(self) -> int:
        """Return how many projects the token was minted for, in all registries."""
        return sum(listing.count for listing in self.projects.values())

    @property
    def places(self) -> list[str]:
        """Return the listed projects of the token, each as ``registry/project``."""
        listings = self.projects.items()
        return [f"{registry}/{project}" for registry, each in listings for project in each.names]

    def grants_of(self, permission: Permission, registry: str) -> list[Grant]:
        """Return the grants that include a permission in a registry."""
        here = (grant for grant in self.grants if grant.registry == registry)
        return [grant for grant in here if grant.permits(permission)]

    def publishers_for(
        self, permission: Permission, registry: str, project: str, trusted: Trust
    ) -> tuple[str, ...]:
        """Return the ids of the ``trusted`` publishers that give the token this permission."""
        found = (
            grant.publishers_among(trusted)
            for grant in self.grants_of(permission, registry)
            if grant.project in {None, project}
        )
        return tuple(dict.fromkeys(publisher_id for ids in found for publisher_id in ids))

    def operators_projects(self, permission: Permission, registry: str) -> tuple[str, ...]:
        """Return the projects for which an operator made the token; none if an exchange did."""
        if self.made_by is None:
            return ()
        grants = self.grants_of(permission, registry)
        return tuple(grant.project for grant in grants if grant.project is not None)

    def is_live(self, token: UploadToken, now: datetime) -> bool:
        """Say whether the record is this token's, and the token is neither expired nor burned."""
        same = hmac.compare_digest(self.token_hash, token.hash)
        return same and self.burned_at is None and now < self.expires_at

    @property
    def is_single_use(self) -> bool:
        """Say whether the token is good for one file only (PEP 807)."""
        return SINGLE_USE in self.features

    def may_be_used_for(self, file: str | None) -> bool:
        """Say whether a single-use token is unused, or was used for this very file."""
        return not self.is_single_use or self.used_for in {None, file}

    def document(self) -> dict[str, Any]:
        """Return the record as JSON types, without the marks of burn and use (stores keep them)."""
        return {
            "lookup_id": self.lookup_id,
            "token_hash": self.token_hash,
            "issuer": self.issuer,
            "identity": dict(self.identity),
            "identity_key": self.identity_key,
            "rights": [grant.document() for grant in self.grants],
            "scope": self._scope(),
            "project_counts": {name: each.count for name, each in self.projects.items()},
            "features": list(self.features),
            "issued_at": int(self.issued_at.timestamp()),
            "expires_at": int(self.expires_at.timestamp()),
            "kept_until": int(self.kept_until.timestamp()),
            "made_by": None if self.made_by is None else self.made_by.document(),
            "provider": self.provider,
            "pins": dict(self.pins),
        }

    def _scope(self) -> list[tuple[str, str, list[str]]]:
        # The form of earlier versions. During a deployment a function of an earlier version may
        # still run, and it finds here to which of the listed projects the token may upload.
        first = {g.registry: list(g.publisher_ids)[:1] for g in reversed(self.grants)}
        return [
            (registry, project, first.get(registry, []))
            for registry, listing in self.projects.items()
            for project in listing.names
        ]

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], burned_at: int | None, used_for: str | None
    ) -> Self:
        """Return the record that ``document()`` described, here or in an earlier version.

        The first version kept every project with its publishers in ``scope``, and no counts.
        """
        return cls(
            lookup_id=document["lookup_id"],
            token_hash=document["token_hash"],
            issuer=document["issuer"],
            identity=document["identity"],
            grants=read_grants(document),
            projects=_read_projects(document),
            features=tuple(document["features"]),
            issued_at=datetime.fromtimestamp(document["issued_at"], UTC),
            expires_at=datetime.fromtimestamp(document["expires_at"], UTC),
            kept_until=datetime.fromtimestamp(document["kept_until"], UTC),
            identity_key=document.get("identity_key", ""),
            burned_at=None if burned_at is None else datetime.fromtimestamp(burned_at, UTC),
            used_for=used_for,
            # The documents of earlier versions lack these members.
            made_by=_read_making(document.get("made_by")),
            provider=document.get("provider", ""),
            pins=document.get("pins", {}),
        )


def _read_making(document: Mapping[str, Any] | None) -> Making | None:
    return None if document is None else Making.from_document(document)


def _read_projects(document: Mapping[str, Any]) -> dict[str, Listing]:
    names: dict[str, list[str]] = {}
    for registry, project, _ in document["scope"]:
        names.setdefault(registry, []).append(project)
    counts = document.get("project_counts") or {name: len(each) for name, each in names.items()}
    return {name: Listing(tuple(names.get(name, ())), count) for name, count in counts.items()}
