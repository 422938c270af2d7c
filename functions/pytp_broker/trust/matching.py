"""Find the publishers or readers that match a token's claims, or explain why none does."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

from pytp_broker.errors import ChangedIdentity, InvalidPublisher
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.diagnosis import (
    Compared,
    diagnose,
    diagnose_in_full,
    explain_missing,
    has_changed_id,
)
from pytp_broker.trust.narrowing import narrow
from pytp_broker.trust.providers.model import Provider, Role
from pytp_broker.trust.publishers import TrustedPublisher
from pytp_broker.trust.rules import Findings, compare


def find_matching(
    candidates: Iterable[TrustedPublisher], claims: SignedClaims, provider: Provider
) -> tuple[TrustedPublisher, ...]:
    """Return all candidates whose every rule matches.

    Raises InvalidPublisher with a diagnosis when there is none, and ChangedIdentity when the reason
    is that the name now has another holder.
    """
    check_claims(claims, provider)
    candidates = tuple(candidates)
    matching = tuple(_find_matching(narrow(candidates, claims), claims))
    if not matching:
        compared = [(candidate, compare(candidate, claims)) for candidate in candidates]
        raise refusal(compared, claims, provider)
    return matching


def _find_matching(
    likely: Iterable[TrustedPublisher], claims: SignedClaims
) -> Iterator[TrustedPublisher]:
    """Yield the publishers that match; those with the same rules are compared once."""
    known: dict[Hashable, bool] = {}
    for publisher in likely:
        rules = publisher.rules
        if rules not in known:
            known[rules] = is_match(compare(publisher, claims))
        if known[rules]:
            yield publisher


def is_match(findings: Findings) -> bool:
    """Say whether every rule of a publisher matched; a publisher without a rule never matches."""
    return bool(findings) and all(finding.matched for finding in findings)


def refusal(
    compared: Sequence[Compared], claims: SignedClaims, provider: Provider
) -> InvalidPublisher:
    """Return what the exchange answers when none of these publishers matches."""
    kind = ChangedIdentity if has_changed_id(compared) else InvalidPublisher
    return kind(
        diagnose(compared, claims, provider),
        operator_detail=diagnose_in_full(compared, claims, provider),
    )


def check_claims(claims: SignedClaims, provider: Provider) -> None:
    """Check what every token of the provider must be, before any publisher's own rules.

    Raises InvalidPublisher.
    """
    _check_types(claims, provider)
    for name, constant in provider.constants.items():
        seen = claims.value(name)
        if type(seen) is not type(constant) or seen != constant:
            raise InvalidPublisher(f"valid token, but claim `{name}` is not `{constant}`")
    for name, agrees in provider.agreements.items():
        text = claims.text(name)
        if text is None or not agrees(text, claims):
            raise InvalidPublisher(f"valid token, but claim `{name}` contradicts the other claims")


def _check_types(claims: SignedClaims, provider: Provider) -> None:
    for name in provider.present_claims:
        if not isinstance(claims.value(name), str):
            raise InvalidPublisher(explain_missing(name, provider))
    for name in (*provider.required_claims, *provider.publishing_claims):
        if claims.text(name) is None:
            raise InvalidPublisher(explain_missing(name, provider))
    for rule, claim, its_type in provider.claim_types:
        value = claims.value(claim)
        if value is not None and not isinstance(value, its_type):
            raise InvalidPublisher(f"valid token, but claim `{rule.claim}` is of a wrong type")
    for pin in provider.fields_of(Role.PIN):
        if not pin.is_of_its_form(claims):  # the first use would pin the malformed text
            raise InvalidPublisher(
                f"valid token, but claim `{pin.claim}` does not look like an immutable id"
            )
