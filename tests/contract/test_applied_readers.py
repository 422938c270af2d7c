"""Readers in a store: listed by their own key, pinned, changed and removed as publishers are."""

from dataclasses import replace

from pytp_broker.grants import Grant, Permission
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Store
from tests.support.samples import OTHER, configuration, publisher, reader, record

OWNER = {"repository_owner_id": "9919"}


def test_an_applied_reader_is_listed_by_its_key_and_no_publisher_is(store: Store) -> None:
    store.apply(configuration(), [publisher(), reader()])

    (found,) = store.list_publishers(reader().identity_key)

    assert found == reader()
    assert found.permission is Permission.READ
    assert list(store.list_publishers(publisher().identity_key)) == [publisher()]


def test_a_reader_keeps_its_id_and_its_pins(store: Store) -> None:
    store.apply(configuration(), [reader()])
    assert store.pin_publisher(reader(), OWNER) == OWNER

    plan = store.apply(configuration(), [reader("reader-2")])

    assert plan.lines == ()
    assert list(store.list_publishers(reader().identity_key)) == [reader(pins=OWNER)]


def test_a_reader_whose_rules_change_keeps_the_pins_and_is_no_loss(store: Store) -> None:
    store.apply(configuration(), [reader()])
    store.pin_publisher(reader(), OWNER)
    changed = reader("reader-2", fields={"owner": "octo-org", "environment": "ci"})

    plan = store.apply(configuration(), [changed])

    assert plan.losses == ()
    assert list(store.list_publishers(reader().identity_key)) == [replace(changed, pins=OWNER)]


def test_a_removed_reader_is_a_loss_and_is_gone(store: Store) -> None:
    store.apply(configuration(), [publisher(), reader()])

    plan = store.apply(configuration(), [publisher()])

    assert [step.line for step in plan.losses] == ["- reader acme github octo-org"]
    assert list(store.list_publishers(reader().identity_key)) == []
    assert store.pin_publisher(reader(), OWNER) is None


def test_a_registry_trusts_its_readers_and_no_project_does(store: Store) -> None:
    store.apply(configuration(), [publisher(), reader()])

    trust = store.list_trust([("acme", WHOLE_REGISTRY), ("acme", "widgets")])

    assert trust["acme", WHOLE_REGISTRY].keys() == {"id-1", "reader-1"}
    assert trust["acme", "widgets"].keys() == {"id-1"}


def test_a_registry_does_not_trust_a_removed_reader(store: Store) -> None:
    grant = Grant("acme", None, Permission.READ, {"reader-1": 0})
    kept = record(grants=(grant,), projects={})
    store.apply(configuration(), [reader()])
    store.add_token(kept)
    trusting = store.find_token(kept.lookup_id, ("acme", WHOLE_REGISTRY))
    store.apply(configuration(), [])

    found = store.find_token(kept.lookup_id, ("acme", WHOLE_REGISTRY))

    assert trusting is not None
    assert dict(trusting[1]) == {"reader-1": 0}
    assert found is not None
    assert dict(found[1]) == {}


def test_a_read_token_is_kept_with_its_right(store: Store) -> None:
    grant = Grant("acme", None, Permission.READ, {"reader-1": 0})
    kept = record(grants=(grant,), projects={})

    store.add_token(kept)

    assert store.find_token(kept.lookup_id, None) == (kept, {})


def test_a_reader_of_one_registry_is_not_one_of_the_other(store: Store) -> None:
    there = reader("reader-2", registry=OTHER.name)
    store.apply(configuration(), [reader(), there])

    store.apply(configuration(), [there])

    assert list(store.list_publishers(there.identity_key)) == [there]


def test_a_reader_is_told_in_a_line(store: Store) -> None:
    plan = store.apply(configuration(), [reader()])

    assert "+ reader acme github octo-org" in plan.lines
