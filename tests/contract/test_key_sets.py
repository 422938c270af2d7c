"""Where good key sets survive: find_key_set and save_key_set."""

from datetime import timedelta

from pytp_broker.keysets import StoredKeySet
from pytp_broker.store import Store
from tests.contract.samples import GITHUB, NOW

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
