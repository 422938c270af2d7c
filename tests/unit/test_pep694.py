"""Every sentence of `tests/cases/pep694.json` has a test, and every marker names a sentence."""

import json
from pathlib import Path

from tests.support.markers import marked_with

SENTENCES: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "cases" / "pep694.json").read_text("utf-8")
)["sentences"]


def test_every_sentence_has_a_test_and_every_marker_a_sentence() -> None:
    assert marked_with("pep694").keys() == SENTENCES.keys()
