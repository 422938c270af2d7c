"""Show installers what is published: the simple API, and the files behind it.

A registry that the operator has switched off can still be read: the switch ends publishing, not
installing.
"""

import hashlib
from typing import Final

from pytp_broker.destinations import Destination
from pytp_broker.errors import InvalidUpload, NotFound, RangeNotSatisfiable, StoreUnavailable
from pytp_broker.http import paths
from pytp_broker.http.messages import Request, Response
from pytp_broker.http.negotiation import JSON, choose_type, has_current, requested_range
from pytp_broker.index import pages
from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.listings import find_listing
from pytp_broker.names import METADATA_SUFFIX, InvalidNameError, read_project
from pytp_broker.redaction import printable
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.files import content_key, metadata_key

_PAGE_CACHING: Final = "private, max-age=0, must-revalidate"
# The hash is in the path, so the content at a path never changes.
_FILE_CACHING: Final = "private, max-age=31536000, immutable"


def show_projects(
    request: Request, destination: Destination, index: Index, *, is_canonical: bool
) -> Response:
    """Return the list of all projects with a file, or a redirect from its other address."""
    registry = destination.registry.name
    if not is_canonical:
        return _redirect(paths.PROJECTS.url(destination.base_path))
    projects = index.store.list_projects(registry)
    content_type = choose_type(request.headers.get("accept", ""))
    if content_type == JSON:
        return _page(request, content_type, pages.projects_json(projects))
    return _page(request, content_type, pages.projects_html(projects, destination.base_path))


def show_project(
    request: Request, destination: Destination, index: Index, name: str, *, is_canonical: bool
) -> Response:
    """Return a project's page, or a redirect from another spelling of its name.

    ``is_canonical`` says whether the rest of the address was right. Raises NotFound.
    """
    registry = destination.registry.name
    project = _read_project(name)
    if name != project or not is_canonical:
        if printable(project, len(project)) != project:  # it holds a token: do not repeat it
            raise NotFound("the name in this address is not the name of a project")
        return _redirect(paths.PROJECT.url(destination.base_path, project=project))
    listing = find_listing(registry, project, index)
    if listing is None:
        raise NotFound(f"there is no project `{printable(project)}` in this registry")
    content_type = choose_type(request.headers.get("accept", ""))
    render = pages.project_json if content_type == JSON else pages.project_html
    return _page(request, content_type, render(listing, destination.base_path))


def _read_project(name: str) -> str:
    try:
        return read_project(name)
    except InvalidNameError as mistake:
        raise NotFound(f"the name in this address {mistake}") from None


def _redirect(path: str) -> Response:
    return Response(301, headers={"Location": path, "Cache-Control": _PAGE_CACHING})


def _page(request: Request, content_type: str, body: bytes) -> Response:
    etag = _quoted(hashlib.sha256(body).hexdigest()[:32])
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": _PAGE_CACHING}
    if has_current(request.headers, etag):
        return Response(304, headers=headers)
    headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
    return Response(200, b"" if request.method == "HEAD" else body, headers)


def send_file(
    request: Request, destination: Destination, index: Index, sha256: str, filename: str
) -> Response:
    """Return a file's bytes or its metadata, or a redirect to the bytes.

    Raises NotFound, also for metadata that is not advertised, and RangeNotSatisfiable for a range
    outside the file.

    Only visible files are sent, though the file store may keep others.
    """
    wanted = filename.removesuffix(METADATA_SUFFIX)
    file = _find_file(destination.registry.name, sha256, wanted, index)
    if wanted != filename:
        return _send_metadata(request, file, index)
    return _send_content(request, file, index)


def _find_file(registry: str, sha256: str, filename: str, index: Index) -> PublishedFile:
    no_such_file = NotFound("there is no such file in this registry")
    try:
        project = parse_filename(filename).project
    except InvalidUpload:
        raise no_such_file from None
    file = index.store.find_file(registry, project, filename)
    if file is None or file.sha256 != sha256:
        raise no_such_file
    return file


def _send_metadata(request: Request, file: PublishedFile, index: Index) -> Response:
    if not file.advertises_metadata:
        raise NotFound(
            "the dependencies of this sdist are known only once it is built: download the sdist"
        )
    headers = _file_headers(file.metadata_sha256)
    if has_current(request.headers, headers["ETag"]):
        return Response(304, headers=headers)
    octets = _read(metadata_key(file.registry, file.sha256, file.filename), index)
    headers["Content-Length"] = str(len(octets))
    return Response(200, b"" if request.method == "HEAD" else octets, headers)


def _send_content(request: Request, file: PublishedFile, index: Index) -> Response:
    headers = {**_file_headers(file.sha256), "Accept-Ranges": "bytes"}
    if has_current(request.headers, headers["ETag"]):
        return Response(304, headers=headers)
    if request.method == "HEAD":
        # HEAD is answered here, because a URL that was signed for GET refuses it.
        return Response(200, headers={**headers, "Content-Length": str(file.size)})
    key = content_key(file.registry, file.sha256, file.filename)
    url = index.files.download_url(key, file.filename)
    if url is not None:
        return Response(302, headers={"Location": url, "Cache-Control": "no-store"})
    return _send_bytes(request, _read(key, index), headers)


def _send_bytes(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    wanted = requested_range(request.headers, headers["ETag"], len(content))
    if wanted is None:
        return Response(200, content, {**headers, "Content-Length": str(len(content))})
    if not wanted:
        raise RangeNotSatisfiable(len(content))
    part = content[wanted.start : wanted.stop]
    headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{len(content)}"
    return Response(206, part, {**headers, "Content-Length": str(len(part))})


def _file_headers(sha256: str) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "ETag": _quoted(sha256),
        "Cache-Control": _FILE_CACHING,
    }


def _quoted(tag: str) -> str:
    return f'"{tag}"'


def _read(key: str, index: Index) -> bytes:
    try:
        return index.files.read(key)
    except KeyError:
        raise StoreUnavailable("the bytes of this file are missing") from None
