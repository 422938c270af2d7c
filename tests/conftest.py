"""Fixtures that every test may ask for, and what a run has tried, in one line."""

import os
from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

pytest_plugins = ["tests.support.emulator"]

# The same examples in every run, whichever tests are run; or, for `make fuzz`, new ones each time,
# of which those that fail are kept.
COMMON: Final[dict[str, Any]] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("pytp-short", max_examples=300, derandomize=True, database=None, **COMMON)
settings.register_profile(
    "pytp-long",
    max_examples=int(os.environ.get("EXAMPLES", "10000")),
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    **COMMON,
)
settings.load_profile(os.environ.get("PYTP_FUZZ_PROFILE", "pytp-short"))

# Whatever a test talks to is on this machine: no proxy leads there, and a client of AWS without
# credentials is not to ask the machine's own cloud for some. Processes that tests start inherit it.
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

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
