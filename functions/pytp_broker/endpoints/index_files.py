"""Answer with a file of the index: its bytes, its metadata, or a redirect to the bytes."""

from collections.abc import Mapping

from pytp_broker.content import Lent, Part
from pytp_broker.endpoints.index_pages import quote_tag
from pytp_broker.errors import NotFound, RangeNotSatisfiable
from pytp_broker.http.browsers import NO_SNIFFING
from pytp_broker.http.messages import Request, Response
from pytp_broker.http.negotiation import has_current, requested_range
from pytp_broker.index.reading import find_download_url, open_content, read_metadata
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile


def wanted_file(filename: str) -> tuple[str, bool]:
    """Return the name of the file that an address means, and whether it means its metadata."""
    wanted = filename.removesuffix(METADATA_SUFFIX)
    return wanted, wanted != filename


def answer_metadata(
    request: Request, file: PublishedFile, index: Index, caching: Mapping[str, str]
) -> Response:
    """Return a file's METADATA or PKG-INFO; raise NotFound if it is not advertised."""
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


def answer_content(
    request: Request, file: PublishedFile, index: Index, caching: Mapping[str, str]
) -> Response:
    """Return a file's bytes, the range that is asked for, or a redirect to the bytes.

    Raises RangeNotSatisfiable for a range outside the file.
    """
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
    return _range(request, file, index, headers)


def _range(
    request: Request, file: PublishedFile, index: Index, headers: dict[str, str]
) -> Response:
    """Return the content, or the part of it that the client asks for."""
    wanted = requested_range(request.headers, headers["ETag"], file.size)
    if wanted is not None and not wanted:
        raise RangeNotSatisfiable(file.size)
    content = open_content(file, index)
    if wanted is None:
        headers["Content-Length"] = str(file.size)
        return Response(200, headers=headers, content=content)
    headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{file.size}"
    headers["Content-Length"] = str(len(wanted))
    part = Part(content, wanted.start, len(wanted))
    return Response(206, headers=headers, content=Lent(part, content.close))


def _file_headers(sha256: str) -> dict[str, str]:
    """Return the headers by which no browser shows a file, whatever its publisher put in it."""
    return {"Content-Type": "application/octet-stream", **NO_SNIFFING, "ETag": quote_tag(sha256)}
