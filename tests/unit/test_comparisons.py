"""Comparisons between what a publisher expects and what a signed claim says."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.comparisons import fold, is_glob_match, is_led_by

TEXTS = st.text(alphabet="ab*/:@#.", max_size=12)


def oracle(pattern: str, text: str) -> bool:
    """Say the same by a regular expression, which is fine for texts as short as these."""
    expression = "".join("[^/:@#]*" if c == "*" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("refs/tags/v*", "refs/tags/v1.2", True),
        ("refs/tags/v*", "refs/tags/", False),
        ("refs/tags/v*", "refs/tags/v1/x", False),
        ("refs/*/v*", "refs/tags/v1", True),
        ("v*.*", "v1.2", True),
        ("v*.*.*", "v1.2", False),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "aXcYb", False),
        ("ab*ba", "aba", False),
        ("*b*b*", "abab", True),
        ("*b*b*", "aba", False),
        ("*", "", True),
        ("*", "x\n", True),
        ("x", "X", False),
        (".*", "xy", False),
    ],
)
def test_a_star_stands_for_one_stretch_between_delimiters(
    pattern: str, text: str, *, matches: bool
) -> None:
    assert is_glob_match(pattern, text) == matches


@given(TEXTS, TEXTS)
def test_a_glob_matches_what_it_means(pattern: str, text: str) -> None:
    assert is_glob_match(pattern, text) == oracle(pattern, text)


@given(TEXTS)
def test_every_text_matches_itself_with_any_stretch_starred(text: str) -> None:
    assert is_glob_match(re.sub("[ab.]+", "*", text), text)


@pytest.mark.parametrize("text", ["\u212a", "\u0130", "\u017f", "\uff21", "\u00c4"])
def test_only_ascii_letters_are_folded(text: str) -> None:
    assert fold(f"A{text}") == f"a{text}"


@pytest.mark.parametrize(
    ("seen", "leads"), [("org", True), ("org:x", True), ("org-x", False), ("xorg:", False)]
)
def test_a_text_leads_another_up_to_a_colon(seen: str, *, leads: bool) -> None:
    assert is_led_by("org", seen) == leads
