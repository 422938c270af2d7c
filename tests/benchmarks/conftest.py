"""The table of goals: each benchmark notes its figures, and the table is printed at the end."""

from typing import Final

import pytest

from tests.benchmarks.goals import Goals

_GOALS: Final = Goals()


@pytest.fixture
def goals() -> Goals:
    """Return what takes down a figure beside its goal."""
    return _GOALS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the goals that were measured, and keep the figures for the next run."""
    if _GOALS.measured:
        terminalreporter.section("goals")
        terminalreporter.write_line(_GOALS.table())
        _GOALS.save()
