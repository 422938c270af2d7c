"""The upload function: ``POST /legacy/``, as every client speaks it.

It is never redirected: some clients follow with GET and report a success where nothing was stored.
"""

from typing import Final

from pytp_broker.audit.requests import Upload
from pytp_broker.endpoints.read import projects
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.messages import Response
from pytp_broker.index.publishing import upload
from pytp_broker.services import Index


def legacy_upload(context: Context[Index, Upload]) -> Response:
    """Publish the file in a request."""
    upload(context.request, context.caller, context.services, context.event)
    headers = {"Content-Type": "text/plain", "Content-Length": "0", "Cache-Control": "no-store"}
    return Response(200, headers=headers)


ROUTES: Final[Routes[Index]] = (
    Route(paths.LEGACY, ("POST",), legacy_upload, event=Upload, needs=Permission.UPLOAD),
)
# The routes behind the gateway's `$default`, which include `/simple/` if no other route takes it.
DEFAULT_ROUTES: Final[Routes[Index]] = (*ROUTES, Route(paths.PROJECTS, READING, projects))
