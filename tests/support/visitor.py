"""A person with a browser, who visits an index in memory."""

from html.parser import HTMLParser
from typing import ClassVar, Final

from tests.support.deployment import Answer
from tests.support.shelf import Shelf

# What Chromium sends for a page.
BROWSER: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


class Visited(Shelf):
    """An index whose pages for people are visited."""

    FUNCTIONS: ClassVar[tuple[str, ...]] = ("upload", "read", "web")

    def visit(self, path: str, **query: str) -> "Page":
        """Return a page that exists."""
        answer = self.ask(path, **query)
        assert answer.status == 200, answer.body
        return Page(answer)

    def read(self, path: str) -> "Page":
        """Return a page of a private registry, which exists, for somebody with a token."""
        sent = {"accept": BROWSER, "authorization": self.basic()}
        answer = self.call("GET", path, headers=sent)
        assert answer.status == 200, answer.body
        return Page(answer)

    def ask(self, path: str, method: str = "GET", **query: str) -> Answer:
        """Ask for a page that may not exist."""
        return self.call(method, path, headers={"accept": BROWSER}, query=query)


class Page(HTMLParser):
    """A page as a browser reads it: its text, its links and its other tags."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        self.html = answer.text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    @property
    def text(self) -> str:
        """Return the text, with one space wherever there are blanks."""
        return " ".join(" ".join(self._texts).split())

    @property
    def links(self) -> list[str]:
        """Return where the links lead, in their order."""
        return [a["href"] or "" for tag, a in self.tags if tag == "a" and "href" in a]

    @property
    def names(self) -> set[str]:
        """Return the names of all tags."""
        return {tag for tag, _ in self.tags}
