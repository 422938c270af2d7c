"""Read the HTML pages of another index (PEP 503, PEP 592, PEP 629, PEP 792)."""

from email.message import Message
from html.parser import HTMLParser
from typing import Final

from pytp_broker.cli.sources.links import (
    UnreadablePageError,
    known_digests,
    location_of,
    name_in,
    offered,
    read_reason,
    read_status,
)
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import NormalizedName

_VERSION: Final = "pypi:repository-version"
_STATUS: Final = "pypi:project-status"
_REASON: Final = "pypi:project-status-reason"

Attributes = dict[str, str | None]


class _Reader(HTMLParser):
    """Collects the anchors of a page with their texts, its base, and its meta elements."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: list[Attributes] = []
        self.texts: list[str] = []
        self.base: str | None = None
        self.meta: dict[str, str] = {}
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what we use of an element."""
        attributes = dict(attrs)
        if tag == "a":
            self.anchors.append(attributes)
            self.texts.append("")
            self._is_inside = True
        elif tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "meta" and (name := attributes.get("name")):
            self.meta.setdefault(name, attributes.get("content") or "")

    def handle_endtag(self, tag: str) -> None:
        """End an anchor."""
        self._is_inside = self._is_inside and tag != "a"

    def handle_data(self, data: str) -> None:
        """Keep the text of an anchor."""
        if self._is_inside:
            self.texts[-1] += data


def read_project_names(body: bytes, content_type: str) -> list[str]:
    """Return the names on the list of projects: the texts of its links."""
    texts = (text.strip() for text in _parse(body, content_type).texts)
    return [text for text in texts if text]


def read_project(
    body: bytes, content_type: str, url: str, project: NormalizedName
) -> OfferedProject:
    """Return what a project's page offers; raise UnreadablePageError."""
    page = _parse(body, content_type)
    base = location_of(page.base or "", url) or url
    offers = [_offer(link, base) for link in page.anchors if link.get("href")]
    return offered(project, offers, read_status(page.meta.get(_STATUS), page.meta.get(_REASON)))


def _parse(body: bytes, content_type: str) -> _Reader:
    reader = _Reader()
    try:
        reader.feed(_decode(body, content_type))
        reader.close()
    except AssertionError:  # Python's parser raises it for declarations that it does not know
        raise UnreadablePageError("is not HTML") from None
    if reader.meta.get(_VERSION, "1").partition(".")[0] != "1":
        raise UnreadablePageError("has another version of the simple API than 1")
    return reader


def _decode(body: bytes, content_type: str) -> str:
    """Return the text of a page, in UTF-8 if Python does not know the encoding that it names."""
    header = Message()
    header["Content-Type"] = content_type
    try:
        return body.decode(header.get_content_charset("utf-8"), "replace")
    except (LookupError, UnicodeError):
        return body.decode(errors="replace")


def _offer(link: Attributes, base: str) -> Offer:
    url, _, fragment = (link["href"] or "").partition("#")
    algorithm, _, digest = fragment.partition("=")
    yanked = read_reason(link["data-yanked"]) if "data-yanked" in link else None
    return Offer(
        filename=name_in(url),
        location=location_of(url, base),
        digests=known_digests({algorithm: digest}),
        yanked=yanked,
    )
