"""Every claim that a provider is known to sign is compared, recorded or left unchecked."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.unknown_claims import find_unknown, known_claims
from tests.support.claims import captured
from tests.support.providers import TESTS
from tests.support.signing import NOW

CASES: list[dict[str, Any]] = json.loads((TESTS / "cases" / "claims.json").read_text())
# These cases are about claims that nobody knows.
INVENTED = {"new_claim", "extra_claim", "sub127"}


def unknown(name: str, claims: Mapping[str, Any]) -> list[str]:
    return find_unknown(SignedClaims("https://ci.example.com", "0", NOW, claims), PROVIDERS[name])


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_captured_claim_is_classified(name: str) -> None:
    found = unknown(name, captured(name))

    assert not found, (
        f"nobody has classified {found}: compare or record each in the entry of `{name}`, or list "
        "it in `unchecked_claims`"
    )


def test_every_claim_of_the_cases_is_classified() -> None:
    found = {
        (case["provider"], name)
        for case in CASES
        if case["provider"] in PROVIDERS
        for name in unknown(case["provider"], case.get("claims", {}))
    }

    assert {name for _, name in found} <= INVENTED, found


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_new_claim_is_unknown_unless_the_issuer_is_any(name: str) -> None:
    expected = [] if PROVIDERS[name].is_generic else ["new_claim"]

    assert unknown(name, captured(name) | {"new_claim": "x"}) == expected


def test_a_new_claim_inside_an_object_is_unknown() -> None:
    claims = captured("kubernetes")
    claims["kubernetes.io"] |= {"new": "x"}
    claims["kubernetes.io"]["pod"] |= {"owner": {"name": "x"}}

    assert unknown("kubernetes", claims) == ["kubernetes.io>pod>owner", "kubernetes.io>new"]


def test_what_is_inside_an_object_that_is_left_unchecked_is_known() -> None:
    assert unknown("google", captured("google") | {"google": {"new": {"newer": "x"}}}) == []


def test_a_star_covers_the_claims_that_begin_like_it() -> None:
    claims = {"repo_property_team": "x", "repo_propert": "x"}

    assert unknown("github", claims) == ["repo_propert"]


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_claim_is_left_unchecked_only_if_nothing_looks_at_it(name: str) -> None:
    provider = PROVIDERS[name]
    looked_at = known_claims(provider) - {*provider.unchecked_claims}

    assert len({*provider.unchecked_claims}) == len(provider.unchecked_claims)
    assert len(known_claims(provider)) == len(looked_at) + len(provider.unchecked_claims)
