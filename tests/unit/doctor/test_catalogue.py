"""The catalogue of checks: its page lists the same, and every flaw is seeded in a test."""

import re
from itertools import chain
from pathlib import Path

import pytest

from pytp_broker.doctor.catalogue import CHECKS, ENTRANCES
from pytp_broker.doctor.checks import Check, Entrance
from pytp_broker.doctor.findings import Finding, Flaw, Outcome
from pytp_broker.doctor.runner import COMMON

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/doctor.md").read_text()
ROWS = re.findall(
    r"^\| `?([a-z -]+)`? \| ([✗!]) `([a-z-]+)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE
)
EVERY: list[Entrance | Check] = [*ENTRANCES, *CHECKS]
FLAWS = [*chain.from_iterable(each.flaws for each in EVERY), *COMMON]


def written(flaw: Flaw) -> str:
    """Return a cure with its placeholders in capitals, as the page has it."""
    return Finding("", flaw.outcome, "", flaw.cure).named("", {}).cure


def test_the_page_lists_every_check_and_what_it_finds() -> None:
    listed = [(check.name, flaw.name) for check in EVERY for flaw in check.flaws]
    listed += [("any of these", flaw.name) for flaw in COMMON]

    assert sorted((check, name) for check, _, name, _, _ in ROWS) == sorted(listed)


def test_the_page_says_what_is_a_fault_and_the_same_cure() -> None:
    marks = {Outcome.FAULT: "✗", Outcome.WARNING: "!"}

    shown = {name: (mark, cure) for _, mark, name, _, cure in ROWS}

    assert shown == {flaw.name: (marks[flaw.outcome], written(flaw)) for flaw in FLAWS}


def test_a_name_stands_for_one_flaw() -> None:
    names = {flaw.name: flaw for flaw in FLAWS}

    assert all(names[flaw.name] == flaw for flaw in FLAWS)
    checks = [each.name for each in EVERY]
    assert len(checks) == len({*checks})


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.name)
def test_a_check_asks_a_question(check: Entrance | Check) -> None:
    assert check.title.endswith("?")


def test_every_flaw_is_seeded_in_a_test() -> None:
    files = (ROOT / "tests").rglob("test_*doctor*.py"), (ROOT / "tests/unit/doctor").glob("*.py")
    text = "".join(path.read_text() for path in chain(*files) if path != Path(__file__))

    assert {flaw.name for flaw in FLAWS if f'"{flaw.name}"' not in text} == set()
