"""What the tests of `verify` share: a registry, and a way to ask it."""

import pytest

from tests.support.proofs import SigningRegistry


@pytest.fixture
def registry() -> SigningRegistry:
    return SigningRegistry()
