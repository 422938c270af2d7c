"""Issuers of identity tokens: the broker knows one by its exact URL, and asks no other."""

import socket

import pytest

from tests.support.deployment import HOST
from tests.support.markers import of_row
from tests.support.signing import ABSENT, GITHUB, Issuer, rsa_key
from tests.support.world import World, assert_refused


@pytest.mark.promise("no-fetch")
@pytest.mark.parametrize(
    "issuer",
    [
        *of_row(
            "A034",
            *(GITHUB[:-1], GITHUB + "x", GITHUB + "/", GITHUB.upper(), GITHUB + ":443", "https://"),
            *(GITHUB + "\n", GITHUB + "\x00", GITHUB + "#", GITHUB + "?", " " + GITHUB),
            *([GITHUB], {"0": GITHUB}, None, True, "", ABSENT),
        ),
        "https://evil.example",
        "https://TOKEN.actions.githubusercontent.com",
        GITHUB + "/octo-enterprise",
        GITHUB.replace("https", "http"),
        GITHUB + ".evil.example",
        5,
    ],
)
def test_an_issuer_that_is_not_allowed_is_never_asked(world: World, issuer: object) -> None:
    assert_refused(world, world.token(iss=issuer), "invalid-payload")

    assert world.issuer.fetched == []
    assert not {"list_publishers", "find_key_set"} & {*world.store.calls}


@pytest.mark.row("A035")
def test_the_host_of_an_unknown_issuer_is_not_looked_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a look-up"))
    attacker = Issuer("https://attacker.example", {"key-1": rsa_key("attacker")})

    answer = assert_refused(world, attacker.token(), "invalid-payload")

    assert "unknown trusted publishing issuer `https://attacker.example`" in answer.detail
    assert world.issuer.fetched == []
    assert not {"list_publishers", "find_key_set"} & {*world.store.calls}


def test_an_issuer_of_a_disabled_registry_alone_is_not_asked_for_keys() -> None:
    world = World(
        """
        [[registries]]
        name = "acme"
        issuers = ["https://gitlab.com"]
        [[registries]]
        name = "other"
        enabled = false
        issuers = ["https://token.actions.githubusercontent.com"]
        """
    )

    answer = world.mint(world.token(aud=HOST), "")

    assert (answer.status, answer.code) == (422, "not-enabled")
    assert world.issuer.fetched == []


def test_an_issuer_of_another_registry_is_unknown_here() -> None:
    world = World(
        """
        [[issuers]]
        url = "https://ghes.example.com/_services/token"
        provider = "github"
        [[registries]]
        name = "acme"
        audience = "acme"
        issuers = ["https://token.actions.githubusercontent.com"]
        """
    )
    token = Issuer("https://ghes.example.com/_services/token").token()

    assert "unknown trusted publishing issuer" in world.mint(token).detail
