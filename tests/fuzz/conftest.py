"""The functions under test, and how much was tried on them."""

import pytest

from tests.fuzz import readers
from tests.fuzz.subject import FIGURES, Subject
from tests.support import sdists


@pytest.fixture(scope="session")
def subject() -> Subject:
    """Return the functions under test; every refusal leaves them as they were."""
    return Subject()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried."""
    if FIGURES:
        statuses = ", ".join(f"{n} of {status}" for status, n in sorted(FIGURES.items()))
        terminalreporter.write_line(f"fuzz: {sum(FIGURES.values())} inputs: {statuses}")
    if readers.FIGURES:
        built, alike = readers.FIGURES["built"], readers.FIGURES["read alike"]
        terminalreporter.write_line(
            f"fuzz: {built} changed wheels, of which {alike} were accepted; zipfile, unzip and uv "
            "read each of these alike"
        )
    if sdists.FIGURES:
        built, accepted = sdists.FIGURES["built"], sdists.FIGURES["accepted"]
        terminalreporter.write_line(
            f"fuzz: {built} sdists with links, of which {accepted} were accepted; "
            f"{', '.join(sdists.UNPACKERS)} unpacked each of these alike"
        )
