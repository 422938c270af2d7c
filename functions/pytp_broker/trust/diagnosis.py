"""Explain why no publisher or reader matched: in part to the caller, in full to the operator.

A caller learns which rule failed, with what we saw, what we expected and what to do, but only if
the fields that identify the publisher match, and the immutable ids too. A caller that has a
publisher's name, but other ids, learns that its ids are the reason, and not which ids we expect.
Every other caller gets the same answer for "no such publisher" and "not yours".
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.redaction import printable
from pytp_broker.trust.providers.model import Provider, Role
from pytp_broker.trust.publishers import TrustedPublisher
from pytp_broker.trust.rules import Finding, Findings

# A publisher or a reader, and how each of its rules compared.
Compared: TypeAlias = tuple[TrustedPublisher, Findings]

_REFUSED: Final = "valid token, but no corresponding {}: {}"
_UNDISCLOSED: Final = (
    "valid token, but no trusted {} here matches {}. Compare the names and the workflow "
    "with the registry's configuration, especially if a repository was renamed or moved; its "
    "operator can see every rule with `pytp-broker {}`"
)
_COMMANDS: Final = {"publisher": "explain", "reader": "explain --read"}
_OTHER_IDS: Final = (
    "valid token, but no trusted {0} here matches {1}: a {0} has this name, but {2}. {3}"
)
_NEW_ID: Final = (
    "If {} was recreated or transferred, ask the registry's operator to set the new id in the {}"
)
_NO_ID: Final = "Let the job ask its CI for a token with this claim"


def diagnose(compared: Sequence[Compared], claims: SignedClaims, provider: Provider) -> str:
    """Return what the caller may know: the nearest publisher's failed rules, or no rule at all."""
    disclosable = [each for each in compared if _is_disclosable(each)]
    if disclosable:
        return _REFUSED.format(provider.holder, "; ".join(explain(_nearest(disclosable), claims)))
    namesakes = _namesakes(compared)
    if namesakes:
        return _explain_ids(_nearest(namesakes), _identity(claims, provider))
    holder = provider.holder
    return _UNDISCLOSED.format(holder, _identity(claims, provider), _COMMANDS[holder])


def diagnose_in_full(compared: Sequence[Compared], claims: SignedClaims, provider: Provider) -> str:
    """Return the nearest publisher's failed rules for the operator, who may know all of them."""
    if not compared:
        return f"no {provider.holder} is configured for {_identity(claims, provider)}"
    return "; ".join(explain(_nearest(compared), claims))


def has_changed_id(compared: Sequence[Compared]) -> bool:
    """Say whether the caller has a publisher's name and another immutable id: a reused name.

    The answer is no if another publisher of this name has the caller's ids, or if the token has no
    such id.
    """
    if any(map(_is_disclosable, compared)):
        return False
    return any(
        f.seen is not None for _, findings in _namesakes(compared) for f in _other_ids(findings)
    )


def _namesakes(compared: Sequence[Compared]) -> list[Compared]:
    """Return the publishers that have the caller's name and another immutable id."""
    return [
        (publisher, findings)
        for publisher, findings in compared
        if _other_ids(findings) and all(f.matched for f in findings if f.role is Role.IDENTITY)
    ]


def _other_ids(findings: Findings) -> list[Finding]:
    return [finding for finding in failed(findings) if finding.role is Role.PIN]


def _explain_ids(compared: Compared, identity: str) -> str:
    publisher, findings = compared
    holder, others = publisher.provider.holder, _other_ids(findings)
    is_lacking = all(finding.seen is None for finding in others)
    cure = _NO_ID if is_lacking else _NEW_ID.format(identity, holder)
    reasons = " and ".join(_explain_id(finding, holder) for finding in others)
    return _OTHER_IDS.format(holder, identity, reasons, cure)


def _explain_id(finding: Finding, holder: str) -> str:
    # We never show the expected id, because the caller may be the new holder of the name.
    if finding.seen is None:
        return f"claim `{finding.claim}` is missing, and the {holder} has an id for it"
    seen = printable(finding.seen)
    return f"claim `{finding.claim}` is `{seen}`, which is not the id that it expects"


def _nearest(compared: Sequence[Compared]) -> Compared:
    return min(compared, key=lambda each: len(failed(each[1])))


def failed(findings: Findings) -> list[Finding]:
    """Return the rules that did not match."""
    return [finding for finding in findings if not finding.matched]


def explain(compared: Compared, claims: SignedClaims) -> list[str]:
    """Return every failed rule in words, with what to do about it."""
    publisher, findings = compared
    holder = publisher.provider.holder
    texts = [_explain(finding, claims, holder) for finding in failed(findings)]
    if _is_renamed(findings):
        texts.append(
            "the immutable ids match, so the repository or project was renamed or moved: change "
            f"the name in the {holder}"
        )
    return texts


def _explain(finding: Finding, claims: SignedClaims, holder: str) -> str:
    seen = f"claim `{finding.claim}` is {_seen(finding, claims)}"
    text = f"{seen}; the {holder}'s `{finding.rule}` expects `{finding.expected}`"
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


def _is_disclosable(compared: Compared) -> bool:
    # Before a publisher's first use, we know no immutable id, unless its identity is immutable.
    publisher, findings = compared
    is_immutable = publisher.provider.has_immutable_identity
    is_known = is_immutable or any(f.role is Role.PIN for f in findings)
    return is_known and all(f.matched for f in findings if f.role is not Role.RULE)


def _identity(claims: SignedClaims, provider: Provider) -> str:
    seen = {f.name: claims.text(f.claim) for f in provider.fields_of(Role.IDENTITY)}
    shown = [f"{name} `{printable(text)}`" for name, text in seen.items() if text is not None]
    return ", ".join(shown) or f"issuer `{claims.issuer}`"
