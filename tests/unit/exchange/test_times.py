"""Claims that every identity token has, above all its times, as RFC 7519 has them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS
from tests.support.markers import of_row
from tests.support.signing import ABSENT, NOW, github_claims, sign_raw
from tests.support.world import World, assert_refused

SECONDS = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        *of_row(
            "A027",
            {"nbf": SECONDS + 600, "exp": SECONDS + 1200},
            {"iat": SECONDS + 600, "exp": SECONDS + 1200},
        ),
        {"exp": SECONDS - LEEWAY_SECONDS},
        {"exp": SECONDS - 3600, "iat": SECONDS - 7200},
        {"exp": SECONDS - LEEWAY_SECONDS - 0.5, "iat": SECONDS - 300},
        {"exp": SECONDS + 25 * 3600 + 0.5},
        {"exp": SECONDS + 25 * 3600, "iat": SECONDS - 0.5},
        {"exp": SECONDS + 25 * 3600 + 1},
        {"exp": SECONDS + 10 * 365 * 24 * 3600},
        {"iat": SECONDS + 100.5, "exp": SECONDS + 100.5},
        {"nbf": True},
        {"nbf": SECONDS + LEEWAY_SECONDS + 0.5},
        {"iat": "x"},
        {"iat": SECONDS + LEEWAY_SECONDS + 10},
        {"nbf": SECONDS + LEEWAY_SECONDS + 10},
        {"nbf": None},
        {"jti": ""},
        {"jti": 5},
        {"jti": ["x"]},
        {"jti": "x" * 1025},
        {"sub": 5},
    ],
)
def test_a_claim_that_rfc_7519_would_not_have_is_refused(
    world: World, changes: Mapping[str, Any]
) -> None:
    assert_refused(world, world.token(**changes))


@pytest.mark.row("A028")
@pytest.mark.parametrize(
    "time",
    [
        *(ABSENT, None, True, False, "1790000000", str(SECONDS + 300), f"{SECONDS + 300}.5"),
        *(float("inf"), -float("inf"), float("nan"), [], {}, [SECONDS + 300]),
        *(-1, 0, -0.0, -0.5, 10**12, 2**63, 10**30, 1e30, 1e308),
    ],
)
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_a_time_that_is_no_date_of_now_is_refused(world: World, claim: str, time: object) -> None:
    # Infinity is not JSON, so a token with it is no payload.
    assert_refused(world, world.token(**{claim: time}), "invalid-token", "invalid-payload")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e308", "1E9999999", "NaN", "9" * 5000])
@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
def test_a_time_that_no_clock_will_show_is_refused(world: World, claim: str, number: str) -> None:
    payload = json.dumps({**github_claims(), claim: 12345}).replace(": 12345", f": {number}", 1)
    assert f'"{claim}": {number}' in payload

    assert_refused(world, sign_raw(payload.encode()), "invalid-token", "invalid-payload")


@pytest.mark.row("A030")
def test_a_token_that_is_over_before_it_begins_is_refused(world: World) -> None:
    assert_refused(world, world.token(iat=SECONDS, exp=SECONDS - 5))
    assert_refused(world, world.token(iat=SECONDS, exp=SECONDS))
    assert_refused(world, world.token(iat=SECONDS - 5, exp=SECONDS - 10))
    assert_refused(world, world.token(iat=SECONDS - 10 * 365 * 86_400))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": SECONDS + 300.75, "iat": SECONDS + 0.25, "nbf": SECONDS - 0.5},
        {"exp": SECONDS + 300.0},
        {"exp": SECONDS - LEEWAY_SECONDS + 0.5, "iat": SECONDS - 300},
        {"exp": SECONDS + 25 * 3600 + 0.25, "iat": SECONDS + 0.25},
        {"nbf": SECONDS + LEEWAY_SECONDS - 0.001},
        {"nbf": 1.5},
        {"nbf": 0},
        {"exp": SECONDS - LEEWAY_SECONDS + 1, "iat": SECONDS - 300},
        {"nbf": SECONDS + LEEWAY_SECONDS - 5},
        {"iat": SECONDS + LEEWAY_SECONDS, "exp": SECONDS + 300},
        {"nbf": ABSENT},
        {"jti": "a#b/c\n\u0000é"},
    ],
)
def test_a_claim_within_the_rules_is_accepted(world: World, changes: Mapping[str, Any]) -> None:
    assert world.mint(world.token(**changes)).status == 200


def test_a_token_that_has_expired_is_told_so_whoever_it_is_of(world: World) -> None:
    old = world.token(repository="nobody/nothing", repository_owner="nobody")
    world.advance(seconds=300 + LEEWAY_SECONDS)

    answer = world.mint(old)

    assert answer.code == "invalid-token"
    assert "has expired" in answer.detail
