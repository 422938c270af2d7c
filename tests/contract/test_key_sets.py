"""Key sets in the store: good ones are kept, and one instance at a time may refresh them."""

from datetime import timedelta

import pytest

from pytp_broker.oidc.keycache import StoredKeySet
from pytp_broker.storage.protocols import Store
from tests.support.samples import GITHUB, NOW

COOLDOWN = timedelta(seconds=60)
KEYS = [{"kid": "key-1", "kty": "RSA", "n": "0vx7", "e": "AQAB", "x5c": ["MII"], "alg": None}]


def test_an_issuer_without_a_key_set_has_none(store: Store) -> None:
    store.save_key_set(GITHUB, StoredKeySet(KEYS, NOW))

    assert store.find_key_set(GITHUB + "/other") is None


def test_a_key_set_is_found_as_it_was_saved(store: Store) -> None:
    key_set = StoredKeySet(KEYS, NOW + timedelta(microseconds=123456))

    store.save_key_set(GITHUB, key_set)

    assert store.find_key_set(GITHUB) == key_set


def test_a_new_key_set_takes_the_place_of_the_old(store: Store) -> None:
    store.save_key_set(GITHUB, StoredKeySet(KEYS, NOW))

    store.save_key_set(GITHUB, StoredKeySet([], NOW + timedelta(hours=1)))

    assert store.find_key_set(GITHUB) == StoredKeySet([], NOW + timedelta(hours=1))


def test_a_refresh_is_claimed_once_in_a_cooldown(store: Store) -> None:
    assert store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN)

    assert not store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN)
    assert not store.claim_key_set_refresh(GITHUB, NOW + timedelta(seconds=59), COOLDOWN)
    assert store.claim_key_set_refresh(GITHUB, NOW + COOLDOWN, COOLDOWN)
    assert not store.claim_key_set_refresh(GITHUB, NOW + COOLDOWN, COOLDOWN)


def test_a_refused_claim_does_not_prolong_the_cooldown(store: Store) -> None:
    store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN)
    store.claim_key_set_refresh(GITHUB, NOW + timedelta(seconds=30), COOLDOWN)

    assert store.claim_key_set_refresh(GITHUB, NOW + COOLDOWN, COOLDOWN)


def test_each_issuer_has_a_cooldown_of_its_own(store: Store) -> None:
    store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN)

    assert store.claim_key_set_refresh(GITHUB + "/other", NOW, COOLDOWN)


@pytest.mark.parametrize("claimed_first", [True, False])
def test_a_claim_and_a_key_set_leave_each_other_alone(store: Store, claimed_first: bool) -> None:
    if claimed_first:
        store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN)
    store.save_key_set(GITHUB, StoredKeySet(KEYS, NOW))

    assert store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN) != claimed_first
    assert store.find_key_set(GITHUB) == StoredKeySet(KEYS, NOW)


def test_a_claim_by_a_clock_that_is_far_ahead_does_not_hold_for_ever(store: Store) -> None:
    store.claim_key_set_refresh(GITHUB, NOW + timedelta(days=400), COOLDOWN)

    assert store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN)
    assert not store.claim_key_set_refresh(GITHUB, NOW, COOLDOWN)
