"""The public keys of receipts in the store: all are kept, and of two writers one wins."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.storage.protocols import Store
from tests.support.receipt_signing import make_private_key, receipt_key_of
from tests.support.samples import NOW, configuration, receipt_key

KEY = receipt_key(not_before=NOW + timedelta(microseconds=123456))
LATER = receipt_key_of(make_private_key("later"), NOW + timedelta(days=1))


def test_a_new_broker_has_none(store: Store) -> None:
    assert list(store.list_receipt_keys()) == []


def test_a_key_is_listed_with_all_it_says(store: Store) -> None:
    revoked = KEY.ended(NOW).revoked(NOW + timedelta(hours=1), "the laptop ☂ is gone")

    assert store.save_receipt_key(revoked, None)

    assert list(store.list_receipt_keys()) == [revoked]


def test_keys_are_listed_from_the_oldest_to_the_newest(store: Store) -> None:
    store.save_receipt_key(LATER, None)
    store.save_receipt_key(KEY, None)

    assert list(store.list_receipt_keys()) == [KEY, LATER]


def test_a_key_is_replaced_by_who_knows_the_present_one(store: Store) -> None:
    store.save_receipt_key(KEY, None)
    store.save_receipt_key(LATER, None)

    assert store.save_receipt_key(KEY.ended(NOW), KEY)

    assert list(store.list_receipt_keys()) == [KEY.ended(NOW), LATER]


def test_a_key_is_not_replaced_by_who_knows_another_one(store: Store) -> None:
    store.save_receipt_key(KEY, None)
    revoked = KEY.revoked(NOW, "lost")

    assert not store.save_receipt_key(revoked, None)
    assert not store.save_receipt_key(revoked, KEY.ended(NOW))

    assert list(store.list_receipt_keys()) == [KEY]


def test_a_key_that_is_not_there_is_not_replaced(store: Store) -> None:
    assert not store.save_receipt_key(KEY.ended(NOW), KEY)

    assert list(store.list_receipt_keys()) == []


def test_a_call_that_is_tried_again_finds_what_it_has_stored(store: Store) -> None:
    assert store.save_receipt_key(KEY, None)
    assert store.save_receipt_key(KEY, None)
    ended = KEY.ended(NOW)
    assert store.save_receipt_key(ended, KEY)
    assert store.save_receipt_key(ended, KEY)


def test_of_many_that_change_a_key_at_once_one_wins(racing_store: Store) -> None:
    store = racing_store
    store.save_receipt_key(KEY, None)
    changed = [KEY.revoked(NOW, f"reason {number}") for number in range(8)]

    def save(key: ReceiptKey) -> bool:
        return store.save_receipt_key(key, KEY)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(save, changed))

    (won,) = [key for key, is_stored in zip(changed, results, strict=True) if is_stored]
    assert list(store.list_receipt_keys()) == [won]


def test_apply_leaves_the_keys_alone(store: Store) -> None:
    store.save_receipt_key(KEY, None)

    store.apply(configuration(), [])
    store.apply(replace(configuration(), registries={}), [])

    assert list(store.list_receipt_keys()) == [KEY]
