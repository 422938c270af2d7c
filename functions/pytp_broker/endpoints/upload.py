"""``POST /legacy/``: the legacy upload, as every client speaks it.

It is never redirected: some clients follow with GET and report a success where nothing was stored.
"""

from typing import Final

from pytp_broker.audit.requests import Upload
from pytp_broker.destinations import Destination
from pytp_broker.endpoints.routing import READING, Act, Read, Routes
from pytp_broker.endpoints.simple import projects
from pytp_broker.http import paths
from pytp_broker.http.messages import Request, Response
from pytp_broker.index.publishing import upload
from pytp_broker.services import Index


def legacy_upload(
    request: Request, destination: Destination, index: Index, event: Upload
) -> Response:
    """Publish the file in a request."""
    upload(request, destination, index, event)
    headers = {"Content-Type": "text/plain", "Content-Length": "0", "Cache-Control": "no-store"}
    return Response(200, headers=headers)


ROUTES: Final[Routes[Index]] = {
    str(paths.LEGACY): Act(Upload, ("POST",), legacy_upload),
    str(paths.LEGACY).rstrip("/"): Act(Upload, ("POST",), legacy_upload),
}
# The routes behind the gateway's `$default`, which include `/simple/` if no other route takes it.
DEFAULT_ROUTES: Final[Routes[Index]] = {**ROUTES, str(paths.PROJECTS): Read(READING, projects)}
