"""The upload function: ``POST /legacy/``, as every client speaks it, and Upload API 2.0.

We never redirect an upload: some clients follow with GET, and then report a success although
nothing was stored.
"""

from typing import Final

from pytp_broker.access import verify_uploader
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Upload
from pytp_broker.endpoints import sessions
from pytp_broker.endpoints.routing import Context, Route, Routes
from pytp_broker.endpoints.session_documents import session_document
from pytp_broker.endpoints.session_requests import base_of, json_answer
from pytp_broker.errors import Problem
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.messages import Response
from pytp_broker.index.forms import Form, read_form
from pytp_broker.index.publishing import upload
from pytp_broker.index.sessions.legacy import stage
from pytp_broker.services import Index


def legacy_upload(context: Context[Index, Upload]) -> Response:
    """Publish the file in a request, or stage it; a staged file's session is in the answer."""
    context.event.token_hash = hash_prefix(context.caller.token.hash)
    form = _read_form(context)
    if form.is_staged:
        session = stage(form, context.caller, context.services, context.event)
        return json_answer(session_document(session, base_of(context)))
    upload(form, context.caller, context.services, context.event)
    headers = {"Content-Type": "text/plain", "Content-Length": "0", "Cache-Control": "no-store"}
    return Response(200, headers=headers)


def _read_form(context: Context[Index, Upload]) -> Form:
    """Return the form in a request; tell only who may upload here what is wrong."""
    request, index = context.request, context.services
    content_type = request.headers.get("content-type", "")
    try:
        return read_form(request.content, content_type, index.max_upload_bytes)
    except Problem:
        verify_uploader(context.caller, index)
        raise


ROUTES: Final[Routes[Index]] = Routes(
    Route(paths.LEGACY, ("POST",), legacy_upload, event=Upload, needs=Permission.UPLOAD),
    *sessions.ROUTES,
)
