"""Key sets, through the exchange: how the broker treats everything that an issuer may publish."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.keycache import StoredKeySet
from pytp_broker.oidc.keysets import COOLDOWN, MAX_AGE, MAX_STALE
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.markers import of_row
from tests.support.signing import NOW, github_claims, public_jwk, rsa_key, segment, sign_segments
from tests.support.world import World, assert_refused


def good(world: World, **options: Any) -> str:
    """Return a fresh token, signed now."""
    return world.issuer.sign(github_claims(world.now), **options)


def test_a_key_set_is_fetched_once_and_then_remembered(world: World) -> None:
    for _ in range(3):
        assert world.mint(good(world)).status == 200

    assert world.issuer.fetched == [world.issuer.discovery_url, world.issuer.jwks_url]


def test_a_cold_start_finds_the_key_set_in_the_store(world: World) -> None:
    world.mint(good(world))
    world.issuer.down = True
    world.start()

    assert world.mint(good(world)).status == 200


def test_a_new_key_is_found_after_the_cooldown(world: World) -> None:
    world.mint(good(world))
    world.issuer.keys["key-2"] = rsa_key("key-2")
    assert world.mint(good(world, key_id="key-2")).status == 422

    world.advance(seconds=COOLDOWN.total_seconds())

    assert world.mint(good(world, key_id="key-2")).status == 200


@pytest.mark.promise("unknown-keys")
def test_a_flood_of_unknown_key_ids_costs_one_refresh_in_a_cooldown(world: World) -> None:
    world.mint(good(world))
    world.advance(seconds=COOLDOWN.total_seconds())
    world.issuer.fetched.clear()

    answers = [
        world.mint(good(world, key_id=f"unknown-{i}", key=rsa_key("stranger"))) for i in range(50)
    ]

    assert {(a.status, a.code) for a in answers} == {(422, "invalid-token")}
    assert len(world.issuer.fetched) == 2
    assert world.mint(good(world)).status == 200


@pytest.mark.promise("unknown-keys")
def test_a_flood_while_the_issuer_is_down_costs_one_refresh_in_a_cooldown(world: World) -> None:
    world.issuer.down = True

    answers = [world.mint(good(world)) for _ in range(50)]

    assert {(a.status, a.code) for a in answers} == {(503, "issuer-unavailable")}
    assert answers[0].headers["Retry-After"] == "60"
    assert len(world.issuer.fetched) == 1


def test_a_known_key_goes_on_working_while_the_issuer_is_down(world: World) -> None:
    world.mint(good(world))
    world.issuer.down = True
    world.advance(seconds=MAX_AGE.total_seconds())

    assert world.mint(good(world)).status == 200
    assert world.mint(good(world, key_id="unknown", key=rsa_key("x"))).status == 503


@pytest.mark.promise("withdrawn-key")
def test_stale_keys_are_served_for_a_bounded_time(world: World) -> None:
    world.mint(good(world))
    world.issuer.down = True

    world.advance(seconds=(MAX_STALE - timedelta(seconds=1)).total_seconds())
    assert world.mint(good(world)).status == 200

    world.advance(seconds=1)
    assert world.mint(good(world)).status == 503


@pytest.mark.promise("withdrawn-key")
def test_a_withdrawn_key_is_dead_within_the_maximum_age(world: World) -> None:
    world.mint(good(world))
    withdrawn = world.issuer.keys.pop("key-1")
    world.issuer.keys["key-9"] = rsa_key("key-9")

    world.advance(seconds=MAX_AGE.total_seconds())

    assert world.mint(good(world, key=withdrawn)).code == "invalid-token"


@pytest.mark.row("A051")
def test_a_flood_of_key_ids_at_several_instances_costs_one_refresh_in_a_cooldown(
    world: World,
) -> None:
    instances = []
    for _ in range(4):
        world.start()
        instances.append(world.broker)
        assert world.mint(good(world)).status == 200
    world.advance(seconds=COOLDOWN.total_seconds())
    world.issuer.fetched.clear()
    attacker, claims = rsa_key("attacker", 1024), segment(github_claims())

    for number in range(1000):
        world.broker = instances[number % 4]
        header = segment({"alg": "RS256", "kid": f"k{number}"})
        token = sign_segments(header, claims, attacker)
        answer = world.mint(token, source_ip=f"192.0.2.{number % 250}")
        assert answer.status in {422, 429}
        if number % 100 == 0:
            world.now += timedelta(seconds=5)
            assert world.mint(good(world), source_ip="198.51.100.1").status == 200

    assert len(world.issuer.fetched) == 2


@pytest.mark.parametrize(
    "answer",
    [
        *of_row(
            "A053",
            FetchError("the issuer answered 500"),
            FetchError("the issuer answered 429"),
            FetchError("the issuer cannot be reached (ConnectionError)"),
            FetchError("the issuer cannot be reached (SSLError)"),
            b"<html>",
            b"{}",
            b'{"keys": [{"kty"',
        ),
        b'{"keys": {}}',
        b'{"keys": [{"kty": "RSA"',
        b"[]",
        b"\xff",
    ],
)
def test_a_bad_answer_never_replaces_a_good_key_set(world: World, answer: Any) -> None:
    world.mint(good(world))
    stored = dict(world.store.key_sets)
    world.issuer.documents[world.issuer.jwks_url] = answer
    world.advance(seconds=MAX_AGE.total_seconds())

    assert world.mint(good(world)).status == 200
    unknown = good(world, key_id="unknown", key=rsa_key("x"))
    refused = assert_refused(world, unknown, "issuer-unavailable")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert world.store.key_sets == stored


@pytest.mark.promise("own-issuer")
def test_two_issuers_may_use_the_same_key_id() -> None:
    world = World(
        github_issuer("https://ghes.example.com")
        + registry(
            "acme",
            github_publisher("widgets", issuer="https://ghes.example.com"),
            audience="acme",
        )
    )
    forged = world.issuer.sign(github_claims(NOW, iss="https://ghes.example.com"))
    ghes_key = public_jwk(rsa_key("ghes"), "key-1")
    world.issuer.documents |= {
        "https://ghes.example.com/.well-known/openid-configuration": json.dumps(
            {"issuer": "https://ghes.example.com", "jwks_uri": "https://ghes.example.com/jwks"}
        ).encode(),
        "https://ghes.example.com/jwks": json.dumps({"keys": [ghes_key]}).encode(),
    }
    real = world.issuer.sign(
        github_claims(NOW, iss="https://ghes.example.com"), key=rsa_key("ghes")
    )

    assert world.mint(forged).code == "invalid-token"
    assert world.mint(real).status == 200


@pytest.mark.parametrize("method", ["find_key_set", "save_key_set"])
def test_a_store_without_key_sets_costs_a_fetch_and_nothing_else(world: World, method: str) -> None:
    world.store.fail_next(method)

    assert world.mint(good(world)).status == 200


def test_a_change_of_an_issuers_algorithms_leaves_no_old_key(world: World) -> None:
    world.mint(good(world))
    github = world.store.load_configuration().issuers[world.issuer.url]
    issuers = {github.url: replace(github, algorithms=("ES256",))}
    world.store.configuration = replace(world.store.configuration, issuers=issuers)
    world.advance(seconds=10)

    assert world.mint(good(world)).code == "invalid-token"


def test_a_stored_set_of_a_clock_that_is_far_ahead_counts_for_nothing(world: World) -> None:
    keys = [public_jwk(rsa_key("old"), "key-1")]
    world.store.key_sets[world.issuer.url] = StoredKeySet(keys, NOW + timedelta(days=400))

    assert world.mint(good(world)).status == 200
    assert world.mint(good(world, key=rsa_key("old"))).code == "invalid-token"


def test_a_refresh_that_fails_is_reported_while_the_keys_are_fresh_too(world: World) -> None:
    world.mint(good(world))
    world.issuer.down = True
    world.advance(seconds=COOLDOWN.total_seconds())

    answer = world.mint(good(world, key_id="unknown", key=rsa_key("x")))

    assert answer.status == 503
    assert world.reasons == ["refresh-failed"]
