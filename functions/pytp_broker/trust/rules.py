"""Compare each rule of a publisher with a claim of the token, with one finding for each rule.

We compare single claims and immutable ids. We never split ``sub``, because its form changes and its
delimiters occur in names. A claim that is missing matches nothing.
"""

from typing import NamedTuple

from pytp_broker.globs import Glob, glob_for
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers.model import Field, Fields, FieldValue, JobRule, Role
from pytp_broker.trust.publishers import TrustedPublisher


class Finding(NamedTuple):
    """One rule of a publisher compared with the claims: what was expected, and what was seen.

    ``hint`` says how the expected text is read, if that is not obvious. ``advice`` says what to do
    if it did not match and the provider's entry knows a way.
    """

    rule: str
    claim: str
    expected: str
    seen: str | None
    matched: bool
    role: Role = Role.RULE
    hint: str = ""
    advice: str = ""


Findings = tuple[Finding, ...]


def compare(publisher: TrustedPublisher, claims: SignedClaims) -> Findings:
    """Return a finding for every rule of the publisher; the claims match it if all are positive.

    Without a finding, they do not match: a publisher without a rule trusts nobody.
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
    claim = rule.claim_for(fields)
    seen = rule.texts(claims, claim)
    matched = any(rule.matches(expected, text, claims) for text in seen)
    shown = expected if isinstance(expected, str) else ", ".join(expected)
    found = ", ".join(seen) or None
    return Finding(
        rule=rule.name,
        claim=claim,
        expected=shown,
        seen=found,
        matched=matched,
        role=rule.role,
        hint=_glob_hint(rule.compare, shown) if isinstance(rule.compare, Glob) else "",
        advice="" if matched or rule.advise is None else rule.advise(shown, found, claims),
    )


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
    advice = (
        "the job runs in another project than the one that its token names: use a job of that "
        "project itself"
    )
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
