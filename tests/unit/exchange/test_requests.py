"""Requests for an exchange: methods, bodies and their members."""

import json

import pytest

from tests.support.markers import of_row
from tests.support.world import World

MINT = "/acme/_/oidc/mint-token"
AUDIENCE = "/acme/_/oidc/audience"


def test_maturins_old_address_exchanges_too(world: World) -> None:
    answer = world.call("POST", "/acme/_/oidc/github/mint-token", {"token": world.token()})

    assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *of_row(
            "A096",
            *((method, MINT, "POST") for method in ("GET", "HEAD", "OPTIONS", "PUT", "post", "")),
            *((method, AUDIENCE, "GET") for method in ("POST", "OPTIONS", "DELETE")),
        ),
        ("OPTIONS", "/_/oidc/mint-token", "POST"),
        ("DELETE", "/acme/_/oidc/burn-token", "POST"),
        ("POST", "/.well-known/pytp", "GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_one_and_no_other_site_may_call(
    world: World, method: str, path: str, allowed: str
) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = world.call(method, path, {"token": world.token()}, headers=headers)
    minted = world.call("POST", MINT, {"token": world.token()}, headers=headers)

    assert (answer.status, answer.code) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == allowed
    assert minted.headers["Cache-Control"] == "no-store"
    for sent in (answer.headers, minted.headers):
        assert not any(name.lower().startswith("access-control") for name in sent)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"x", b"{", b"[]", b"null", b'"x"', b"{}", b"token=abc", b"<xml/>"),
        *(b'{"token": null}', b'{"token": 1}', b'{"token": true}', b'{"token": {}}'),
        *(b'{"token": []}', b'{"token": ["x"]}', b'{"token": ""}', b'{"not_real": "x"}'),
        *(b'{"token": "malformed"}', b'{"token": "a.b.c"}', b'{"token": "..."}'),
        *(b'{"token": "\\ud800.b.c"}', b'{"token": "e30.e30."}', b'{"token": NaN}'),
        *(b"\xef\xbb\xbf{}", b"\xff\xfe", b"\xff\xfe{\x00}\x00", b"\x1f\x8b\x08"),
        *of_row("A095", b"\x1f\x8b\x08\x00" + b"\x00" * 1000),
        b"[" * 60_000,
        b'{"token": ' + b"[" * 60_000,
        b'{"token": ' + b"9" * 6000 + b"}",
        b'{"token": "' + b"x" * 20_000 + b'"}',
    ],
)
def test_a_body_that_is_no_payload_is_refused(world: World, body: bytes) -> None:
    for headers in ({}, {"content-encoding": "gzip"}):
        answer = world.call("POST", MINT, body, headers=headers)
        assert (answer.status, answer.code) == (422, "invalid-payload")
    assert not world.store.tokens


@pytest.mark.row("A095")
def test_unknown_members_of_the_body_and_its_type_are_ignored(world: World) -> None:
    body = {"token": world.token(), "comment": "hello", "x": 1}

    assert world.call("POST", MINT, body, headers={"content-type": "text/plain"}).status == 200


def test_repeated_members_of_the_body_are_refused(world: World) -> None:
    body = f'{{"token": "x", "token": "{world.token()}"}}'.encode()

    assert world.call("POST", MINT, body).code == "invalid-payload"


def test_a_body_over_64_kib_is_too_large(world: World) -> None:
    body = json.dumps({"token": world.token(), "x": "y" * 65_536}).encode()

    answer = world.call("POST", MINT, body)

    assert (answer.status, answer.code) == (413, "payload-too-large")


@pytest.mark.parametrize("features", [["multi-use-token"], [], None])
def test_a_multi_use_token_is_the_default(world: World, features: object) -> None:
    assert world.mint(world.token(), features=features).status == 200

    (record,) = world.store.tokens.values()
    assert record.features == ("multi-use-token",)


def test_a_single_use_token_is_had_on_request(world: World) -> None:
    assert world.mint(world.token(), features=["single-use-token"]).status == 200

    (record,) = world.store.tokens.values()
    assert record.features == ("single-use-token",)


@pytest.mark.parametrize(
    "features",
    [
        *(["evil"], ["multi-use-token", "evil"], ["multi-use-token", "single-use-token"], "x", 5),
        *([[]], [["multi-use-token"]], [5], [None], [""], {}, {"multi-use-token": True}, False, ""),
        *("multi-use-token", "single-use-token"),  # PEP 807 asks for an array
        ["multi-use-token", "multi-use-token"],
    ],
)
def test_unknown_features_are_refused(world: World, features: object) -> None:
    answer = world.mint(world.token(), features=features)

    assert (answer.status, answer.code) == (422, "invalid-payload")
    assert 'an array of one string: ["multi-use-token"] or ["single-use-token"]' in answer.detail
    assert not world.store.tokens
