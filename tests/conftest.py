"""Fixtures that every test may ask for, and what a run has tried, in one line."""

from collections import Counter
from typing import Final

import pytest

pytest_plugins = ["tests.emulator"]

# The catalogues: what their tests are called in the summary.
CATALOGUES: Final = {
    "test_attacks.py": "attacks",
    "test_providers.py": "claims",
    "test_protocol_cases.py": "protocol cases",
    "test_tenancy.py": "tenants against each other",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            what = CATALOGUES.get(report.nodeid.partition("::")[0].rpartition("/")[2])
            if what is not None:
                tried[what] += 1
                failed[what] += outcome == "failed"
    if tried:
        figures = (f"{tried[what]} {what} ({failed[what]} failed)" for what in tried)
        terminalreporter.write_line("cases: " + ", ".join(figures))
