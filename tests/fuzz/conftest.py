"""How long to fuzz: a few seconds, always the same; or as long as `make fuzz` wants, always new."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.subject import FIGURES, Subject

_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}
_SHORT = settings(max_examples=300, derandomize=True, database=None, **_COMMON)  # type: ignore[arg-type]
_LONG = settings(max_examples=int(os.environ.get("EXAMPLES", "10000")), **_COMMON)  # type: ignore[arg-type]

settings.register_profile("pytp-short", _SHORT)
settings.register_profile("pytp-long", _LONG)
settings.load_profile(os.environ.get("PYTP_FUZZ_PROFILE", "pytp-short"))


@pytest.fixture(scope="session")
def subject() -> Subject:
    """Return the functions under test; every refusal leaves them as they were."""
    return Subject()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried."""
    if FIGURES:
        statuses = ", ".join(f"{n} of {status}" for status, n in sorted(FIGURES.items()))
        terminalreporter.write_line(f"fuzz: {sum(FIGURES.values())} inputs: {statuses}")
