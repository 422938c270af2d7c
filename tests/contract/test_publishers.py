"""What the exchange asks: list_publishers and pin_publisher."""

from pytp_broker.storage.protocols import Store
from tests.support.samples import OTHER_ISSUER, configuration, for_repository, publisher

OWNER = {"repository_owner_id": "9919"}


def test_publishers_of_all_registries_are_listed_by_identity_key(store: Store) -> None:
    here, there = publisher(), publisher("id-2", registry="other", projects=("gizmos",))
    narrower = for_repository("Octo-Org/Widgets", "id-3")
    store.apply(configuration(), [here, there, narrower])

    found = store.list_publishers(here.identity_key)

    assert sorted(found, key=lambda p: p.publisher_id) == [here, there, narrower]


def test_publishers_with_another_identity_key_are_not_listed(store: Store) -> None:
    others = [for_repository("octo-org/b", "id-2"), publisher("id-3", issuer=OTHER_ISSUER.url)]
    store.apply(configuration(), others)

    assert list(store.list_publishers(publisher().identity_key)) == []


def test_the_first_use_pins(store: Store) -> None:
    store.apply(configuration(), [publisher()])

    assert store.pin_publisher(publisher(), OWNER) == OWNER

    assert list(store.list_publishers(publisher().identity_key)) == [publisher(pins=OWNER)]


def test_who_pins_second_is_told_the_pins_of_the_first(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.pin_publisher(publisher(), OWNER)

    assert store.pin_publisher(publisher(), {"repository_owner_id": "666"}) == OWNER

    assert list(store.list_publishers(publisher().identity_key)) == [publisher(pins=OWNER)]


def test_an_id_that_is_not_pinned_yet_joins_those_that_are(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.pin_publisher(publisher(), OWNER)

    in_force = store.pin_publisher(
        publisher(), {"repository_owner_id": "666", "repository_id": "70107786"}
    )

    assert in_force == OWNER | {"repository_id": "70107786"}


def test_pinning_nothing_returns_the_pins_in_force(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.pin_publisher(publisher(), OWNER)

    assert store.pin_publisher(publisher(), {}) == OWNER


def test_pins_belong_to_one_publisher(store: Store) -> None:
    other = for_repository("octo-org/widgets", "id-2")
    store.apply(configuration(), [publisher(), other])

    store.pin_publisher(publisher(), OWNER)

    found = {p.publisher_id: p.pins for p in store.list_publishers(other.identity_key)}
    assert found == {"id-1": OWNER, "id-2": {}}


def test_a_publisher_that_never_was_is_not_pinned(store: Store) -> None:
    assert store.pin_publisher(publisher(), OWNER) is None

    assert list(store.list_publishers(publisher().identity_key)) == []


def test_a_removed_publisher_does_not_come_back_by_a_pin(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.apply(configuration(), [])

    assert store.pin_publisher(publisher(), OWNER) is None

    assert list(store.list_publishers(publisher().identity_key)) == []


def test_a_publisher_that_was_removed_and_added_anew_is_not_pinned_by_its_past(
    store: Store,
) -> None:
    store.apply(configuration(), [publisher()])
    store.apply(configuration(), [])
    store.apply(configuration(), [publisher("id-2")])

    assert store.pin_publisher(publisher(), OWNER) is None

    assert list(store.list_publishers(publisher().identity_key)) == [publisher("id-2")]
