"""How a description is shown: what is rendered, what is plain text, and what is remembered."""

import io
import os
import resource
import runpy
import sys

import pytest

from pytp_broker.index.web import describe
from pytp_broker.index.web.about import Abouts, read_about
from pytp_broker.index.web.descriptions import (
    MAX_HTML_CHARACTERS,
    MAX_RENDERED_CHARACTERS,
    BusyError,
    Description,
)
from tests.support.distributions import metadata


class Renderer:
    """A renderer that says what it is asked for."""

    def __init__(self, html: str | None = "<p>x</p>") -> None:
        self.html = html
        self.asked: list[tuple[str, str]] = []

    def __call__(self, content_type: str, text: str) -> str:
        self.asked.append((content_type, text))
        if self.html is None:
            raise BusyError
        return self.html


def show(content_type: str, text: str, renderer: Renderer) -> Description:
    field = [f"Description-Content-Type: {content_type}"] if content_type else []
    head = metadata("widgets", "1.0", *field).replace("A description.\n", "")
    return read_about((head + text).encode(), renderer).description


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("", "text/x-rst"),
        ("text/markdown", "text/markdown"),
        ("Text/Markdown; charset=UTF-8; variant=GFM", "text/markdown"),
        ("text/x-rst", "text/x-rst"),
    ],
)
def test_a_description_is_rendered_as_its_type_says(content_type: str, kind: str) -> None:
    renderer = Renderer()

    assert show(content_type, "# Use", renderer) == Description(html="<p>x</p>")
    assert renderer.asked == [(kind, "# Use")]


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "x"])
def test_another_type_is_plain_text(content_type: str) -> None:
    renderer = Renderer()

    assert show(content_type, "<p>x", renderer) == Description(text="<p>x")
    assert not renderer.asked


def test_an_empty_description_is_not_rendered() -> None:
    renderer = Renderer()

    assert show("text/markdown", " \n", renderer) == Description()
    assert not renderer.asked


@pytest.mark.parametrize("html", ["", " \n", "x" * (MAX_HTML_CHARACTERS + 1)])
def test_a_description_that_cannot_be_rendered_is_shown_as_plain_text(html: str) -> None:
    shown = show("text/markdown", "# Use", Renderer(html))

    assert shown.text == "# Use"
    assert shown.note == (
        "The description could not be rendered as text/markdown, so it is shown as plain text."
    )


def test_a_description_without_a_type_may_be_plain_text() -> None:
    assert show("", "x", Renderer("")) == Description(text="x")


def test_a_long_description_is_cut_and_not_rendered() -> None:
    renderer = Renderer()

    shown = show("text/markdown", "x" * (MAX_RENDERED_CHARACTERS + 1), renderer)

    assert len(shown.text) == MAX_RENDERED_CHARACTERS
    assert "has 262,145 characters" in shown.note
    assert not renderer.asked


def test_an_old_description_is_a_field() -> None:
    renderer = Renderer()
    text = "Name: x\nDescription: Use\n        it\n       |now\n"

    read_about(text.encode(), renderer)

    assert renderer.asked == [("text/x-rst", "Use\nit\nnow")]


def test_metadata_that_is_not_what_it_should_be_is_shown_as_far_as_possible() -> None:
    about = read_about(b"Summary: a\nSummary: b\n\xff: x\nLicense: \n \n\n\xff", Renderer())

    assert (about.summary, about.license) == ("", "")


# What is remembered


def test_metadata_is_read_and_rendered_once() -> None:
    renderer = Renderer()
    abouts = Abouts(renderer)

    first = abouts.find("a" * 64, lambda: b"Name: x\n\nUse")
    again = abouts.find("a" * 64, pytest.fail)

    assert again is first
    assert len(renderer.asked) == 1


def test_a_description_that_found_no_place_is_tried_again() -> None:
    renderer = Renderer(html=None)
    abouts = Abouts(renderer)

    busy = abouts.find("a" * 64, lambda: b"Name: x\n\nUse")
    renderer.html = "<p>Use</p>"
    later = abouts.find("a" * 64, lambda: b"Name: x\n\nUse")

    assert busy.description.text == "Use"
    assert "shown as plain text" in busy.description.note
    assert later.description.html == "<p>Use</p>"


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    renderer = Renderer("x" * 1000)
    abouts = Abouts(renderer, max_characters=2 * 3000 + 100)

    for sha256 in "ab":
        abouts.find(sha256, lambda: b"Name: x\n\nUse")
    abouts.find("a", pytest.fail)
    abouts.find("c", lambda: b"Name: x\n\nUse")

    abouts.find("a", pytest.fail)
    abouts.find("b", lambda: b"Name: x\n\nUse")
    assert len(renderer.asked) == 4


def test_two_requests_at_once_remember_one_description() -> None:
    abouts = Abouts(Renderer())

    def read_while_another_request_does() -> bytes:
        abouts.find("a", lambda: b"Name: x\n\nUse")
        return b"Name: x\n\nUse"

    abouts.find("a", read_while_another_request_does)

    assert abouts.find("a", pytest.fail).description.html == "<p>x</p>"
    assert abouts.characters == abouts.find("a", pytest.fail).characters


# The process that renders


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[int, int]]]:
    """Return the limits that the process sets, which this process does not get."""
    found: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr("resource.setrlimit", lambda *limit: found.append(limit))
    monkeypatch.setattr(os, "nice", lambda _: 0)
    return found


def test_the_process_reads_a_type_and_a_text_and_writes_html(
    monkeypatch: pytest.MonkeyPatch, limits: list[tuple[int, tuple[int, int]]]
) -> None:
    sent, written = io.BytesIO(b"text/markdown\n# Use\n"), io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(sent))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))

    runpy.run_path(describe.__file__, run_name="__main__")

    assert written.getvalue().startswith(b"<h3 ")
    assert [number for number, _ in limits] == [resource.RLIMIT_FSIZE, resource.RLIMIT_AS]


def test_a_system_without_these_limits_has_the_deadline(
    monkeypatch: pytest.MonkeyPatch, limits: list[tuple[int, tuple[int, int]]]
) -> None:
    monkeypatch.setattr(os, "name", "nt")

    describe._limit()

    assert limits == []


@pytest.mark.parametrize("text", ["", "*bad"])
def test_a_text_that_cannot_be_rendered_gives_nothing(text: str) -> None:
    assert describe.render("text/x-rst", text) == ""
