"""The read function: what installers ask for (PEP 503, PEP 691, PEP 658)."""

from collections.abc import Mapping
from typing import Final

from pytp_broker.audit.requests import Other
from pytp_broker.endpoints.index_pages import (
    check_repeatable,
    page,
    project_in,
    quote_tag,
    redirect,
)
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.errors import NotFound, RangeNotSatisfiable
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.browsers import NO_SNIFFING
from pytp_broker.http.caching import file_caching
from pytp_broker.http.messages import Request, Response
from pytp_broker.http.negotiation import JSON, choose_type, has_current, requested_range
from pytp_broker.index import pages
from pytp_broker.index.reading import (
    find_download_url,
    find_file,
    find_listing,
    read_content,
    read_metadata,
)
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile


def projects(context: Context[Index, Other]) -> Response:
    """Return the list of all projects with a file, or a redirect from its other address."""
    registry, base_path = context.destination.registry.name, context.destination.base_path
    if not _ends_in_slash(context):
        return redirect(context, paths.PROJECTS.url(base_path))
    names = context.services.store.list_projects(registry)
    content_type = choose_type(context.request.headers.get("accept", ""))
    if content_type == JSON:
        return _page(context, content_type, pages.projects_json(names))
    return _page(context, content_type, pages.projects_html(names, base_path))


def project(context: Context[Index, Other]) -> Response:
    """Return a project's page, or a redirect from another spelling of its address."""
    registry, base_path = context.destination.registry.name, context.destination.base_path
    name = project_in(context)
    if name != context.variables["project"] or not _ends_in_slash(context):
        check_repeatable(name)
        return redirect(context, paths.PROJECT.url(base_path, project=name))
    listing = find_listing(registry, name, context.services)
    content_type = choose_type(context.request.headers.get("accept", ""))
    render = pages.project_json if content_type == JSON else pages.project_html
    return _page(context, content_type, render(listing, base_path))


def _ends_in_slash(context: Context[Index, Other]) -> bool:
    return context.destination.path.endswith("/")


def _page(context: Context[Index, Other], content_type: str, body: bytes) -> Response:
    return page(context, content_type, body, varies_by=("Accept",))


def file(context: Context[Index, Other]) -> Response:
    """Return a file's bytes or its metadata, or a redirect to the bytes.

    Raises NotFound, which includes metadata that is not advertised, and RangeNotSatisfiable for a
    range outside the file.
    """
    index, registry = context.services, context.destination.registry
    sha256, filename = context.variables["sha256"], context.variables["filename"]
    wanted = filename.removesuffix(METADATA_SUFFIX)
    found = find_file(registry.name, sha256, wanted, index)
    caching = file_caching(is_public=registry.is_public)
    if wanted != filename:
        return _metadata(context.request, found, index, caching)
    return _content(context.request, found, index, caching)


def _metadata(
    request: Request, file: PublishedFile, index: Index, caching: Mapping[str, str]
) -> Response:
    if not file.advertises_metadata:
        raise NotFound(
            "the dependencies of this sdist are known only once it is built: download the sdist"
        )
    headers = {**_file_headers(file.metadata_sha256), **caching}
    if has_current(request.headers, headers["ETag"]):
        return Response(304, headers=headers)
    octets = read_metadata(file, index)
    headers["Content-Length"] = str(len(octets))
    return Response(200, b"" if request.method == "HEAD" else octets, headers)


def _content(
    request: Request, file: PublishedFile, index: Index, caching: Mapping[str, str]
) -> Response:
    headers = {**_file_headers(file.sha256), **caching, "Accept-Ranges": "bytes"}
    if has_current(request.headers, headers["ETag"]):
        return Response(304, headers=headers)
    if request.method == "HEAD":
        # HEAD is answered here, because a URL that was signed for GET refuses it.
        return Response(200, headers={**headers, "Content-Length": str(file.size)})
    url = find_download_url(file, index)
    if url is not None:
        # The URL leads to another host and carries its own right, so clients do not send the token
        # there. It is as good as the file for a few minutes, so nobody keeps it.
        return Response(302, headers={"Location": url, "Cache-Control": "no-store"})
    return _range(request, read_content(file, index), headers)


def _range(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    """Return the content, or the part of it that the client asks for."""
    wanted = requested_range(request.headers, headers["ETag"], len(content))
    if wanted is None:
        return Response(200, content, {**headers, "Content-Length": str(len(content))})
    if not wanted:
        raise RangeNotSatisfiable(len(content))
    part = content[wanted.start : wanted.stop]
    headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{len(content)}"
    return Response(206, part, {**headers, "Content-Length": str(len(part))})


def _file_headers(sha256: str) -> dict[str, str]:
    """Return the headers by which no browser shows a file, whatever its publisher put in it."""
    return {"Content-Type": "application/octet-stream", **NO_SNIFFING, "ETag": quote_tag(sha256)}


ROUTES: Final[Routes[Index]] = (
    Route(paths.PROJECTS, READING, projects, needs=Permission.READ),
    Route(paths.PROJECT, READING, project, needs=Permission.READ),
    Route(paths.FILE, READING, file, needs=Permission.READ),
)
