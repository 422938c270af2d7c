"""What the exchange and the token check need: add_token, find_token, burn_token."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pytp_broker.grants import Trust
from pytp_broker.storage.protocols import AlreadyExchangedError, Store
from pytp_broker.tokens import TokenRecord
from tests.support.samples import NOW, configuration, for_repository, publisher, record

LATER = NOW + timedelta(minutes=1)
NO_ONE: Trust = {}


@pytest.fixture
def store(token_store: Store) -> Store:
    return token_store


def find(store: Store, lookup_id: str = record().lookup_id) -> TokenRecord | None:
    found = store.find_token(lookup_id, ("acme", "widgets"))
    return found[0] if found else None


def burn(
    store: Store,
    lookup_id: str = record().lookup_id,
    token_hash: str = record().token_hash,
    registry: str | None = None,
    now: datetime = LATER,
) -> bool:
    return store.burn_token(lookup_id, token_hash, registry, now)


def test_a_stored_token_is_found_with_all_it_says(store: Store) -> None:
    store.add_token(record())

    assert store.find_token(record().lookup_id, ("acme", "widgets")) == (record(), NO_ONE)


def test_an_unknown_token_is_not_found_though_the_project_trusts_someone(store: Store) -> None:
    store.apply(configuration(), [publisher()])

    assert store.find_token(record().lookup_id, ("acme", "widgets")) is None


def test_a_token_is_found_with_the_publishers_that_its_project_trusts_now(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.add_token(record())
    assert store.find_token(record().lookup_id, ("acme", "widgets")) == (
        record(),
        {"id-1": 0},
    )

    store.apply(configuration(), [])

    assert store.find_token(record().lookup_id, ("acme", "widgets")) == (record(), NO_ONE)


def test_a_token_is_found_without_a_place_and_then_without_publishers(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.add_token(record())

    assert store.find_token(record().lookup_id, None) == (record(), NO_ONE)
    assert store.find_token("f" * 32, None) is None


def test_the_publishers_that_projects_trust_are_listed_together(store: Store) -> None:
    store.apply(
        configuration(),
        [publisher(projects=("widgets", "gadgets")), for_repository("octo-org/more", "id-2")],
    )

    trust = store.list_trust(
        [("acme", "widgets"), ("acme", "gadgets"), ("other", "widgets"), ("acme", "nothing")]
    )

    assert trust["acme", "widgets"] == {"id-1": 0, "id-2": 0}
    assert trust["acme", "gadgets"] == {"id-1": 0}
    assert not trust.get(("other", "widgets"))
    assert not trust.get(("acme", "nothing"))


def test_trust_that_has_ended_is_not_listed(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.apply(configuration(), [])

    assert not store.list_trust([("acme", "widgets")]).get(("acme", "widgets"))


def test_the_trust_of_more_projects_than_one_request_takes_is_listed(store: Store) -> None:
    projects = tuple(f"project-{number}" for number in range(101))
    store.apply(configuration(), [publisher(projects=projects)])

    trust = store.list_trust([("acme", project) for project in projects])

    assert trust == {("acme", project): {"id-1": 0} for project in projects}


def test_the_trust_of_no_project_is_nothing(store: Store) -> None:
    assert store.list_trust([]) == {}


def test_an_expired_token_is_found_for_expiry_is_the_callers_to_check(store: Store) -> None:
    long_ago = NOW - timedelta(days=30)
    expired = record(issued_at=long_ago, expires_at=long_ago, kept_until=long_ago)

    store.add_token(expired)

    assert find(store) == expired


def test_an_identity_token_is_exchanged_only_once(store: Store) -> None:
    store.add_token(record())

    with pytest.raises(AlreadyExchangedError):
        store.add_token(record("other secret"))

    assert find(store) == record()


def test_a_retried_write_recognises_its_first_attempt(store: Store) -> None:
    store.add_token(record())

    store.add_token(record())

    assert find(store) == record()


def test_other_identity_tokens_are_not_touched(store: Store) -> None:
    other = record("other secret", lookup_id="f" * 32)
    store.add_token(record())

    store.add_token(other)

    assert find(store) == record()
    assert find(store, other.lookup_id) == other


@pytest.mark.parametrize("late", [timedelta(0), timedelta(minutes=-20)])
def test_a_record_blocks_until_its_time_is_past(store: Store, late: timedelta) -> None:
    store.add_token(record())

    with pytest.raises(AlreadyExchangedError):
        store.add_token(record("other secret", issued_at=record().kept_until + late))


def test_a_record_past_its_time_counts_as_gone(store: Store) -> None:
    store.add_token(record())
    burn(store)
    later = record().kept_until + timedelta(seconds=1)
    successor = record("other secret", issued_at=later, kept_until=later + timedelta(minutes=20))

    store.add_token(successor)

    assert find(store) == successor


def test_a_burned_token_says_when(store: Store) -> None:
    store.add_token(record())

    assert burn(store) is True

    assert find(store) == replace(record(), burned_at=LATER)


def test_a_token_is_burned_once(store: Store) -> None:
    store.add_token(record())
    burn(store)

    assert burn(store, now=LATER + timedelta(minutes=1)) is False

    assert find(store) == replace(record(), burned_at=LATER)


def test_a_burned_token_still_marks_its_identity_token_used(store: Store) -> None:
    store.add_token(record())
    burn(store)

    with pytest.raises(AlreadyExchangedError):
        store.add_token(record("other secret"))


def test_an_unknown_token_is_not_burned(store: Store) -> None:
    assert burn(store) is False

    assert find(store) is None


def test_a_token_with_another_hash_is_not_burned(store: Store) -> None:
    store.add_token(record())

    assert burn(store, token_hash="hash of other secret") is False

    assert find(store) == record()


@pytest.mark.parametrize("registry", ["acme", "other", None])
def test_a_token_is_burned_at_every_registry_of_its_scope(
    store: Store, registry: str | None
) -> None:
    store.add_token(record())

    assert burn(store, registry=registry) is True


@pytest.mark.parametrize("registry", ["third", "acm", ""])
def test_a_token_is_not_burned_at_a_registry_beyond_its_scope(store: Store, registry: str) -> None:
    store.add_token(record())

    assert burn(store, registry=registry) is False

    assert find(store) == record()


FILE = "acme/widgets-1.0.tar.gz#5c7f"
OTHER_FILE = "acme/widgets-1.0.tar.gz#0000"


def use(store: Store, file: str = FILE) -> bool:
    return store.use_token(record(), file)


def test_a_token_is_used_for_one_file(store: Store) -> None:
    store.add_token(record())

    assert use(store) is True

    assert find(store) == replace(record(), used_for=FILE)


def test_a_used_token_may_be_used_for_the_same_file_again(store: Store) -> None:
    store.add_token(record())
    use(store)

    assert use(store) is True


def test_a_used_token_is_not_used_for_another_file(store: Store) -> None:
    store.add_token(record())
    use(store)

    assert use(store, OTHER_FILE) is False

    assert find(store) == replace(record(), used_for=FILE)


def test_the_use_of_a_token_past_its_time_counts_as_gone(store: Store) -> None:
    store.add_token(record())
    use(store)
    later = record().kept_until + timedelta(seconds=1)
    successor = record("other secret", issued_at=later, kept_until=later + timedelta(minutes=20))
    store.add_token(successor)

    assert find(store) == successor
    assert store.use_token(successor, OTHER_FILE) is True


def test_a_token_for_nothing_is_stored_all_the_same(store: Store) -> None:
    store.add_token(record(grants=(), projects={}))

    assert find(store) == record(grants=(), projects={})
    assert burn(store, registry="acme") is False
