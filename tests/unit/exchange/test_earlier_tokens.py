"""Identity tokens from before a time that the operator has set, as after a restore."""

from datetime import timedelta

import pytest

from pytp_broker.storage.cache import CONFIGURATION_MAX_AGE_SECONDS
from tests.support.configurations import github_publisher, github_reader, registry
from tests.support.world import World, assert_refused

SECOND = timedelta(seconds=1)


def end_earlier_tokens(world: World) -> None:
    """Set the time of now, and let the caches end that do not know it."""
    world.store.refuse_identity_tokens(world.now)
    world.now += timedelta(seconds=CONFIGURATION_MAX_AGE_SECONDS)


@pytest.mark.promise("restored-store")
def test_an_identity_token_from_before_the_time_is_refused(world: World) -> None:
    earlier = world.token(iat=world.now.timestamp() - 0.5)

    end_earlier_tokens(world)

    refused = assert_refused(world, earlier)
    assert "was issued before 20" in refused.json["detail"]
    assert refused.json["detail"].endswith("run the job again")


@pytest.mark.promise("restored-store")
def test_an_identity_token_from_before_the_time_pins_nothing(world: World) -> None:
    world.configure(registry("acme", github_publisher("widgets")))
    earlier = world.token(iat=world.now.timestamp() - 1)
    end_earlier_tokens(world)

    world.mint(earlier)

    (publisher,) = world.store.publishers.values()
    assert publisher.pins == {}


def test_an_identity_token_from_the_time_on_is_exchanged(world: World) -> None:
    since = world.now.timestamp()
    end_earlier_tokens(world)

    assert world.mint(world.token(iat=since)).status == 200


def test_an_earlier_identity_token_does_not_read_either(world: World) -> None:
    world.configure(registry("acme", github_reader()))
    earlier = world.token(iat=world.now.timestamp() - 1)
    end_earlier_tokens(world)

    assert world.mint_to_read(earlier).code == "invalid-token"
