"""Comparisons between what a publisher expects and what a signed claim says."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.globs import REF_GLOB, TEXT_GLOB, Glob, glob_for
from pytp_broker.trust.comparisons import fold, starts_with_segment
from pytp_broker.trust.providers import PROVIDERS

DOCS = Path(__file__).parents[3] / "docs"
TEXTS = st.text(alphabet="ab*/:@#.", max_size=12)


GLOBS = pytest.mark.parametrize("glob", [REF_GLOB, TEXT_GLOB], ids=["ref", "text"])


def oracle(glob: Glob, pattern: str, text: str) -> bool:
    """Compare with a regular expression, which is safe for texts as short as these."""
    expression = "".join(f"[^{glob.stops}]*" if c == "*" else re.escape(c) for c in pattern)
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
@GLOBS
def test_a_star_stands_for_one_stretch_between_delimiters(
    glob: Glob, pattern: str, text: str, *, matches: bool
) -> None:
    assert glob(pattern, text) == matches


@pytest.mark.parametrize(
    ("pattern", "text", "in_a_ref"),
    [
        ("refs/tags/*", "refs/tags/widgets@1.2.0", True),
        ("refs/tags/*", "refs/tags/a:b#c@d", True),
        ("refs/tags/widgets@*", "refs/tags/widgets@1.2.0", True),
        ("refs/tags/*@1.*", "refs/tags/widgets@1.2.0", True),
        ("refs/tags/*@2.*", "refs/tags/widgets@1.2.0", False),
        ("refs/tags/*", "refs/tags/widgets/1.2.0", False),
        ("refs/*", "refs/tags/v1", False),
        ("*", "refs/tags/v1", False),
        ("release#*", "release#7@x", True),
    ],
)
def test_the_name_of_a_branch_or_a_tag_has_no_separator_but_the_slash(
    pattern: str, text: str, *, in_a_ref: bool
) -> None:
    assert REF_GLOB(pattern, text) == in_a_ref
    assert TEXT_GLOB(pattern, text) == oracle(TEXT_GLOB, pattern, text)


@pytest.mark.parametrize(
    ("claim", "glob"),
    [
        *((name, REF_GLOB) for name in ("ref", "branch", "tag", "ref_path", "scm_ref", "base_ref")),
        *((name, REF_GLOB) for name in ("branchName", "build_tag", "x/vcs-ref", "a>tag_name")),
        *((name, TEXT_GLOB) for name in ("sub", "workflow_ref", "job_workflow_ref", "xref")),
        *((name, TEXT_GLOB) for name in ("ref_type", "refs", "ci_config_ref_uri", "tag:x", "")),
    ],
)
def test_a_claim_is_known_for_a_branch_or_a_tag_by_its_name(claim: str, glob: Glob) -> None:
    assert glob_for(claim) is glob


def test_every_field_with_a_glob_holds_a_branch_or_a_tag() -> None:
    fields = [f for p in PROVIDERS.values() for f in p.fields if f.is_glob]

    assert {f.compare for f in fields} == {REF_GLOB}
    assert {glob_for(f.claim) for f in fields} == {REF_GLOB}


@pytest.mark.parametrize(
    ("page", "globs"),
    [
        ("configuration.md", (REF_GLOB, TEXT_GLOB)),
        ("providers/generic.md", (REF_GLOB, TEXT_GLOB)),
        ("providers/index.md", (REF_GLOB,)),
        ("providers/github.md", (REF_GLOB,)),
        ("providers/buildkite.md", (REF_GLOB,)),
    ],
)
def test_the_pages_say_what_stops_a_star(page: str, globs: tuple[Glob, ...]) -> None:
    lines = [{*re.findall("`([^*])`", line)} for line in (DOCS / page).read_text().splitlines()]

    for glob in globs:
        assert {*glob.stops} in lines, glob.rule


@GLOBS
@given(TEXTS, TEXTS)
def test_a_glob_matches_what_it_means(glob: Glob, pattern: str, text: str) -> None:
    assert glob(pattern, text) == oracle(glob, pattern, text)


@GLOBS
@given(TEXTS)
def test_every_text_matches_itself_with_any_stretch_starred(glob: Glob, text: str) -> None:
    assert glob(re.sub("[ab.]+", "*", text), text)


@pytest.mark.parametrize("text", ["\u212a", "\u0130", "\u017f", "\uff21", "\u00c4"])
def test_only_ascii_letters_are_folded(text: str) -> None:
    assert fold(f"A{text}") == f"a{text}"


@pytest.mark.parametrize(
    ("seen", "leads"), [("org", True), ("org:x", True), ("org-x", False), ("xorg:", False)]
)
def test_a_text_leads_another_up_to_a_colon(seen: str, *, leads: bool) -> None:
    assert starts_with_segment("org", seen) == leads
