"""Trusted publishers: which identity may upload where, and how claims are compared with it.

Matching compares single claims and immutable ids. It never takes ``sub`` apart, because its form
changes and its delimiters occur in names. A claim that is missing matches nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pytp_broker.oidc.identity import SignedClaims
from pytp_broker.trust.comparisons import Glob, fold, glob_for
from pytp_broker.trust.jobs import JobRule
from pytp_broker.trust.providers import PROVIDERS, Field, Fields, FieldValue, Provider, Role


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
    def identity_key(self) -> str:
        """Return the key under which the store finds the publisher."""
        identifying = self.provider.fields_of(Role.IDENTITY)
        return _identity_key(self.issuer, [str(self.fields[f.name]) for f in identifying])

    @property
    def rules_hash(self) -> str:
        """Return a hash of issuer, registry and rules: the publisher's own identity."""
        name = self.provider.name
        rules = [self.registry, self.issuer, name, dict(self.fields), dict(self.claims)]
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

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


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of a publisher compared with the claims: what was expected, and what was seen.

    ``hint`` says how the expected text is read, if that is not obvious. ``advice`` says what to do,
    if the rule itself knows.
    """

    rule: str
    claim: str
    expected: str
    seen: str | None
    matched: bool
    role: Role = Role.RULE
    hint: str = ""
    advice: str = ""


def compare(publisher: TrustedPublisher, claims: SignedClaims) -> tuple[Finding, ...]:
    """Return every rule of the publisher with its outcome; all, and at least one, must match.

    A publisher without any rule trusts nobody, not everybody.
    """
    provider = publisher.provider
    findings = [
        _compare_field(f, expected, publisher.fields, claims)
        for f in provider.fields
        if (expected := publisher.fields.get(f.name, publisher.pins.get(f.name))) is not None
    ]
    findings += [_compare_claim(name, text, claims) for name, text in publisher.claims.items()]
    findings += [
        _compare_same(name, other, claims)
        for name, other in provider.same_claims.items()
        if claims.value(name) is not None
    ]
    findings += [
        _compare_job(rule, claims)
        for rule in provider.jobs
        if not rule.is_decided_by(publisher.fields)
        and (rule.is_required or claims.value(rule.claim) is not None)
    ]
    return tuple(findings)


def _compare_field(
    rule: Field, expected: FieldValue, fields: Fields, claims: SignedClaims
) -> Finding:
    seen = rule.texts(claims, fields)
    matched = any(rule.matches(expected, text, claims) for text in seen)
    shown = expected if isinstance(expected, str) else ", ".join(expected)
    claim = rule.claim_for(fields)
    hint = _glob_hint(rule.compare, shown) if isinstance(rule.compare, Glob) else ""
    return Finding(rule.name, claim, shown, ", ".join(seen) or None, matched, rule.role, hint)


def _compare_claim(name: str, pattern: str, claims: SignedClaims) -> Finding:
    seen = claims.text(name)
    glob = glob_for(name)
    matched = seen is not None and glob(pattern, seen)
    hint = _glob_hint(glob, pattern)
    return Finding(f"claims.{name}", name, pattern, seen, matched, hint=hint)


def _glob_hint(glob: Glob, pattern: str) -> str:
    return glob.rule if "*" in pattern else ""


def _compare_same(name: str, other: str, claims: SignedClaims) -> Finding:
    seen, expected = claims.value(name), claims.text(other)
    text = seen if isinstance(seen, str) else None
    advice = "the job runs elsewhere than it speaks for: publish from a job of its own project"
    return Finding(
        other,
        name,
        expected or "(missing)",
        text,
        matched=expected is None or seen == expected,
        hint=f"the token's own `{other}`",
        advice=advice,
    )


def _compare_job(rule: JobRule, claims: SignedClaims) -> Finding:
    seen = claims.value(rule.claim)
    text = seen if isinstance(seen, str) else None
    matched = text is not None and rule.is_trusted(text)
    return Finding(
        rule.field, rule.claim, rule.expected, text, matched, hint="the default", advice=rule.advice
    )


def unpinned(publisher: TrustedPublisher, claims: SignedClaims) -> dict[str, str]:
    """Return the immutable ids that this first use pins: none when all are given or pinned."""
    known = publisher.fields.keys() | publisher.pins.keys()
    seen = ((f.name, claims.text(f.claim)) for f in publisher.provider.fields_of(Role.PIN))
    return {name: text for name, text in seen if text is not None and name not in known}
