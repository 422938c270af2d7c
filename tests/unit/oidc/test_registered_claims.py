"""Each check of the registered claims alone: what it takes, what it refuses and what it says."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from pytp_broker.errors import InvalidToken
from pytp_broker.oidc.registered_claims import (
    check_audience,
    check_issuer,
    check_names,
    check_required,
    read_lifetime,
)
from pytp_broker.oidc.signed_claims import PLAIN, TokenForm
from pytp_broker.registries import Issuer
from tests.support.signing import ABSENT, GITHUB, NOW, github_claims

SECONDS = int(NOW.timestamp())
LISTS = TokenForm(may_list_audience=True, max_lifetime_seconds=3600)


def said(check: Callable[[Mapping[str, Any]], object], **changes: Any) -> str:
    """Return what a check says about changed claims; empty if it takes them."""
    try:
        check(github_claims(**changes))
    except InvalidToken as problem:
        return problem.detail
    return ""


@pytest.mark.parametrize("name", ["aud", "iat", "exp"])
@pytest.mark.parametrize("value", [ABSENT, None])
def test_audience_and_times_are_required(name: str, value: Any) -> None:
    assert said(check_required) == ""
    assert said(check_required, **{name: value}) == f"the identity token has no `{name}`"


@pytest.mark.parametrize("seen", [f"{GITHUB}/", GITHUB.upper(), [GITHUB], None, 5])
def test_the_issuer_is_compared_character_by_character(seen: Any) -> None:
    def check(claims: Mapping[str, Any]) -> None:
        check_issuer(claims, Issuer(GITHUB, "github", ("RS256",)))

    assert said(check) == ""
    assert said(check, iss=seen) == "the identity token is from another issuer"


@pytest.mark.parametrize(
    ("seen", "form", "answer"),
    [
        ("acme", PLAIN, ""),
        ("acme", LISTS, ""),
        (["acme"], LISTS, ""),
        (["acme"], PLAIN, "audience is not a single string, this endpoint's is `acme`"),
        (["acme", "other"], LISTS, "audience is not a single string"),
        (["acme", "acme"], LISTS, "audience is not a single string"),
        ([["acme"]], LISTS, "audience is not a single string"),
        ({"acme": 1}, LISTS, "audience is not a single string"),
        ("ACME", PLAIN, "audience is `ACME`, this endpoint's is `acme`"),
        (" acme", PLAIN, "audience is ` acme`"),
        ("", LISTS, "the identity token has no `aud`"),
        ([], LISTS, "the identity token has no `aud`"),
        ({}, LISTS, "the identity token has no `aud`"),
        (0, LISTS, "the identity token has no `aud`"),
    ],
)
def test_the_audience_is_this_one_alone(seen: Any, form: TokenForm, answer: str) -> None:
    found = said(lambda claims: check_audience(claims, "acme", form), aud=seen)

    assert answer in found
    assert bool(found) is bool(answer)


@pytest.mark.parametrize("name", ["sub", "jti"])
@pytest.mark.parametrize("value", [None, 5, True, ["x"], {}])
def test_names_are_texts(name: str, value: Any) -> None:
    assert said(check_names, **{name: ABSENT}) == ""
    assert said(check_names, **{name: value}) == f"the identity token's `{name}` must be a string"


def test_a_token_id_has_a_length() -> None:
    assert said(check_names, jti="x" * 1024) == ""
    assert "1 to 1024 characters" in said(check_names, jti="x" * 1025)
    assert "1 to 1024 characters" in said(check_names, jti="")
    assert said(check_names, sub="") == ""


def lifetime(claims: Mapping[str, Any]) -> datetime:
    return read_lifetime(claims, NOW, LISTS)


def test_the_end_of_a_token_may_have_a_fraction() -> None:
    assert lifetime(github_claims(exp=SECONDS + 9.5)) == datetime.fromtimestamp(SECONDS + 9.5, UTC)


@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, str(SECONDS), "\N{ARABIC-INDIC DIGIT ONE}", [], {}),
        *(-1, -0.5, 1 << 33, 10**400, 1e308, float("inf"), float("-inf"), float("nan")),
    ],
)
def test_a_time_is_a_number_of_seconds(name: str, value: Any) -> None:
    expected = f"the identity token's `{name}` must be a number of seconds since 1970 (RFC 7519)"

    assert said(lifetime, **{name: value}) == expected


@pytest.mark.parametrize("length", [0, -1, 3600.5, 3601])
def test_a_lifetime_is_neither_empty_nor_long(length: float) -> None:
    assert said(lifetime, iat=SECONDS, exp=SECONDS + 3600) == ""
    assert "(`exp` - `iat`) must be above 0 and at most 1 h" in said(
        lifetime, iat=SECONDS, exp=SECONDS + length
    )


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_begins_within_the_leeway(name: str) -> None:
    end = {"exp": SECONDS + 300}

    assert said(lifetime, **{name: SECONDS + 30}, **end) == ""
    assert "lies in the future" in said(lifetime, **{name: SECONDS + 30.5}, **end)
    assert said(lifetime, nbf=ABSENT) == ""
