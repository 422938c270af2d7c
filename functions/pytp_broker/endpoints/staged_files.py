"""Upload API 2.0 (PEP 694): the files of a publishing session, as the upload function answers.

A file upload session lives as long as its publishing session: to extend one is to extend both.
"""

from collections.abc import Mapping
from typing import Any, Final

from pytp_broker.audit.requests import (
    AttestationDelivery,
    FileAnnouncement,
    FileCancellation,
    FileCompletion,
    FileDelivery,
    Other,
    SessionExtension,
    StagedFileEvent,
)
from pytp_broker.content import read_all
from pytp_broker.endpoints.routing import Context, Route, Routes
from pytp_broker.endpoints.session_documents import upload_document, upload_url
from pytp_broker.endpoints.session_requests import (
    E,
    base_of,
    enter_session,
    json_answer,
    no_content,
    only_told_to_uploaders,
    read,
    root_of,
)
from pytp_broker.errors import MalformedRequest
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.messages import Response
from pytp_broker.http.upload_api import check_accepted, read_number, read_text
from pytp_broker.index.digests import SHA256
from pytp_broker.index.sessions.announcements import Announcement
from pytp_broker.index.sessions.completing import complete
from pytp_broker.index.sessions.ending import extend_session
from pytp_broker.index.sessions.entering import Entered
from pytp_broker.index.sessions.uploads import (
    Staged,
    announce,
    attest,
    delete,
    find_staged,
    put_target,
    receive,
)
from pytp_broker.index.sessions.verifying import ask_again
from pytp_broker.redaction import printable
from pytp_broker.services import Index
from pytp_broker.storage.sessions import UploadStatus

# When a client should ask again for the status of a file. 100 MB are checked within seconds.
RETRY_AFTER_SECONDS: Final = 1


def announce_file(context: Context[Index, FileAnnouncement]) -> Response:
    """Begin the upload of a file, and say how its bytes are sent."""
    announced = read(context, _read_announcement)
    staged = announce(enter_session(context), announced, context.services, context.event)
    return _answer(context, staged, 202)


def _read_announcement(body: Mapping[str, Any]) -> Announcement:
    hashes = body.get("hashes")
    if not isinstance(hashes, dict):
        raise MalformedRequest("the member `hashes` must be an object: names and hex digests")
    return Announcement(
        read_text(body, "filename"),
        read_number(body, "size"),
        hashes,
        read_text(body, "mechanism"),
    )


def show_file(context: Context[Index, Other]) -> Response:
    """Return a file upload session as it is now."""
    with only_told_to_uploaders(context):
        check_accepted(context.request.headers)
    staged = _enter(context)[1]
    ask_again(staged.session, staged.file, context.services)
    return _answer(context, staged)


def delete_file(context: Context[Index, FileCancellation]) -> Response:
    """Cancel the upload of a file, or delete the file from its session."""
    delete(_enter(context)[1], context.services)
    return no_content()


def deliver_bytes(context: Context[Index, FileDelivery]) -> Response:
    """Take the bytes of a file (`http-post-bytes`)."""
    receive(_enter(context)[1], context.request.content, context.services)
    return no_content()


def deliver_attestations(context: Context[Index, AttestationDelivery]) -> Response:
    """Take the attestations of a file (PEP 740), as a JSON array."""
    attest(_enter(context)[1], read_all(context.request.content), context.services)
    return no_content()


def complete_file(context: Context[Index, FileCompletion]) -> Response:
    """Check the bytes of a file, so that the file may be published; a large one later."""
    read(context, lambda body: body)
    completed = complete(*_enter(context), context.services)
    is_later = completed.file.status is UploadStatus.PROCESSING
    return _answer(context, completed, 202 if is_later else 201)


def extend_file(context: Context[Index, SessionExtension]) -> Response:
    """Give a file's session more time, as far as it may have more."""
    seconds = read(context, lambda body: read_number(body, "extend-for"))
    entered, staged = _enter(context)
    session = extend_session(entered, seconds, context.services)
    later = Entered(session, entered.right)
    return _answer(context, find_staged(later, staged.file.filename, staged.file.upload_id))


def _enter(context: Context[Index, E]) -> tuple[Entered, Staged]:
    """Return the session of the path with the caller's right, and the file upload session."""
    filename, upload_id = context.variables["filename"], context.variables["upload"]
    entered = enter_session(context)
    if isinstance(context.event, StagedFileEvent):
        context.event.filename = printable(filename)
    staged = find_staged(entered, filename, upload_id)
    if isinstance(context.event, StagedFileEvent):
        context.event.sha256 = staged.file.hashes[SHA256]
    return entered, staged


def _answer(context: Context[Index, E], staged: Staged, status: int = 200) -> Response:
    base, session, file = base_of(context), staged.session, staged.file
    target = put_target(staged, root_of(context), context.services)
    return json_answer(
        upload_document(session, file, base, target),
        status,
        Location=upload_url(session, file, base),
        Retry_After=str(RETRY_AFTER_SECONDS),
    )


_UPLOAD: Final = Permission.UPLOAD

ROUTES: Final[Routes[Index]] = Routes(
    Route(paths.STAGED_FILES, ("POST",), announce_file, FileAnnouncement, _UPLOAD),
    Route(paths.STAGED_FILE, ("GET",), show_file, needs=_UPLOAD),
    Route(paths.STAGED_FILE, ("DELETE",), delete_file, FileCancellation, _UPLOAD),
    Route(paths.STAGED_BYTES, ("POST",), deliver_bytes, FileDelivery, _UPLOAD),
    Route(paths.STAGED_ATTESTATIONS, ("POST",), deliver_attestations, AttestationDelivery, _UPLOAD),
    Route(paths.COMPLETE, ("POST",), complete_file, FileCompletion, _UPLOAD),
    Route(paths.EXTEND_FILE, ("POST",), extend_file, SessionExtension, _UPLOAD),
)
