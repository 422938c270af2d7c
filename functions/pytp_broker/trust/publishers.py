"""Trusted publishers and readers: which identity may do what where, and the ids pinned for it."""

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Self

from pytp_broker.grants import Permission
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.comparisons import fold
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Fields, FieldValue, Provider, Role
from pytp_broker.trust.readers import READERS

# An exchange asks for the key of the job, and for the same key of a publisher that matches.
_REMEMBERED_KEYS: Final = 1024


@dataclass(frozen=True, slots=True)
class TrustedPublisher:
    """One configured right: this identity may upload to these projects of this registry.

    A reader is one too, with the permission to read. It has no projects, because it reads the whole
    registry, and its ``provider`` is a form of the entry for readers.

    A publisher gets a new ``publisher_id`` whenever it is added, so that a token does not outlive
    its publisher's removal. ``generation`` counts the times that projects were added to it, so that
    a token does not cover what was added after its exchange. ``pins`` are immutable ids pinned on
    first use.
    """

    publisher_id: str
    registry: str
    issuer: str
    provider: Provider
    projects: tuple[str, ...]
    fields: Fields
    claims: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0
    permission: Permission = Permission.UPLOAD

    @property
    def is_reader(self) -> bool:
        """Say whether this is a reader, and not a publisher."""
        return self.permission is Permission.READ

    @property
    def identity(self) -> dict[str, str]:
        """Return the fields that identify the publisher; a generic publisher has none."""
        return {f.name: str(self.fields[f.name]) for f in self.provider.fields_of(Role.IDENTITY)}

    @property
    def identity_key(self) -> str:
        """Return the key under which the store finds the publisher."""
        return _identity_key(self.issuer, self.permission, self.identity)

    @property
    def rules_hash(self) -> str:
        """Return a hash of issuer, registry and rules: the publisher's own identity."""
        name = self.provider.name
        rules = [self.registry, self.issuer, name, dict(self.fields), dict(self.claims)]
        if self.is_reader:  # the hashes of publishers are older than readers
            rules.append(self.permission.value)
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    @property
    def rules(self) -> Hashable:
        """Return what decides which tokens match; equal for publishers of the same rules."""
        pins, claims = tuple(self.pins.items()), tuple(self.claims.items())
        return id(self.provider), tuple(self.fields.items()), pins, claims

    def list_rules(self) -> list[str]:
        """Return the rules as operators read them, and then the ids that are pinned."""
        return [
            *(f"{name} = {_as_text(value)}" for name, value in self.ordered_fields().items()),
            *(f"claims.{name} = {rule}" for name, rule in sorted(self.claims.items())),
            *(f"{name} = {value} (pinned)" for name, value in sorted(self.pins.items())),
        ]

    def ordered_fields(self) -> dict[str, FieldValue]:
        """Return the fields in the order in which the provider lists them."""
        return {f.name: self.fields[f.name] for f in self.provider.fields if f.name in self.fields}

    @property
    def expected_ids(self) -> dict[str, str]:
        """Return the immutable ids that the publisher expects, given or pinned."""
        names = (each.name for each in self.provider.fields_of(Role.PIN))
        known = {**self.fields, **self.pins}
        return {name: str(known[name]) for name in names if name in known}

    def with_pins(self, pins: Mapping[str, str]) -> Self:
        """Return the same publisher with these ids pinned."""
        return replace(self, pins=pins)

    def with_projects(self, projects: tuple[str, ...]) -> Self:
        """Return the same publisher for these projects, each once."""
        return replace(self, projects=tuple(dict.fromkeys(projects)))

    def document(self) -> dict[str, Any]:
        """Return the publisher as JSON types, without the pins, which stores keep apart."""
        return {
            "publisher_id": self.publisher_id,
            "registry": self.registry,
            "issuer": self.issuer,
            "provider": self.provider.name,
            "projects": list(self.projects),
            "fields": dict(self.fields),
            "claims": dict(self.claims),
            "generation": self.generation,
            "permission": self.permission.value,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], pins: Mapping[str, str]) -> Self:
        """Return the publisher that ``document()`` described, here or in an earlier version.

        Earlier versions had no readers, and stored no permission.
        """
        permission = Permission(document.get("permission", Permission.UPLOAD.value))
        return cls(
            publisher_id=document["publisher_id"],
            registry=document["registry"],
            issuer=document["issuer"],
            provider=_entry_of(document, permission),
            projects=tuple(document["projects"]),
            fields={
                name: value if isinstance(value, str) else tuple(value)
                for name, value in document["fields"].items()
            },
            claims=document["claims"],
            pins=pins,
            generation=document.get("generation", 0),
            permission=permission,
        )


def _as_text(value: FieldValue) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _entry_of(document: Mapping[str, Any], permission: Permission) -> Provider:
    if permission is Permission.READ:
        return READERS[document["provider"]].form_for(document["fields"])
    return PROVIDERS[document["provider"]]


def entry_for(provider_name: str, permission: Permission) -> Provider:
    """Return the entry of a provider for those who ask for a permission."""
    if permission is Permission.READ:
        return READERS[provider_name].entry
    return PROVIDERS[provider_name]


def identity_keys(
    claims: SignedClaims, provider: Provider, permission: Permission
) -> tuple[str, ...]:
    """Return the keys of the publishers, or of the readers, that these claims may be for.

    A reader may have one of several identities, and each has a key. An identity of which a claim is
    missing has none.
    """
    is_for_readers = permission is Permission.READ
    entries = READERS[provider.name].forms if is_for_readers else (provider,)
    keys = (_identity_key_of(claims, entry, permission) for entry in entries)
    return tuple(key for key in keys if key is not None)


def _identity_key_of(
    claims: SignedClaims, provider: Provider, permission: Permission
) -> str | None:
    texts = {f.name: claims.text(f.claim) for f in provider.fields_of(Role.IDENTITY)}
    present = {name: text for name, text in texts.items() if text is not None}
    if len(present) < len(texts):
        return None
    return _identity_key(claims.issuer, permission, present)


def recorded_identity_key(recorded: Mapping[str, str], provider: Provider) -> str | None:
    """Return the key of the publishers that a published file may come from.

    ``recorded`` is what the file's record keeps of the job. None when that does not tell the
    identity.
    """
    names = {claim: name for name, claim in provider.recorded.items()}
    texts = {
        f.name: recorded.get(names.get(f.claim, "")) for f in provider.fields_of(Role.IDENTITY)
    }
    present = {name: text for name, text in texts.items() if text is not None}
    is_whole = len(present) == len(texts) > 0
    issuer = recorded.get("issuer", "")
    return _identity_key(issuer, Permission.UPLOAD, present) if is_whole else None


def _identity_key(issuer: str, permission: Permission, identity: Mapping[str, str]) -> str:
    # We hash the key, because a claim may be longer than a store's key or hold its separator. We
    # fold the texts, because the exact comparison comes later, with the provider's own rule for
    # case. A reader's key names its fields, because a group may be called like a project.
    key = (issuer, *map(fold, identity.values()))
    if permission is Permission.READ:
        key += (permission.value, *identity)
    return _hash_key(key)


@lru_cache(_REMEMBERED_KEYS)
def _hash_key(key: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def unpinned(publisher: TrustedPublisher, claims: SignedClaims) -> dict[str, str]:
    """Return the immutable ids that this first use pins: none when all are given or pinned."""
    known = publisher.fields.keys() | publisher.pins.keys()
    seen = ((f.name, claims.text(f.claim)) for f in publisher.provider.fields_of(Role.PIN))
    return {name: text for name, text in seen if text is not None and name not in known}
