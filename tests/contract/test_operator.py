"""What the operator's commands need: list_tokens, the records of what operators did."""

from dataclasses import replace
from datetime import timedelta

from pytp_broker.storage.protocols import Store
from tests.support.samples import NOW, configuration, file, operation, publisher, record

SECOND = timedelta(seconds=1)
OTHER = record("other secret", lookup_id="f" * 32, issued_at=NOW + SECOND)


def test_tokens_are_listed_by_time_of_issue(store: Store) -> None:
    store.add_token(OTHER)
    store.add_token(record())

    assert store.list_tokens(NOW) == [record(), OTHER]


def test_burned_and_used_tokens_are_listed_and_say_so(store: Store) -> None:
    for kept in (record(), OTHER):
        store.add_token(kept)
    store.use_token(record(), "acme/widgets-1.0.tar.gz#00")
    store.burn_token(OTHER.lookup_id, OTHER.token_hash, None, NOW)

    assert store.list_tokens(NOW) == [
        replace(record(), used_for="acme/widgets-1.0.tar.gz#00"),
        replace(OTHER, burned_at=NOW),
    ]


def test_expired_tokens_are_not_listed_though_their_records_are_kept(store: Store) -> None:
    store.add_token(record())

    assert store.list_tokens(record().expires_at - SECOND) == [record()]
    assert store.list_tokens(record().expires_at) == []
    assert store.list_tokens(record().kept_until + SECOND) == []


def test_nothing_else_is_taken_for_a_token(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.add_file(file())
    store.add_operator_record(operation(), NOW)

    assert store.list_tokens(NOW) == []


def test_many_tokens_are_listed(store: Store) -> None:
    kept = [record(f"secret {n}", lookup_id=f"{n:032x}") for n in range(120)]
    for each in kept:
        store.add_token(each)

    assert store.list_tokens(NOW) == kept


def test_what_operators_did_is_kept_in_order(store: Store) -> None:
    for number in range(3):
        store.add_operator_record(operation(f"+ registry {number}", by="me"), NOW + number * SECOND)

    assert store.list_operator_records() == [
        {
            "time": (NOW + number * SECOND).isoformat(),
            "event": "configuration",
            "outcome": "accepted",
            "reason": "",
            "change": f"+ registry {number}",
            "by": "me",
        }
        for number in range(3)
    ]


def test_the_newest_of_what_operators_did_come_first(store: Store) -> None:
    assert store.newest_operator_records(5) == []
    for number in range(3):
        store.add_operator_record(operation(f"+ registry {number}"), NOW + number * SECOND)

    found = [kept["change"] for kept in store.newest_operator_records(2)]

    assert found == ["+ registry 2", "+ registry 1"]


def test_two_records_of_one_moment_are_both_kept(store: Store) -> None:
    store.add_operator_record(operation("+ registry a"), NOW)
    store.add_operator_record(operation("+ registry b"), NOW)

    assert {kept["change"] for kept in store.list_operator_records()} == {
        "+ registry a",
        "+ registry b",
    }


def test_apply_and_tokens_leave_the_records_alone(store: Store) -> None:
    store.add_operator_record(operation(), NOW)

    store.apply(configuration(), [publisher()])
    store.apply(configuration(), [])

    assert len(store.list_operator_records()) == 1
