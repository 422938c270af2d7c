"""How an identity token is written: one way for each token, and in strict JSON."""

import json
import time
from typing import Any

import pytest

from tests.support.markers import of_row
from tests.support.signing import (
    ABSENT,
    GITHUB,
    github_claims,
    segment,
    sign_raw,
    sign_segments,
)
from tests.support.world import World, assert_refused

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "members",
    [
        *of_row(
            "A019",
            {"crit": ["bork"], "bork": 1},
            {"crit": ["b64"], "b64": False},
            {"crit": []},
            {"crit": "exp"},
            {"crit": None},
            {"b64": False},
        ),
        {"crit": ["bork"], "b64": False},
        {"crit": [], "b64": False},
        {"b64": 0},
        {"b64": True},
        {"cty": "JWT"},
        {"cty": ""},
    ],
)
def test_a_token_that_is_not_simply_claims_is_refused(
    world: World, members: dict[str, Any]
) -> None:
    assert_refused(world, sign_raw(**members), "invalid-payload")


@pytest.mark.parametrize("kind", ["at+jwt", "secevent+jwt", "JWT ", 5, ["JWT"]])
def test_another_type_of_token_is_refused(world: World, kind: object) -> None:
    token = world.issuer.sign(github_claims(), header={"typ": kind})

    assert_refused(world, token)


def test_a_type_that_is_null_is_none_of_ours(world: World) -> None:
    assert_refused(world, sign_raw(typ=None))


def test_a_token_without_a_type_is_accepted(world: World) -> None:
    token = world.issuer.sign(github_claims(), header={"typ": None})

    assert world.mint(token).status == 200


@pytest.mark.row("A014")
@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 11_000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"iss": ' + b"1" * 5000 + b"}",
        b'{"exp": ' + b"9" * 5000 + b"}",
    ],
)
def test_deep_nesting_and_huge_numbers_are_refused_at_once(world: World, payload: bytes) -> None:
    token = sign_raw(payload)
    started_at = time.thread_time()

    assert_refused(world, token, "invalid-payload")

    assert time.thread_time() - started_at < 0.25


@pytest.mark.parametrize("payload", [b"[]", b"not json", MARK + b"{}"])
def test_a_payload_that_is_no_strict_json_object_is_refused(world: World, payload: bytes) -> None:
    assert_refused(world, sign_raw(payload), "invalid-payload")


@pytest.mark.row("A016")
@pytest.mark.parametrize("first", ["https://evil.example", GITHUB])
def test_a_member_that_is_there_twice_is_refused(world: World, first: str) -> None:
    second = "https://evil.example" if first == GITHUB else GITHUB
    rest = json.dumps(github_claims(iss=ABSENT))[1:]
    payload = f'{{"iss": "{first}", "iss": "{second}", {rest}'.encode()
    assert_refused(world, sign_raw(payload), "invalid-payload")

    nested = f'{{"x": {{"y": 1, "y": 2}}, {json.dumps(github_claims())[1:]}'.encode()
    assert_refused(world, sign_raw(nested), "invalid-payload")
    header = segment(b'{"alg": "RS256", "kid": "evil", "kid": "key-1"}')
    assert_refused(world, sign_segments(header, segment(github_claims())), "invalid-payload")


@pytest.mark.row("A017")
def test_other_bytes_of_the_same_token_are_refused(world: World) -> None:
    claims = github_claims(jti="one")
    header, payload = segment({"alg": "RS256", "kid": "key-1"}), segment(claims)
    good = sign_segments(header, payload)
    # The last digit that means the same: only a bit differs that counts for nothing.
    last = BASE64URL[BASE64URL.index(good[-1]) ^ 1]
    variants = [
        sign_segments(header + "==", payload),
        sign_segments(header, payload + "="),
        sign_segments(header, segment(MARK + json.dumps(claims).encode())),
        sign_segments(segment(MARK + b'{"alg": "RS256", "kid": "key-1"}'), payload),
        good.replace(".", "==.", 1),
        good.replace(".", "..", 1),
        good[:-1] + last,
        good[:-8] + "\n" + good[-8:],
        good[:-8] + "!" + good[-8:],
        " " + good,
        *(good + end for end in ("=", "==", "\n", ".x")),
    ]

    for variant in variants:
        assert_refused(world, variant, "invalid-payload", "invalid-token")
    assert world.mint(good).status == 200
    for variant in variants:
        assert_refused(world, variant, "invalid-payload", "invalid-token")
    spaced = segment(json.dumps(claims, indent=1).encode())
    assert_refused(world, sign_segments(header, spaced), "invalid-reuse-token")
