"""Upload API 2.0 (PEP 694): publishing sessions, as the upload function answers them.

Each handler reads the request, calls ``index.sessions`` and writes the session as it is then.
Everybody who may upload to a session's project may work in it.
"""

from collections.abc import Mapping
from typing import Any, Final

from pytp_broker.audit.requests import (
    Other,
    SessionCancellation,
    SessionCreation,
    SessionExtension,
    SessionPublication,
)
from pytp_broker.endpoints import staged_files
from pytp_broker.endpoints.routing import Context, Route, Routes
from pytp_broker.endpoints.session_documents import session_document, session_url
from pytp_broker.endpoints.session_requests import (
    base_of,
    enter_session,
    json_answer,
    no_content,
    note_token,
    only_told_to_uploaders,
    read,
)
from pytp_broker.errors import Conflict
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.messages import Response
from pytp_broker.http.upload_api import check_accepted, read_number, read_text
from pytp_broker.index.sessions.creating import Release, create
from pytp_broker.index.sessions.ending import cancel_session, extend_session
from pytp_broker.index.sessions.publishing import publish
from pytp_broker.services import Index


def create_session(context: Context[Index, SessionCreation]) -> Response:
    """Begin a publishing session; a live one of the same version is named instead."""
    release = read(context, _read_release)
    note_token(context)
    session, is_new = create(release, context.caller, context.services, context.event)
    base = base_of(context)
    location = session_url(session, base)
    if not is_new:
        raise Conflict(
            f"a session for {session.project} {session.version} is `{session.status.value}`: "
            "continue it, or cancel it, at the address in the header Location",
            headers={"Location": location},
        )
    return json_answer(session_document(session, base), 201, Location=location)


def _read_release(body: Mapping[str, Any]) -> Release:
    return Release.parse(read_text(body, "name"), read_text(body, "version"))


def show_session(context: Context[Index, Other]) -> Response:
    """Return a session as it is now."""
    with only_told_to_uploaders(context):
        check_accepted(context.request.headers)
    session = enter_session(context).session
    return json_answer(session_document(session, base_of(context)))


def delete_session(context: Context[Index, SessionCancellation]) -> Response:
    """Cancel a session and remove its files."""
    cancel_session(enter_session(context), context.services)
    return no_content()


def publish_session(context: Context[Index, SessionPublication]) -> Response:
    """Make all files of a session visible at once."""
    read(context, lambda body: body)
    session = publish(enter_session(context), context.services, context.event)
    base = base_of(context)
    document = session_document(session, base)
    return json_answer(document, 201, Location=session_url(session, base))


def extend(context: Context[Index, SessionExtension]) -> Response:
    """Give a session more time, as far as it may have more."""
    seconds = read(context, lambda body: read_number(body, "extend-for"))
    session = extend_session(enter_session(context), seconds, context.services)
    return json_answer(session_document(session, base_of(context)))


_UPLOAD: Final = Permission.UPLOAD

ROUTES: Final[Routes[Index]] = Routes(
    Route(paths.UPLOAD_ROOT, ("POST",), create_session, SessionCreation, _UPLOAD),
    Route(paths.SESSION, ("GET",), show_session, needs=_UPLOAD),
    Route(paths.SESSION, ("DELETE",), delete_session, SessionCancellation, _UPLOAD),
    Route(paths.PUBLISH, ("POST",), publish_session, SessionPublication, _UPLOAD),
    Route(paths.EXTEND, ("POST",), extend, SessionExtension, _UPLOAD),
    *staged_files.ROUTES,
)
