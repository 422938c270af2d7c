"""Trusted publishers: which identity may upload where, and the ids that are pinned for it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pytp_broker.oidc.identity import SignedClaims
from pytp_broker.trust.comparisons import fold
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Fields, FieldValue, Provider, Role


@dataclass(frozen=True, slots=True)
class TrustedPublisher:
    """One configured right: this identity may upload to these projects of this registry.

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

    @property
    def identity(self) -> dict[str, str]:
        """Return the fields that identify the publisher; a generic publisher has none."""
        return {f.name: str(self.fields[f.name]) for f in self.provider.fields_of(Role.IDENTITY)}

    @property
    def identity_key(self) -> str:
        """Return the key under which the store finds the publisher."""
        return _identity_key(self.issuer, list(self.identity.values()))

    @property
    def rules_hash(self) -> str:
        """Return a hash of issuer, registry and rules: the publisher's own identity."""
        name = self.provider.name
        rules = [self.registry, self.issuer, name, dict(self.fields), dict(self.claims)]
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

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
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], pins: Mapping[str, str]) -> Self:
        """Return the publisher that ``document()`` described."""
        return cls(
            publisher_id=document["publisher_id"],
            registry=document["registry"],
            issuer=document["issuer"],
            provider=PROVIDERS[document["provider"]],
            projects=tuple(document["projects"]),
            fields={
                name: value if isinstance(value, str) else tuple(value)
                for name, value in document["fields"].items()
            },
            claims=document["claims"],
            pins=pins,
            generation=document.get("generation", 0),
        )


def _as_text(value: FieldValue) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def identity_key(claims: SignedClaims, provider: Provider) -> str | None:
    """Return the key of the publishers that these claims may be for.

    None when a claim that identifies is missing.
    """
    texts = [claims.text(f.claim) for f in provider.fields_of(Role.IDENTITY)]
    present = [text for text in texts if text is not None]
    return _identity_key(claims.issuer, present) if len(present) == len(texts) else None


def _identity_key(issuer: str, texts: Sequence[str]) -> str:
    # We hash the key, because a claim may be longer than a store's key or hold its separator. We
    # fold the texts, because the exact comparison comes later, with the provider's own rule for
    # case.
    key = json.dumps([issuer, *map(fold, texts)])
    return hashlib.sha256(key.encode()).hexdigest()


def unpinned(publisher: TrustedPublisher, claims: SignedClaims) -> dict[str, str]:
    """Return the immutable ids that this first use pins: none when all are given or pinned."""
    known = publisher.fields.keys() | publisher.pins.keys()
    seen = ((f.name, claims.text(f.claim)) for f in publisher.provider.fields_of(Role.PIN))
    return {name: text for name, text in seen if text is not None and name not in known}
