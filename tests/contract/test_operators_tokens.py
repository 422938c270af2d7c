"""Tokens that operators made: stored while their registry is there, and gone with it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.grants import Grant, Permission
from pytp_broker.making import Making
from pytp_broker.storage.protocols import Store
from pytp_broker.tokens import TokenRecord
from tests.support.samples import ACME, NOW, OTHER, configuration, publisher, record

YEAR = timedelta(days=365)
TO_READ = replace(
    record("made", lookup_id="a" * 32),
    issuer="",
    identity={},
    identity_key="",
    grants=(Grant("acme", None, Permission.READ, {}),),
    projects={},
    expires_at=NOW + YEAR,
    kept_until=NOW + YEAR + timedelta(minutes=1),
    made_by=Making("user olive", person="Dana"),
)


def find(store: Store, kept: TokenRecord = TO_READ) -> TokenRecord | None:
    found = store.find_token(kept.lookup_id, None)
    return found[0] if found else None


def test_a_token_that_an_operator_made_is_found_with_all_it_says(store: Store) -> None:
    store.apply(configuration(), [])

    assert store.add_operators_token(TO_READ)

    assert find(store) == TO_READ
    assert store.list_tokens(NOW) == [TO_READ]


def test_it_is_kept_until_it_ends_though_many_others_are_exchanged(store: Store) -> None:
    store.apply(configuration(), [])
    store.add_operators_token(TO_READ)

    late = NOW + YEAR - timedelta(seconds=1)
    store.add_token(record(issued_at=late, expires_at=late, kept_until=late))

    assert find(store) == TO_READ
    assert TO_READ in store.list_tokens(late)


def test_it_is_burned_as_any_other_in_its_registry_alone(token_store: Store) -> None:
    token_store.apply(configuration(), [])
    token_store.add_operators_token(TO_READ)

    assert not token_store.burn_token(TO_READ.lookup_id, TO_READ.token_hash, "other", NOW)
    assert token_store.burn_token(TO_READ.lookup_id, TO_READ.token_hash, "acme", NOW)

    assert find(token_store) == replace(TO_READ, burned_at=NOW)


@pytest.mark.promise("made-by-an-operator")
def test_it_is_not_stored_for_a_registry_that_is_not_there(store: Store) -> None:
    store.apply(configuration(OTHER), [])

    assert not store.add_operators_token(TO_READ)

    assert find(store) is None
    assert store.list_tokens(NOW) == []


@pytest.mark.promise("made-by-an-operator")
def test_it_is_gone_with_its_registry_and_does_not_come_back(store: Store) -> None:
    store.apply(configuration(ACME, OTHER), [publisher()])
    other = replace(
        TO_READ, lookup_id="b" * 32, grants=(Grant("other", None, Permission.READ, {}),)
    )
    for each in (TO_READ, other):
        assert store.add_operators_token(each)
    store.add_token(record())

    store.apply(configuration(OTHER), [])
    store.apply(configuration(ACME, OTHER), [publisher()])

    assert find(store) is None
    assert find(store, other) == other
    assert find(store, record()) == record(), "an exchanged token needs its publisher anyway"


def test_it_stays_when_anything_else_changes(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.add_operators_token(TO_READ)

    store.apply(configuration(replace(ACME, access="public"), OTHER, enabled=False), [])

    assert find(store) == TO_READ


def test_fifty_that_are_made_at_once_are_all_kept(store: Store) -> None:
    store.apply(configuration(), [])
    made = [replace(TO_READ, lookup_id=f"{n:032x}", token_hash=f"{n:064x}") for n in range(50)]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(store.add_operators_token, made))

    assert {each.token_hash for each in store.list_tokens(NOW)} == {e.token_hash for e in made}


def test_a_call_that_is_tried_again_finds_its_own_token(store: Store) -> None:
    store.apply(configuration(), [])

    assert store.add_operators_token(TO_READ)
    assert store.add_operators_token(TO_READ)

    assert store.list_tokens(NOW) == [TO_READ]
