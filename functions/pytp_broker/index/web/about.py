"""What a distribution says about itself: the fields of its metadata that a page shows."""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from packaging.metadata import RawMetadata, parse_email

from pytp_broker.index.web.descriptions import Description, Render, describe
from pytp_broker.index.web.render_process import RenderProcess
from pytp_broker.redaction import printable

MAX_LINKS: Final = 20
# Many projects' pages, each a README of 20 KiB.
MAX_KEPT_CHARACTERS: Final = 16 * 1024 * 1024

_MAX_SUMMARY: Final = 512
_MAX_URL: Final = 2000
_URL: Final = re.compile(r"https?://[^\s\"'<>\\]+", re.IGNORECASE)
# How old tools indent a description that is a field.
_INDENT: Final = re.compile(r"\n(?: {7}\|| {8})")


@dataclass(frozen=True, slots=True)
class Link:
    """A link that a distribution gives, to a page elsewhere."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class About:
    """What a distribution says about itself. Every text is made safe to show."""

    summary: str = ""
    license: str = ""
    author: str = ""
    links: tuple[Link, ...] = ()
    description: Description = field(default_factory=Description)

    @property
    def characters(self) -> int:
        """Return how much memory this takes, in characters."""
        return len(self.description.html) + len(self.description.text) + _MAX_URL


class Abouts:
    """Cache of what was read from metadata, by the metadata's SHA-256: the same bytes say the same.

    It is bounded by its size; what was not asked for longest is forgotten.
    """

    def __init__(
        self, render: Render | None = None, max_characters: int = MAX_KEPT_CHARACTERS
    ) -> None:
        self._render = render or RenderProcess()
        self._max_characters = max_characters
        self._kept: OrderedDict[str, About] = OrderedDict()
        self.characters = 0
        self._lock = Lock()

    def find(self, sha256: str, read: Callable[[], bytes]) -> About:
        """Return what the metadata of this hash says; read the metadata if that is not known."""
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
                return self._kept[sha256]
        about = read_about(read(), self._render)
        if about.description.is_final:
            self._keep(sha256, about)
        return about

    def _keep(self, sha256: str, about: About) -> None:
        with self._lock:
            if sha256 in self._kept:
                return  # another request was faster
            self._kept[sha256] = about
            self.characters += about.characters
            while self.characters > self._max_characters:
                self.characters -= self._kept.popitem(last=False)[1].characters


def read_about(metadata: bytes, render: Render) -> About:
    """Return what METADATA or PKG-INFO says about a distribution.

    The upload has checked the fields that installers use, and no others: these may hold anything.
    """
    text = metadata.decode(errors="replace").replace("\r\n", "\n")
    header, _, body = text.partition("\n\n")
    raw, _ = parse_email(header)
    description = body or _INDENT.sub("\n", raw.get("description", ""))
    return About(
        summary=printable(" ".join(raw.get("summary", "").split()), _MAX_SUMMARY),
        license=_read_license(raw),
        author=printable(raw.get("author") or raw.get("author_email") or ""),
        links=_read_links(raw),
        description=describe(raw.get("description_content_type", ""), description, render),
    )


def _read_license(raw: RawMetadata) -> str:
    # Some projects put the whole licence into the field; its first line has the name.
    lines = (raw.get("license_expression") or raw.get("license") or "").strip().splitlines()
    return printable(lines[0]) if lines else ""


def _read_links(raw: RawMetadata) -> tuple[Link, ...]:
    urls = {"Homepage": raw.get("home_page", ""), **raw.get("project_urls", {})}
    return tuple(
        Link(printable(label, 60), url)
        for label, url in list(urls.items())[:MAX_LINKS]
        if len(url) <= _MAX_URL and url.isascii() and _URL.fullmatch(url)
    )
