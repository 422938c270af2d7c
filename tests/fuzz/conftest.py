"""The functions under test."""

import pytest

from tests.fuzz.subject import Subject


@pytest.fixture
def subject() -> Subject:
    """Return the functions under test, as no other test has left them."""
    return Subject()
