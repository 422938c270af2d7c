"""Withdrawals, through the exchange: an issuer that publishes no usable key withdraws its keys."""

from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.oidc.keysets import COOLDOWN, MAX_AGE
from tests.support.signing import github_claims, public_jwk, rsa_key
from tests.support.world import World, assert_refused


def unknown(world: World) -> str:
    """Return a fresh token whose key no set has."""
    return world.issuer.sign(github_claims(world.now), key_id="unknown", key=rsa_key("x"))


USELESS = {
    "empty": [],
    "no key at all": ["x", 5, None],
    "malformed": [{"kid": "key-1"}],
    "symmetric": [{"kty": "oct", "kid": "key-1", "k": "c2VjcmV0"}],
    "weak": [public_jwk(rsa_key("weak", 1024), "key-1")],
    "for encryption": [public_jwk(rsa_key("key-1"), "key-1", use="enc")],
    "another algorithm": [public_jwk(rsa_key("key-1"), "key-1", alg="RS512")],
    "two of one id": [public_jwk(rsa_key(name), "key-1") for name in ("key-1", "other")],
}
useless = pytest.mark.parametrize("keys", USELESS.values(), ids=USELESS)


@pytest.mark.row("A053")
def test_keys_of_an_issuer_that_publishes_an_empty_set_end_with_the_hour(world: World) -> None:
    # It answers, so this may be how it withdraws its keys in an emergency.
    world.mint(world.token())
    stored = dict(world.store.key_sets)
    world.issuer.serve([])
    world.advance(seconds=MAX_AGE.total_seconds() - 1)

    assert_refused(world, unknown(world), "issuer-unavailable")
    assert world.store.key_sets == stored
    assert world.mint(world.token()).status == 200
    world.advance(seconds=1)
    assert world.mint(world.token()).status == 503


@pytest.mark.promise("no-usable-key")
@useless
def test_an_issuer_that_publishes_no_usable_key_has_withdrawn_its_keys(
    world: World, keys: Any
) -> None:
    world.mint(world.token())
    world.issuer.serve(keys)
    world.advance(seconds=MAX_AGE.total_seconds())

    assert world.mint(world.token()).code == "invalid-token"
    assert world.reasons == ["no-keys"]

    world.start()
    world.issuer.down = True
    assert world.mint(world.token()).code == "invalid-token"
    world.advance(seconds=COOLDOWN.total_seconds())
    assert world.mint(world.token()).status == 503


@useless
def test_fresh_keys_survive_an_answer_without_a_usable_one(world: World, keys: Any) -> None:
    world.mint(world.token())
    stored = dict(world.store.key_sets)
    world.issuer.serve(keys)
    world.advance(seconds=COOLDOWN.total_seconds())

    assert world.mint(unknown(world)).status == 503
    assert world.mint(world.token()).status == 200
    assert world.store.key_sets == stored


@useless
def test_a_withdrawal_just_before_the_hour_is_over_ends_the_keys_with_it(
    world: World, keys: Any
) -> None:
    world.mint(world.token())
    world.issuer.serve(keys)
    world.advance(seconds=(MAX_AGE - timedelta(seconds=1)).total_seconds())
    world.mint(unknown(world))  # has the set refreshed
    world.issuer.down = True

    world.advance(seconds=1)

    assert world.mint(world.token()).status == 503


@useless
def test_other_instances_learn_of_a_withdrawal_from_the_store(world: World, keys: Any) -> None:
    world.mint(world.token())
    other = world.broker
    world.start()
    world.mint(world.token())
    world.issuer.serve(keys)
    world.advance(seconds=MAX_AGE.total_seconds())
    world.mint(world.token())
    world.issuer.fetched.clear()

    world.broker = other

    assert world.mint(world.token()).code == "invalid-token"
    assert world.issuer.fetched == []


@useless
def test_a_withdrawal_stays_one_while_the_issuer_goes_on_answering(world: World, keys: Any) -> None:
    world.mint(world.token())
    world.issuer.serve(keys)
    world.advance(seconds=MAX_AGE.total_seconds())

    for _ in range(3):
        assert world.mint(world.token()).code == "invalid-token"
        world.advance(seconds=COOLDOWN.total_seconds())


@useless
def test_new_keys_after_a_withdrawal_are_good_after_a_cooldown(world: World, keys: Any) -> None:
    world.mint(world.token())
    world.issuer.serve(keys)
    world.advance(seconds=MAX_AGE.total_seconds())
    world.mint(world.token())
    world.issuer.serve([public_jwk(rsa_key("new"), "new")])

    world.advance(seconds=COOLDOWN.total_seconds())

    token = world.issuer.sign(github_claims(world.now), key_id="new", key=rsa_key("new"))
    assert world.mint(token).status == 200


def test_an_issuer_that_has_published_no_key_yet_is_not_ready(world: World) -> None:
    world.issuer.serve([])

    assert world.mint(world.token()).code == "issuer-unavailable"
    assert not world.store.key_sets
