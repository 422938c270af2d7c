"""Answer with a project's page: rendered now, kept from an earlier request, or 304.

The tag of a page comes from the edition of what it shows and from all that shapes it, so a client
that has the page costs one read of a small row. While somebody changes the project there is no
edition, and the tag is the hash of the page.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Final

from pytp_broker import __version__
from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.index_pages import page_headers, quote_tag, represent, secure_base_of
from pytp_broker.endpoints.routing import Context
from pytp_broker.http.caching import page_caching
from pytp_broker.http.compression import GZIP_MARK, SHORT_MARK
from pytp_broker.http.kept_pages import KeptPage
from pytp_broker.http.messages import Response
from pytp_broker.http.negotiation import JSON, choose_type, has_current, takes_gzip
from pytp_broker.index import pages
from pytp_broker.index.listings import ProjectListing
from pytp_broker.index.reading import find_listing
from pytp_broker.services import Index

# The headers of a 200 that describe its content, so a 304 has none of them (RFC 9110 §15.4.5).
_OF_CONTENT: Final = frozenset({"Content-Type", "Content-Length", "Content-Encoding"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page that a client asks for, with all that shapes it but the project's edition."""

    registry: str
    project: str
    content_type: str
    base_path: str
    secure_base: str | None
    is_public: bool
    takes_gzip: bool

    def tag(self, edition: str) -> str:
        """Return the tag of the page of an edition, without the mark of its encoding.

        ``takes_gzip`` is in no tag: the marks say how a page is encoded.
        """
        shaping = (pages.RENDERING, pages.API_VERSION, __version__, edition)
        document = json.dumps([*shaping, *astuple(replace(self, takes_gzip=False))])
        return hashlib.sha256(document.encode()).hexdigest()[:32]

    def possible_tags(self, edition: str) -> Iterator[str]:
        """Yield the tags that the page of an edition may have for this client, quoted.

        The page has one of them: its length, which we do not know here, decides which.
        """
        tag = self.tag(edition)
        for mark in (GZIP_MARK if self.takes_gzip else "", SHORT_MARK):
            yield quote_tag(tag + mark)


def answer_project(context: Context[Index, Other], project: str) -> Response:
    """Return a project's page, or 304 to a client that has it; raise NotFound."""
    wanted = _wanted(context, project)
    response = _known(context, wanted) or _rendered(context, wanted)
    return replace(response, body=b"") if context.request.method == "HEAD" else response


def _wanted(context: Context[Index, Other], project: str) -> Wanted:
    headers, destination = context.request.headers, context.destination
    return Wanted(
        registry=destination.registry.name,
        project=project,
        content_type=choose_type(headers.get("accept", "")),
        base_path=destination.base_path,
        secure_base=secure_base_of(context),
        is_public=destination.registry.is_public,
        takes_gzip=takes_gzip(headers.get("accept-encoding", "")),
    )


def _known(context: Context[Index, Other], wanted: Wanted) -> Response | None:
    """Return a kept page or a 304, if the current edition of the project confirms it.

    We ask for the edition only if we or the client have something that it could confirm.
    """
    headers, index = context.request.headers, context.services
    kept = index.kept_pages.find(wanted)
    if kept is None and "if-none-match" not in headers:
        return None
    edition = index.store.find_edition(wanted.registry, wanted.project)
    if edition is None:
        return None
    if kept is not None and kept.edition == edition:
        return _confirmed(headers, kept.response)
    for tag in wanted.possible_tags(edition):
        # A client may also ask whether there is any page; that needs more than an edition.
        if has_current(headers, tag) and headers["if-none-match"].strip() != "*":
            return Response(304, headers={"ETag": tag, **_headers(wanted)})
    return None


def _confirmed(headers: Mapping[str, str], response: Response) -> Response:
    """Return the page, or 304 to a client that has it."""
    if not has_current(headers, response.headers["ETag"]):
        return response
    kept = {n: value for n, value in response.headers.items() if n not in _OF_CONTENT}
    return Response(304, headers=kept)


def _rendered(context: Context[Index, Other], wanted: Wanted) -> Response:
    request, index = context.request, context.services
    listing = find_listing(wanted.registry, wanted.project, index)
    edition = listing.edition
    tag = None if edition is None else wanted.tag(edition)
    whole = replace(request, method="GET", headers=_without_condition(request.headers))
    response = represent(
        whole, wanted.content_type, _render(listing, wanted), _headers(wanted), tag
    )
    if edition is not None:
        index.kept_pages.keep(wanted, KeptPage(edition, response))
    return _confirmed(request.headers, response)


def _without_condition(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "if-none-match"}


def _render(listing: ProjectListing, wanted: Wanted) -> bytes:
    render = pages.project_json if wanted.content_type == JSON else pages.project_html
    return render(listing, wanted.base_path, wanted.secure_base)


def _headers(wanted: Wanted) -> dict[str, str]:
    varies_by = ("Accept", "Accept-Encoding")
    caching = page_caching(is_public=wanted.is_public, varies_by=varies_by)
    return page_headers(wanted.content_type, caching)
