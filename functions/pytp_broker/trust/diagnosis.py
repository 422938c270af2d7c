"""Explain why no trusted publisher matched: in part to the caller, in full to the operator.

A caller learns which rule failed, with what we saw, what we expected and what to do, but only if
the fields that identify the publisher match, and the immutable ids too. A caller that has a
publisher's name, but other ids, learns that its ids are the reason, and not which ids we expect.
Every other caller gets the same answer for "no such publisher" and "not yours".
"""

from collections.abc import Sequence
from typing import Final

from pytp_broker.oidc.identity import SignedClaims
from pytp_broker.redaction import printable
from pytp_broker.trust.providers.model import Provider, Role
from pytp_broker.trust.rules import Finding, Findings

_REFUSED: Final = "valid token, but no corresponding publisher: "
_UNDISCLOSED: Final = (
    "valid token, but no trusted publisher here matches {}. Compare the names and the workflow "
    "with the registry's configuration, especially if a repository was renamed or moved; its "
    "operator can see every rule with `pytp-broker explain`"
)
_OTHER_IDS: Final = (
    "valid token, but no trusted publisher here matches {}: a publisher has this name, but {}. {}"
)
_NEW_ID: Final = (
    "If {} was recreated or transferred, ask the registry's operator to set the new id in the "
    "publisher"
)
_NO_ID: Final = "Let the job ask its CI for a token with this claim"


def diagnose(compared: Sequence[Findings], claims: SignedClaims, provider: Provider) -> str:
    """Return what the caller may know: the nearest publisher's failed rules, or no rule at all."""
    disclosable = [findings for findings in compared if _is_disclosable(findings, provider)]
    if disclosable:
        return _REFUSED + "; ".join(explain(_nearest(disclosable), claims))
    namesakes = _namesakes(compared)
    if namesakes:
        return _explain_ids(_nearest(namesakes), _identity(claims, provider))
    return _UNDISCLOSED.format(_identity(claims, provider))


def diagnose_in_full(compared: Sequence[Findings], claims: SignedClaims, provider: Provider) -> str:
    """Return the nearest publisher's failed rules for the operator, who may know all of them."""
    if not compared:
        return f"no publisher is configured for {_identity(claims, provider)}"
    return "; ".join(explain(_nearest(compared), claims))


def has_changed_id(compared: Sequence[Findings], provider: Provider) -> bool:
    """Say whether the caller has a publisher's name and another immutable id: a reused name.

    The answer is no if another publisher of this name has the caller's ids, or if the token has no
    such id.
    """
    if any(_is_disclosable(findings, provider) for findings in compared):
        return False
    return any(
        f.seen is not None for findings in _namesakes(compared) for f in _other_ids(findings)
    )


def _namesakes(compared: Sequence[Findings]) -> list[Findings]:
    """Return the publishers that have the caller's name and another immutable id."""
    return [
        findings
        for findings in compared
        if _other_ids(findings) and all(f.matched for f in findings if f.role is Role.IDENTITY)
    ]


def _other_ids(findings: Findings) -> list[Finding]:
    return [finding for finding in failed(findings) if finding.role is Role.PIN]


def _explain_ids(findings: Findings, identity: str) -> str:
    others = _other_ids(findings)
    is_lacking = all(finding.seen is None for finding in others)
    cure = _NO_ID if is_lacking else _NEW_ID.format(identity)
    return _OTHER_IDS.format(identity, " and ".join(map(_explain_id, others)), cure)


def _explain_id(finding: Finding) -> str:
    # We never show the expected id, because the caller may be the new holder of the name.
    if finding.seen is None:
        return f"claim `{finding.claim}` is missing, and the publisher has an id for it"
    seen = printable(finding.seen)
    return f"claim `{finding.claim}` is `{seen}`, which is not the id that it expects"


def _nearest(compared: Sequence[Findings]) -> Findings:
    return min(compared, key=lambda findings: len(failed(findings)))


def failed(findings: Findings) -> list[Finding]:
    """Return the rules that did not match."""
    return [finding for finding in findings if not finding.matched]


def explain(findings: Findings, claims: SignedClaims) -> list[str]:
    """Return every failed rule in words, with what to do about it."""
    texts = [_explain(finding, claims) for finding in failed(findings)]
    if _is_renamed(findings):
        texts.append(
            "the immutable ids match, so the repository or project was renamed or moved: change "
            "the name in the publisher"
        )
    return texts


def _explain(finding: Finding, claims: SignedClaims) -> str:
    seen = f"claim `{finding.claim}` is {_seen(finding, claims)}"
    text = f"{seen}; the publisher's `{finding.rule}` expects `{finding.expected}`"
    if finding.hint:
        text += f" ({finding.hint})"
    advice = _advise_pin(finding) if finding.role is Role.PIN else finding.advice
    return f"{text}: {advice}" if advice else text


def _advise_pin(finding: Finding) -> str:
    if finding.seen is None:
        return "the job must ask for this claim, or this version of the CI does not sign it"
    return (
        "the name now belongs to somebody else, or was transferred, or the id has a typing error: "
        f"set `{finding.rule}` to the new id only if you trust the new holder"
    )


def _seen(finding: Finding, claims: SignedClaims) -> str:
    if finding.seen is not None:
        return f"`{printable(finding.seen)}`"
    is_missing = claims.value(finding.claim) in (None, "", [])
    return "missing" if is_missing else "of a wrong type"


def explain_missing(claim: str, provider: Provider) -> str:
    """Return that the token lacks a claim which every token of the provider has."""
    text = f"valid token, but claim `{claim}` is missing or not a string"
    advice = provider.missing_advice.get(claim)
    return f"{text}: {advice}" if advice else text


def _is_renamed(findings: Findings) -> bool:
    pins = [f.matched for f in findings if f.role is Role.PIN]
    names = [f.matched for f in findings if f.role is Role.IDENTITY]
    return bool(pins) and all(pins) and not all(names)


def _is_disclosable(findings: Findings, provider: Provider) -> bool:
    # Before a publisher's first use, we know no immutable id, unless its identity is immutable.
    is_known = provider.has_immutable_identity or any(f.role is Role.PIN for f in findings)
    return is_known and all(f.matched for f in findings if f.role is not Role.RULE)


def _identity(claims: SignedClaims, provider: Provider) -> str:
    shown = [
        f"{field.name} `{printable(claims.text(field.claim) or '')}`"
        for field in provider.fields_of(Role.IDENTITY)
    ]
    return ", ".join(shown) or f"issuer `{claims.issuer}`"
