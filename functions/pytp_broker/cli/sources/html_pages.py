"""Read the HTML pages of another index (PEP 503, PEP 592, PEP 629, PEP 792)."""

import re
from collections.abc import Iterator
from email.message import Message
from html import unescape
from html.parser import HTMLParser
from typing import Final

from pytp_broker.cli.sources.page_links import (
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

# A comment, or a tag that we use; and such a tag to its end. Nothing is tried in two ways, so the
# time for a page grows with its length alone.
_BEGIN: Final = re.compile(r"<!--|</?(?:a|base|meta)(?=[\s/>])", re.IGNORECASE)
_REST: Final = re.compile(r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
_OTHER_TAG: Final = re.compile(r"<[^<>]*+>")
_MAX_TAG_CHARACTERS: Final = 64 * 1024

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

    def read_tag(self, tag: str) -> None:
        """Read one whole tag."""
        self.feed(tag)
        self.rawdata = ""  # a tag that is malformed leaves itself here

    def read_text(self, text: str) -> None:
        """Keep the text of an anchor."""
        if self._is_inside:
            self.texts[-1] += unescape(_OTHER_TAG.sub("", text))

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
    for part in _split(_decode(body, content_type)):
        if _BEGIN.match(part):
            reader.read_tag(part)
        else:
            reader.read_text(part)
    if reader.meta.get(_VERSION, "1").partition(".")[0] != "1":
        raise UnreadablePageError("has another version of the simple API than 1")
    return reader


def _split(text: str) -> Iterator[str]:
    """Yield the tags that we use, and the text between them; comments are left out.

    Python's parser reads only these tags. Given a whole page, its time could grow with the square
    of the page: 100 KB of comments that do not end take it half a minute.
    """
    at = 0
    while begin := _BEGIN.search(text, at):
        yield text[at : begin.start()]
        if begin[0] == "<!--":
            at = _end_of(text.find("-->", begin.end())) + len("-->")
            continue
        rest = _REST.match(text, begin.end())
        at = _end_of(rest.end() if rest else -1)
        if at - begin.start() > _MAX_TAG_CHARACTERS:
            raise UnreadablePageError("has a tag that is too long")
        yield text[begin.start() : at]


def _end_of(found: int) -> int:
    if found < 0:
        raise UnreadablePageError("ends inside a tag or a comment")
    return found


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
