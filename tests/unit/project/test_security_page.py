"""docs/security-model.md: tests hold each of its sentences, which they name in a marker."""

import re
from pathlib import Path

import pytest

from tests.support.markers import marked_with

ROOT = Path(__file__).parents[3]
SHORT = (ROOT / "SECURITY.md").read_text()
MODEL = (ROOT / "docs" / "security-model.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", MODEL, re.MULTILINE | re.DOTALL))
# The parts of the model, and the least number of sentences in each. To remove one is a decision.
PARTS = {"What we assume": 8, "What we prevent": 60, "What we do not prevent": 21}
NAMES = {part: re.findall(r"^- `([a-z-]+)`: ", SECTIONS[part], re.MULTILINE) for part in PARTS}
EVERY = [name for names in NAMES.values() for name in names]


@pytest.mark.parametrize("name", EVERY)
def test_a_sentence_is_held_by_a_test(name: str) -> None:
    assert marked_with("promise").get(name), f'no test has @pytest.mark.promise("{name}")'


def test_every_marker_names_a_sentence() -> None:
    assert marked_with("promise").keys() <= set(EVERY)


def test_no_two_sentences_have_one_name() -> None:
    assert len(set(EVERY)) == len(EVERY)


def test_the_page_says_all_that_a_model_says() -> None:
    for part, least in PARTS.items():
        lines = [line for line in SECTIONS[part].splitlines() if line]
        assert len(NAMES[part]) >= least
        assert sum(line.startswith("- ") for line in lines) == len(NAMES[part]), "one has no name"
        assert all(line.startswith(("- ", "  ", "#")) for line in lines), "a sentence beside"


def test_the_short_page_says_how_to_report_and_leads_to_the_model() -> None:
    assert "private security advisory" in SHORT
    assert "(docs/security-model.md)" in SHORT
    assert len(SHORT.splitlines()) < 50
