"""Each rule of a publisher against each claim: all must match, and a malformed claim never does."""

from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.globs import REF_GLOB
from pytp_broker.trust.comparisons import is_same_ignoring_case
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Field, FieldValue, Role
from pytp_broker.trust.publishers import unpinned
from pytp_broker.trust.rules import compare
from tests.support.claims import captured
from tests.support.providers import (
    NAMES,
    accepts,
    changed,
    documented,
    every_field,
    publisher_of,
    refusal,
    signed,
    strict,
)
from tests.support.signing import ABSENT

WRONG_TYPES = [None, "", 5, True, 1.5, ["x"], [], {"x": "y"}]


@pytest.mark.parametrize("name", NAMES)
def test_a_publisher_with_every_field_accepts_the_captured_claims(name: str) -> None:
    assert accepts(strict(name), captured(name))


@every_field
def test_any_other_value_of_a_field_is_refused(name: str, field: Field) -> None:
    publisher = strict(name)
    for wrong in ("other", f"{field.example}x", f"x{field.example}", field.example[:-1], "*"):
        value: FieldValue = (wrong,) if field.any_of else wrong
        other = replace(publisher, fields={**publisher.fields, field.name: value})
        if not (field.is_glob and REF_GLOB(wrong, str(captured(name)[field.claim]))):
            assert not accepts(other, captured(name)), wrong


@every_field
def test_case_counts_unless_the_provider_ignores_it(name: str, field: Field) -> None:
    publisher = strict(name)
    swapped = field.example.swapcase()
    value: FieldValue = (swapped,) if field.any_of else swapped
    other = replace(publisher, fields={**publisher.fields, field.name: value})

    folds = field.compare is is_same_ignoring_case or swapped == field.example
    assert accepts(other, captured(name)) is folds


@every_field
@pytest.mark.parametrize("value", [ABSENT, *WRONG_TYPES])
def test_a_claim_that_is_amiss_never_matches(name: str, field: Field, value: Any) -> None:
    assert not accepts(strict(name), changed(captured(name), field.claim, value))


@every_field
def test_a_known_claim_of_a_wrong_type_refuses_the_token(name: str, field: Field) -> None:
    (publisher,) = documented(name).publishers

    assert not accepts(publisher, changed(captured(name), field.claim, 5))


@pytest.mark.parametrize(
    ("name", "claim"), [(n, c) for n, p in PROVIDERS.items() for c in p.required_claims]
)
@pytest.mark.parametrize("value", [ABSENT, *WRONG_TYPES])
def test_a_required_claim_must_be_a_text(name: str, claim: str, value: Any) -> None:
    (publisher,) = documented(name).publishers
    claims = changed(captured(name), claim, value)

    assert not accepts(publisher, claims)
    assert f"claim `{claim}` is missing or not a string" in refusal(publisher, claims)


@pytest.mark.parametrize(
    ("name", "claim"), [(n, c) for n, p in PROVIDERS.items() for c in p.present_claims]
)
@pytest.mark.parametrize("value", [ABSENT, None, 5, True, ["x"], {"x": "y"}])
def test_a_present_claim_must_be_a_text_or_empty(name: str, claim: str, value: Any) -> None:
    (publisher,) = documented(name).publishers
    claims = captured(name)

    assert not accepts(publisher, changed(claims, claim, value))


@pytest.mark.parametrize(
    ("name", "claim", "constant"),
    [(n, c, v) for n, p in PROVIDERS.items() for c, v in p.constants.items()],
)
def test_a_constant_is_that_value_of_that_type(name: str, claim: str, constant: Any) -> None:
    (publisher,) = documented(name).publishers
    others = [ABSENT, None, "", 0, 1, 1.0, "true", "false", [constant], not constant, "pypi"]

    for other in others:
        assert not accepts(publisher, changed(captured(name), claim, other)), other


@pytest.mark.parametrize(
    ("name", "claim"), [(n, c) for n, p in PROVIDERS.items() for c in p.agreements]
)
def test_a_claim_that_contradicts_the_others_refuses_the_token(name: str, claim: str) -> None:
    claims = captured(name)
    if name == "circleci":
        claims["iss"] = "https://oidc.circleci.com/org/99999999-0000-4000-8000-000000000009"
    else:
        text = signed(claims).text(claim)
        assert text is not None
        claims = changed(claims, claim, text[:11] + ("x" if not text.isdigit() else "0"))
    (publisher,) = documented(name).publishers

    assert f"claim `{claim}` contradicts the other claims" in refusal(publisher, claims)


@pytest.mark.parametrize("name", NAMES)
def test_a_publisher_matches_its_own_issuer_only(name: str) -> None:
    claims = {**captured(name), "iss": "https://other.example.com"}

    assert not accepts(strict(name), claims)


@pytest.mark.parametrize("name", NAMES)
def test_ids_that_are_not_given_are_pinned_and_then_count(name: str) -> None:
    pinned = {f.name: f.example for f in PROVIDERS[name].fields_of(Role.PIN)}
    fields = {k: v for k, v in strict(name).fields.items() if k not in pinned}
    publisher = replace(strict(name), fields=fields)

    assert unpinned(publisher, signed(captured(name))) == pinned
    assert accepts(publisher.with_pins(pinned), captured(name))
    for field in PROVIDERS[name].fields_of(Role.PIN):
        assert not accepts(publisher.with_pins({**pinned, field.name: "1"}), captured(name))


def test_a_publisher_without_any_rule_matches_nobody() -> None:
    publisher = publisher_of("generic")
    claims = captured("generic")

    assert compare(publisher, signed(claims)) == ()
    assert not accepts(publisher, claims)


def test_claims_of_any_publisher_reach_into_objects() -> None:
    publisher = replace(
        strict("google"), claims={"google>compute_engine>project_id": "acme", "azp": "1112*"}
    )

    assert accepts(publisher, captured("google"))
    assert not accepts(publisher, changed(captured("google"), "google", ["project_id", "acme"]))


def test_letters_beyond_ascii_do_not_fold() -> None:
    claims = captured("github")
    kelvin = {**claims, "repository": "octo-org/wid\N{KELVIN SIGN}ets"}
    publisher = replace(
        strict("github"), fields={**strict("github").fields, "repository": "octo-org/widkets"}
    )

    assert not accepts(publisher, kelvin)
