"""Leave out the publishers that cannot match a token, before each of their rules is compared.

A repository may have a thousand publishers that differ in one rule, such as the environment.
Comparing all rules of each would make an exchange a hundred times as expensive. So we look at one
rule of all publishers at a time, and compare each distinct text once.

This only leaves out: what remains is compared in full, and that decides.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TypeVar, cast

from pytp_broker.globs import glob_for
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers.model import Field, FieldValue, Role
from pytp_broker.trust.publishers import TrustedPublisher

T = TypeVar("T")
Publishers = Sequence[TrustedPublisher]


def narrow(publishers: Publishers, claims: SignedClaims) -> Publishers:
    """Return the publishers without those that have a rule which the claims cannot match."""
    if len(publishers) == 1:  # the usual case, in which there is nothing to save
        return publishers
    return [
        publisher
        for provider, group in groupby(publishers, key=attrgetter("provider"))
        for publisher in _narrow(tuple(group), provider.fields_of(Role.RULE), claims)
    ]


def _narrow(publishers: Publishers, rules: Sequence[Field], claims: SignedClaims) -> Publishers:
    # What expands to several texts takes longest to compare, so it comes last.
    for rule in sorted(rules, key=lambda rule: rule.expand is not None):
        publishers = _narrow_by_field(publishers, rule, claims)
    for name in {name for publisher in publishers for name in publisher.claims}:
        publishers = _narrow_by_pattern(publishers, name, claims)
    return publishers


def _narrow_by_field(publishers: Publishers, rule: Field, claims: SignedClaims) -> Publishers:
    expected = [publisher.fields.get(rule.name) for publisher in publishers]
    refused: set[FieldValue] = _distinct(expected)
    matches = rule.matches
    # Which of the claims counts depends on the publisher. We refuse what no claim matches.
    for text in {text for claim in rule.claims for text in rule.texts(claims, claim)}:
        refused = {each for each in refused if not matches(each, text, claims)}
    return _without(refused, publishers, expected)


def _narrow_by_pattern(publishers: Publishers, name: str, claims: SignedClaims) -> Publishers:
    expected = [publisher.claims.get(name) for publisher in publishers]
    refused = _distinct(expected)
    seen, covers = claims.text(name), glob_for(name)
    if seen is not None:
        refused = {each for each in refused if not covers(each, seen)}
    return _without(refused, publishers, expected)


def _distinct(expected: Iterable[T | None]) -> set[T]:
    distinct = set(expected)
    distinct.discard(None)  # of publishers without the rule
    return cast("set[T]", distinct)


def _without(refused: set[T], publishers: Publishers, expected: Iterable[T | None]) -> Publishers:
    if not refused:
        return publishers
    pairs = zip(publishers, expected, strict=True)
    return [publisher for publisher, each in pairs if each not in refused]
