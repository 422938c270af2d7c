"""The tree of problems, and its page in the documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytp_broker import errors
from pytp_broker.errors import Problem
from pytp_broker.http.upload_api import CONFLICTS

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()


def all_problems(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for child in kind.__subclasses__():
        yield child
        yield from all_problems(child)


def test_every_code_has_its_section_and_every_section_its_code() -> None:
    sections = set(re.findall(r"^## (.+)$", PAGE, re.MULTILINE))

    assert sections == {problem.code for problem in all_problems()}


def test_every_code_has_a_row_with_its_statuses() -> None:
    rows = dict(re.findall(r"^\| \[(.+?)\]\(#\1\) \| ([0-9, ]+) \|", PAGE, re.MULTILINE))

    for code in {problem.code for problem in all_problems()}:
        of_code = [p for p in all_problems() if p.code == code]
        statuses = {str(p.status) for p in of_code}
        # Upload API 2.0 says 409 where the legacy API says 400.
        statuses |= {"409" for p in of_code if issubclass(p, CONFLICTS)}
        assert set(rows[code].split(", ")) == statuses


def test_every_class_is_drawn_in_the_tree() -> None:
    tree = str(errors.__doc__)

    for problem in all_problems():
        assert re.search(rf"\b{problem.__name__}\b", tree), problem.__name__


def test_the_type_of_a_problem_leads_to_no_site_unless_the_operator_names_one() -> None:
    document = errors.InvalidToken("x").document("/acme/_/oidc/mint-token")

    assert document["type"] == "urn:pytp-broker:errors#invalid-token"


def test_the_type_of_a_problem_leads_to_its_section_of_the_page_that_the_operator_names() -> None:
    page = "https://docs.example.com/errors.html#"

    document = errors.InvalidToken("x").document("/acme/_/oidc/mint-token", page)

    assert document["type"] == "https://docs.example.com/errors.html#invalid-token"


@pytest.mark.parametrize("base", ["urn:example:errors#", "https://docs.example.com/errors#"])
def test_a_urn_or_an_https_url_may_begin_the_type(base: str) -> None:
    assert re.fullmatch(errors.TYPE_BASE, base)


@pytest.mark.parametrize(
    "base",
    [
        "",
        "/errors#",
        "http://docs.example.com/",
        "javascript:alert(1)#",
        "urn:a b",
        "https://",
        "urn:",
    ],
)
def test_nothing_else_may_begin_the_type(base: str) -> None:
    assert not re.fullmatch(errors.TYPE_BASE, base)
