"""The functions under test."""

import pytest

from tests.fuzz.subject import Subject


@pytest.fixture
def subject() -> Subject:
    """Return the functions under test, untouched by any other test."""
    return Subject()
