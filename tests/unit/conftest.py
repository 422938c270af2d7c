"""What the unit tests share."""

import pytest

from tests.support.world import World


@pytest.fixture
def world() -> World:
    """Return a broker in memory, with two registries that trust octo-org/widgets at GitHub."""
    return World()
