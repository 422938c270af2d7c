"""What the read function and the web function share: the name in an address, and the page there."""

import hashlib
from typing import Any, TypeAlias

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.routing import Context
from pytp_broker.errors import NotFound
from pytp_broker.http.browsers import PAGE_HEADERS
from pytp_broker.http.caching import page_caching
from pytp_broker.http.messages import Response
from pytp_broker.http.negotiation import JSON, has_current
from pytp_broker.names import InvalidNameError, NormalizedName, read_project
from pytp_broker.redaction import printable

AnyContext: TypeAlias = Context[Any, Other]


def project_in(context: AnyContext) -> NormalizedName:
    """Return the normalised name of the project in the path; raise NotFound."""
    try:
        return read_project(context.variables["project"])
    except InvalidNameError as mistake:
        raise NotFound(f"the name in this address {mistake}") from None


def check_repeatable(name: str) -> None:
    """Check that an answer may repeat a name; raise NotFound if it looks like a token."""
    if printable(name, len(name)) != name:
        raise NotFound("the name in this address is not the name of a project")


def redirect(context: AnyContext, path: str) -> Response:
    """Return a redirect to the one address of a page."""
    is_public = context.destination.registry.is_public
    return Response(301, headers={"Location": path, **page_caching(is_public=is_public)})


def page(context: AnyContext, content_type: str, body: bytes, *, varies_by: str = "") -> Response:
    """Return a page, or 304 to a client that has it already."""
    request, is_public = context.request, context.destination.registry.is_public
    etag = quote_tag(hashlib.sha256(body).hexdigest()[:32])
    headers = {"ETag": etag, **page_caching(is_public=is_public, varies_by=varies_by)}
    if content_type != JSON:
        headers |= PAGE_HEADERS  # people open the HTML pages for installers too
    if has_current(request.headers, etag):
        return Response(304, headers=headers)
    headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    return Response(200, b"" if request.method == "HEAD" else body, headers)


def quote_tag(tag: str) -> str:
    """Return a tag as the header ETag has it."""
    return f'"{tag}"'
