"""What the tests of uploads and downloads share."""

import pytest

from tests.support.shelf import Shelf


@pytest.fixture
def shelf() -> Shelf:
    """Return an index in memory, with nothing published."""
    return Shelf()
