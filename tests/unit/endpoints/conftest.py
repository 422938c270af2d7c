"""What the tests of Upload API 2.0 share."""

import pytest

from tests.support.shelf import Shelf
from tests.support.uploading import Uploader


@pytest.fixture
def client() -> Uploader:
    """Return a client of an index in memory, with nothing published."""
    return Uploader(Shelf())
