"""Immutable ids: the first exchange pins those of a publisher, and no other id is exchanged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.configurations import github_publisher, registry
from tests.support.world import World, assert_refused

UNPINNED = registry("acme", github_publisher("widgets"), audience="acme")
PINNED = registry("acme", github_publisher("widgets", repository_owner_id="9919"), audience="acme")
OTHER_WORKFLOW = "octo-org/widgets/.github/workflows/other.yml@refs/tags/v1.2.0"


def refusal(world: World, **changes: Any) -> str:
    return assert_refused(world, world.token(**changes), "invalid-publisher").detail


def pins(world: World) -> Mapping[str, str]:
    (publisher,) = world.store.publishers.values()
    return publisher.pins


def test_immutable_ids_are_pinned_on_first_use() -> None:
    world = World(UNPINNED)

    assert world.mint(world.token()).status == 200

    assert pins(world) == {"repository_owner_id": "9919", "repository_id": "70107786"}


def test_given_ids_are_not_pinned() -> None:
    world = World(PINNED)

    world.mint(world.token())

    assert pins(world) == {"repository_id": "70107786"}


@pytest.mark.promise("renamed-owner")
@pytest.mark.parametrize("claim", ["repository_owner_id", "repository_id"])
def test_a_changed_id_is_refused_and_raises_its_own_alarm(claim: str) -> None:
    world = World(UNPINNED)
    world.mint(world.token())
    world.store.tokens.clear()
    world.records.clear()

    assert f"claim `{claim}` is `1111`" in refusal(world, **{claim: "1111"})

    (record,) = world.records
    assert record.reason == "immutable-id-changed"


def test_a_refused_exchange_pins_nothing() -> None:
    world = World(UNPINNED)

    refusal(world, job_workflow_ref=OTHER_WORKFLOW, workflow_ref=OTHER_WORKFLOW)

    assert pins(world) == {}


@pytest.mark.parametrize("text", ["\u0661\u0662", " 70107786", "7" * 300, "7\x1b[2J", "octo-org"])
def test_what_is_no_id_is_not_pinned(text: str) -> None:
    world = World(UNPINNED)

    assert "claim `repository_id` does not look like an immutable id" in refusal(
        world, repository_id=text
    )

    assert pins(world) == {}


def test_a_replay_pins_nothing() -> None:
    world = World(UNPINNED)
    token = world.token(repository_owner_id="1111")
    world.mint(token)
    world.configure('[[registries]]\nname = "acme"\naudience = "acme"')
    world.configure(UNPINNED)  # the operator has removed the old holder's pins
    world.start()

    assert world.mint(token).code == "invalid-reuse-token"

    assert pins(world) == {}
    assert world.mint(world.token()).status == 200


def test_pins_survive_a_new_configuration_of_the_same_publisher() -> None:
    world = World(UNPINNED)
    world.mint(world.token())

    world.configure(UNPINNED.replace('["widgets"]', '["widgets", "gadgets"]'))

    assert pins(world)["repository_owner_id"] == "9919"


def test_of_two_first_uses_with_different_ids_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(UNPINNED)
    world.mint(world.token())
    # The loser read the publisher before the winner pinned it.
    late = World(UNPINNED)
    stale = tuple(late.store.publishers.values())
    monkeypatch.setattr(world.store, "list_publishers", lambda _: stale)
    world.store.tokens.clear()
    (mine,) = world.store.publishers.values()
    (theirs,) = stale
    stale = (replace(theirs, publisher_id=mine.publisher_id),)

    answer = world.mint(world.token(repository_owner_id="1111"))

    assert (answer.status, answer.code) == (422, "invalid-publisher")
    assert pins(world)["repository_owner_id"] == "9919"


def test_a_publisher_removed_while_it_is_used_is_no_publisher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(UNPINNED)
    stale = tuple(world.store.publishers.values())
    world.configure('[[registries]]\nname = "acme"\naudience = "acme"')
    monkeypatch.setattr(world.store, "list_publishers", lambda _: stale)

    assert "no trusted publisher here matches" in refusal(world)
