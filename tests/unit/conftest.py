"""What the unit tests share."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from tests.support.emulator import make_client
from tests.support.world import World


@pytest.fixture
def world() -> World:
    """Return a broker in memory, with two registries that trust octo-org/widgets at GitHub."""
    return World()


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of a simulated KMS."""
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = make_client("kms")
        yield client
        client.close()
