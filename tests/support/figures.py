"""Figures of a run: how much its tests tried. The summary at the end prints them.

A plugin of pytest. With ``-n``, each process counts what its own tests try, and sends that to the
process that prints the summary, so the figures are the same however many processes there are.
"""

from collections import Counter
from typing import Any, Final

import pytest

# Each subject counts for itself; these three are of tests/fuzz, the first of tests/faults.
FAULTS: Final[Counter[str]] = Counter()
INPUTS: Final[Counter[str]] = Counter()
WHEELS: Final[Counter[str]] = Counter()
SDISTS: Final[Counter[str]] = Counter()
# What a project's page costs in read units, by the number of its files.
PAGES: Final[Counter[str]] = Counter()
# What the short soak of tests/soak did, and what it found.
SOAK: Final[Counter[str]] = Counter()
# What tests/model has searched; a depth counts how many scenarios have it.
MODEL: Final[Counter[str]] = Counter()
_ALL: Final = {
    "faults": FAULTS,
    "inputs": INPUTS,
    "wheels": WHEELS,
    "sdists": SDISTS,
    "pages": PAGES,
    "soak": SOAK,
    "model": MODEL,
}

# The catalogues: what their tests are called in the summary. A test of an attack stands beside its
# subject, with the marker of its row.
_ATTACKS: Final = "attacks"
_CATALOGUES: Final = {
    "test_tenancy.py": "tenants against each other",
    "test_protocol_cases.py": "protocol cases",
    "test_provider_entries.py": "claims",
    "test_rules.py": "claims",
    "test_job_rules.py": "claims",
    "test_provider_rules.py": "claims",
    "test_pypi_cases.py": "claims",
    "test_diagnosis.py": "claims",
}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the figures of a worker to the process that started it."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["figures"] = {name: dict(figures) for name, figures in _ALL.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the figures that a worker has sent; one that crashed has sent none."""
    for name, figures in getattr(node, "workeroutput", {}).get("figures", {}).items():
        _ALL[name].update(figures)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried."""
    figures = (*_faults(), *_model(), *_pages(), *_soak(), *_fuzz())
    for line in (*_cases(terminalreporter), *figures):
        terminalreporter.write_line(line)


def _cases(terminalreporter: pytest.TerminalReporter) -> list[str]:
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            file = report.nodeid.partition("::")[0].rpartition("/")[2]
            what = _ATTACKS if "row" in report.keywords else _CATALOGUES.get(file)
            if what is not None:
                tried[what] += 1
                failed[what] += outcome == "failed"
    figures = [
        f"{tried[w]} {w} ({failed[w]} failed)"
        for w in dict.fromkeys([_ATTACKS, *_CATALOGUES.values()])
        if tried[w]
    ]
    return ["cases: " + ", ".join(figures)] if figures else []


def _faults() -> list[str]:
    figures = ", ".join(f"{count} {name}" for name, count in sorted(FAULTS.items()))
    return [f"faults: {figures}"] if figures else []


def _pages() -> list[str]:
    figures = "; ".join(f"{name}: {units:,}" for name, units in PAGES.items())
    return [f"read units of a page: {figures}"] if figures else []


def _soak() -> list[str]:
    figures = ", ".join(f"{count} {name}" for name, count in SOAK.items())
    return [f"soak: {figures}"] if figures else []


def _model() -> list[str]:
    if not MODEL["states"]:
        return []
    depth = max(int(name.split()[1]) for name in MODEL if name.startswith("depth "))
    named = sorted(name for name in MODEL if not name.startswith("depth "))
    figures = [f"{MODEL[name]:,} {name}" for name in named]
    return [f"model: {', '.join(figures)}, depth {depth}"]


def _fuzz() -> list[str]:
    lines = []
    if INPUTS:
        statuses = ", ".join(f"{n} of {status}" for status, n in sorted(INPUTS.items()))
        lines.append(f"fuzz: {INPUTS.total()} inputs: {statuses}")
    if WHEELS:
        lines.append(
            f"fuzz: {WHEELS['built']} changed wheels, of which {WHEELS['read alike']} were "
            "accepted; zipfile, unzip and uv read each of these alike"
        )
    if SDISTS:
        from tests.support.sdists import UNPACKERS  # which counts here

        lines.append(
            f"fuzz: {SDISTS['built']} sdists with links, of which {SDISTS['accepted']} were "
            f"accepted; {', '.join(UNPACKERS)} unpacked each of these alike"
        )
    return lines
