"""Another index, by the URL of its simple API, as a source of an import."""

from typing import Final
from urllib.parse import urljoin

from pytp_broker.cli.sources import html_pages, json_pages
from pytp_broker.cli.sources.downloads import Downloads, Page
from pytp_broker.cli.sources.index_credentials import shown
from pytp_broker.cli.sources.page_links import UnreadablePageError
from pytp_broker.cli.sources.source import Listing, SourceError, Stray, Stream
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import InvalidNameError, NormalizedName, read_project
from pytp_broker.redaction import printable

# More than any company's own projects. An index that shows PyPI as its own has 800,000.
MAX_PROJECTS: Final = 10_000

_ACCEPT: Final = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1"
)
_JSON: Final = ("application/vnd.pypi.simple.v1+json", "application/json")
_HTML: Final = ("application/vnd.pypi.simple.v1+html", "text/html", "application/xhtml+xml", "")


class SimpleIndex:
    """Another index. ``url`` ends in a slash, and has no credentials."""

    def __init__(self, url: str, downloads: Downloads) -> None:
        self._url = url
        self._downloads = downloads

    @property
    def name(self) -> str:
        """Return the URL of the index."""
        return shown(self._url)

    @property
    def is_index(self) -> bool:
        """Return True."""
        return True

    def list_projects(self) -> Listing:
        """Return the projects of the index; raise SourceError."""
        page = self._downloads.read_page(self._url, _ACCEPT)
        names = set(self._read_names(page))
        if len(names) > MAX_PROJECTS:
            raise SourceError(
                f"{self.name} lists {len(names):,} projects: it may show those of another index, "
                "such as PyPI, as its own; name the projects to import with --project"
            )
        return _listing(names)

    def _read_names(self, page: Page) -> list[str]:
        try:
            if _is_json(page):
                return json_pages.read_project_names(page.body)
            return html_pages.read_project_names(page.body, page.content_type)
        except UnreadablePageError as error:
            raise SourceError(f"{shown(page.url)} {error}") from None

    def read_project(self, project: NormalizedName) -> OfferedProject:
        """Return what a project's page offers; raise SourceError."""
        page = self._downloads.read_page(urljoin(self._url, f"{project}/"), _ACCEPT)
        try:
            if _is_json(page):
                return json_pages.read_project(page.body, page.url, project)
            return html_pages.read_project(page.body, page.content_type, page.url, project)
        except UnreadablePageError as error:
            raise SourceError(f"{shown(page.url)} {error}") from None

    def fetch(self, offer: Offer) -> Stream:
        """Return the content of a file; raise SourceError."""
        if not offer.location:
            raise SourceError("the source gives no http or https URL for it")
        return self._downloads.stream(offer.location)

    def close(self) -> None:
        """Close every connection."""
        self._downloads.close()


def _is_json(page: Page) -> bool:
    """Say whether a page is JSON; raise SourceError if it is neither that nor HTML."""
    kind = page.content_type.partition(";")[0].strip().lower()
    if kind not in (*_JSON, *_HTML):
        raise SourceError(
            f"{shown(page.url)} has the type `{printable(kind)}`, and a page of an index is JSON "
            "or HTML: give the URL of the simple API, such as https://HOST/simple/"
        )
    return kind in _JSON


def _listing(names: set[str]) -> Listing:
    projects: set[NormalizedName] = set()
    strays = []
    for name in sorted(names):
        try:
            projects.add(read_project(name))
        except InvalidNameError as mistake:
            strays.append(Stray(printable(name), f"the name of a project {mistake}"))
    return Listing(sorted(projects), strays)
