"""SECURITY.md: what it says is prevented is held by tests, and these exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "SECURITY.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
# The parts of the model, and how many sentences each has at least: one that goes is a decision.
MODEL = {"What we assume": 7, "What we prevent": 35, "What we do not prevent": 11}
CLAIMS: list[tuple[str, str]] = [
    claim
    for part in MODEL
    for claim in re.findall(r"^- (.+)\n((?:  - .+\n)*)", SECTIONS[part], re.MULTILINE)
]


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize(("sentence", "tests"), CLAIMS, ids=[s for s, _ in CLAIMS])
def test_a_sentence_is_held_by_tests_that_exist(sentence: str, tests: str) -> None:
    names = re.findall(r"^  - `(.+?)::(.+?)`$", tests, re.MULTILINE)

    assert names, "no test"
    assert len(names) == len(tests.splitlines())
    for path, name in names:
        assert name in names_in(path)


def test_the_page_says_all_that_a_model_says() -> None:
    assert SECTIONS["Reporting a vulnerability"].strip()
    for part, least in MODEL.items():
        lines = [line for line in SECTIONS[part].splitlines() if not line.startswith("  - ")]
        assert sum(line.startswith("- ") for line in lines) >= least
        assert all(line.startswith(("- ", "#")) for line in lines if line), "no sentence beside"


def test_every_line_is_one_sentence() -> None:
    for line in PAGE.splitlines():
        text = re.sub(r"`.+?`|\*.+?\*", "x", line)
        assert not re.search(r"[.?!] [A-Z]", text), line
