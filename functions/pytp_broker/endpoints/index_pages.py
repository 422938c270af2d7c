"""What the read function and the web function share: the name in an address, and the page there."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.routing import Context
from pytp_broker.errors import NotFound
from pytp_broker.http.browsers import PAGE_HEADERS
from pytp_broker.http.caching import page_caching
from pytp_broker.http.compression import GZIP_MARK, check_uncompressed, compress, encoding_mark
from pytp_broker.http.messages import Request, Response
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


def secure_base_of(context: AnyContext) -> str | None:
    """Return the URL of the registry, or None if it is reached without TLS.

    A link to provenance must be absolute, and of a secure origin (PEP 740).
    """
    if context.request.scheme != "https":
        return None
    return f"https://{context.destination.host}{context.destination.base_path}"


def check_repeatable(name: str) -> None:
    """Check that an answer may repeat a name; raise NotFound if it looks like a token."""
    if printable(name, len(name)) != name:
        raise NotFound("the name in this address is not the name of a project")


def redirect(context: AnyContext, path: str) -> Response:
    """Return a redirect to the one address of a page."""
    is_public = context.destination.registry.is_public
    return Response(301, headers={"Location": path, **page_caching(is_public=is_public)})


def page(
    context: AnyContext, content_type: str, body: bytes, *, varies_by: Sequence[str] = ()
) -> Response:
    """Return a page, or 304 to a client that has it already."""
    is_public = context.destination.registry.is_public
    caching = page_caching(is_public=is_public, varies_by=(*varies_by, "Accept-Encoding"))
    return represent(context.request, content_type, body, page_headers(content_type, caching))


def page_headers(content_type: str, caching: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a page that caches keep like this."""
    # People open the HTML pages for installers too.
    return {**caching, **({} if content_type == JSON else PAGE_HEADERS)}


def represent(
    request: Request,
    content_type: str,
    body: bytes,
    headers: Mapping[str, str],
    tag: str | None = None,
) -> Response:
    """Return a body, compressed if the client takes that, or 304 to a client that has it already.

    ``tag`` names the body; without one, its hash does. Raises NotAcceptable if the body is too
    large for an answer.
    """
    mark = encoding_mark(request.headers, body)
    tag = tag or hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": quote_tag(tag + mark), **headers}
    if has_current(request.headers, headers["ETag"]):
        return Response(304, headers=headers)
    if mark == GZIP_MARK:
        body, headers = compress(body), {**headers, "Content-Encoding": "gzip"}
    else:
        check_uncompressed(body)
    headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    return Response(200, b"" if request.method == "HEAD" else body, headers)


def quote_tag(tag: str) -> str:
    """Return a tag as the header ETag has it."""
    return f'"{tag}"'
