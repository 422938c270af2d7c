"""Burn and discovery, as a client sees them."""

import json
from typing import Any

import pytest

from pytp_broker.tokens import UploadToken
from tests.support.deployment import HOST
from tests.support.signing import NOW
from tests.support.world import World

ACCEPTED = {"message": "Accepted", "errors": []}


def burned(world: World, token: str) -> bool:
    return world.store.tokens[UploadToken.parse(token).lookup_id].burned_at is not None


@pytest.mark.parametrize("prefix", ["", "/acme"])
def test_a_token_is_burned(world: World, prefix: str) -> None:
    token = world.mint(world.token()).json["token"]

    answer = world.call("POST", f"{prefix}/_/oidc/burn-token", {"token": token})

    assert (answer.status, answer.json) == (202, ACCEPTED)
    assert burned(world, token)


def test_a_token_of_another_registry_is_not_burned_here(world: World) -> None:
    token = world.mint(world.token()).json["token"]

    answer = world.call("POST", "/other/_/oidc/burn-token", {"token": token})

    assert (answer.status, answer.json) == (202, ACCEPTED)
    assert not burned(world, token)


@pytest.mark.row("A107")
def test_every_burn_is_answered_alike(world: World) -> None:
    # crates.io tells a token that was burned from one that was not; here nobody learns that.
    token = world.mint(world.token()).json["token"]
    bodies: list[Any] = [
        {"token": token},
        {"token": token},
        {"token": UploadToken.mint("f" * 32).reveal()},
        {"token": "malformed"},
        {"token": None},
        {},
        b"",
        b"not JSON",
    ]

    answers = [world.call("POST", "/acme/_/oidc/burn-token", body) for body in bodies]

    assert {(a.status, a.body) for a in answers} == {(202, b'{"message":"Accepted","errors":[]}')}
    (record,) = world.store.tokens.values()
    assert record.burned_at == NOW


def test_an_expired_token_is_burned_too(world: World) -> None:
    token = world.mint(world.token()).json["token"]
    world.advance(seconds=901)

    world.call("POST", "/_/oidc/burn-token", {"token": token})

    assert burned(world, token)


@pytest.mark.promise("silent-burn")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"token": 5}',
        b'{"token": "pypi-AAAA"}',
        b'{"token": "' + b"x" * 100_000 + b'"}',
        json.dumps({"token": UploadToken.mint("0" * 32).reveal()}).encode(),
    ],
)
def test_whatever_is_not_a_token_here_gets_the_same_answer_after_the_same_work(
    world: World, body: bytes
) -> None:
    world.call("GET", "/_/oidc/audience")
    world.store.calls.clear()

    answer = world.call("POST", "/_/oidc/burn-token", body)

    assert (answer.status, answer.json) == (202, ACCEPTED)
    assert world.store.calls == ["burn_token"]


def test_a_guessed_secret_does_not_burn(world: World) -> None:
    token = world.mint(world.token()).json["token"]
    guess = UploadToken.mint(UploadToken.parse(token).lookup_id).reveal()

    world.call("POST", "/_/oidc/burn-token", {"token": guess})

    assert not burned(world, token)


def test_a_burn_that_could_not_be_stored_is_not_accepted(world: World) -> None:
    token = world.mint(world.token()).json["token"]
    world.store.fail_next("burn_token")

    assert world.call("POST", "/_/oidc/burn-token", {"token": token}).status == 503


# --- discovery (PEP 807) --------------------------------------------------------------------------

CONTENT_TYPE = "application/vnd.pypi.pytp.v1+json"


@pytest.mark.parametrize("path", ["/acme/legacy/", "/acme/legacy", "/acme/legacy//"])
def test_an_upload_url_leads_to_its_endpoints(world: World, path: str) -> None:
    answer = world.call("GET", "/.well-known/pytp", query={"discover": path})

    assert answer.status == 200
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert answer.json == {
        "audience-endpoint": f"https://{HOST}/acme/_/oidc/audience",
        "token-mint-endpoint": f"https://{HOST}/acme/_/oidc/mint-token",
        "features": ["multi-use-token", "single-use-token"],
        "default-features": ["multi-use-token"],
        "upload-api": f"https://{HOST}/acme/upload/",
    }


def test_on_a_host_of_its_own_the_endpoints_are_at_the_root(world: World) -> None:
    answer = world.call(
        "GET",
        "/.well-known/pytp",
        query={"discover": "/legacy/"},
        host="other.example.com:8443",
    )

    assert answer.json["audience-endpoint"] == "https://other.example.com:8443/_/oidc/audience"


def test_the_same_document_lies_beside_the_upload_url(world: World) -> None:
    beside = world.call("GET", "/acme/_/oidc/discover")
    well_known = world.call("GET", "/.well-known/pytp", query={"discover": "/acme/legacy/"})

    assert beside.json == well_known.json


@pytest.mark.parametrize(
    "path", ["", "/", "/legacy/", "/nobody/legacy/", "/acme/", "/acme/simple/", "acme", "/acme"]
)
def test_a_path_that_takes_no_uploads_is_not_found(world: World, path: str) -> None:
    answer = world.call("GET", "/.well-known/pytp", query={"discover": path})

    assert answer.status == 404


@pytest.mark.parametrize("path", ["/acme/.well-known/pytp", "/_/oidc/discover"])
def test_discovery_is_found_only_where_the_pep_puts_it(world: World, path: str) -> None:
    assert world.call("GET", path, query={"discover": "/acme/legacy/"}).status == 404


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        CONTENT_TYPE,
        f"text/html, {CONTENT_TYPE};q=0.5",
        "application/json",
        "Application/*",
    ],
)
def test_an_acceptable_type_is_answered(world: World, accept: str) -> None:
    assert world.call("GET", "/acme/_/oidc/discover", headers={"accept": accept}).status == 200


def test_over_plain_http_the_endpoints_are_plain_http(world: World) -> None:
    answer = world.call("GET", "/acme/_/oidc/discover", headers={"x-forwarded-proto": "http"})

    assert answer.json["audience-endpoint"].startswith("http://")


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example/x?", 'evil.example"', "a b", "a.example:x", "[", "user@a.example"),
        *(f"{'a' * 64}.example", ".".join(["a" * 63] * 4), "a..example"),
    ],
)
def test_a_host_that_is_none_is_not_answered_with(world: World, host: str) -> None:
    assert world.call("GET", "/acme/_/oidc/discover", host=host).status == 404


@pytest.mark.parametrize("host", [f"{'a' * 63}.example:8443", "a-b.example.", "[::1]:8443"])
def test_a_host_is_answered_with_as_it_was_asked(world: World, host: str) -> None:
    answer = world.call("GET", "/acme/_/oidc/discover", host=host)

    assert answer.json["audience-endpoint"].startswith(f"https://{host}/")


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/vnd.pypi.pytp.v2+json", "nonsense", "application/json;q=0"],
)
def test_a_foreign_type_is_not_acceptable(world: World, accept: str) -> None:
    answer = world.call("GET", "/acme/_/oidc/discover", headers={"accept": accept})

    assert (answer.status, answer.code) == (406, "not-acceptable")
