"""Complete an upload: a small file is checked in the request, a large one after it.

A file with attestations is checked after it too, because another function verifies these.

A check takes about a second for 100 MB, and a request to the gateway of AWS ends after half a
minute.
"""

from contextlib import suppress
from functools import partial

from pytp_broker.access import confirm
from pytp_broker.errors import InvalidUpload, StoreUnavailable
from pytp_broker.index.attesting import check_required, is_required
from pytp_broker.index.preparing import describe_publication
from pytp_broker.index.sessions.changing import change
from pytp_broker.index.sessions.checking import check_arrived, check_upload
from pytp_broker.index.sessions.entering import Entered
from pytp_broker.index.sessions.transitions import (
    Deferral,
    check_editable,
    check_in_progress,
    complete_file,
    defer_file,
    fail_file,
    recall_file,
)
from pytp_broker.index.sessions.uploads import Staged
from pytp_broker.index.sessions.verifying import ask_again, place_of
from pytp_broker.services import Index
from pytp_broker.storage.sessions import Session, StagedFile, UploadStatus


def complete(entered: Entered, staged: Staged, index: Index) -> Staged:
    """Check the bytes of an upload, so that it may be published; or let them be checked later.

    A failed check ends the upload, and the client must begin a new one (PEP 694). Raises
    InvalidUpload then, and Conflict if the upload has ended before.
    """
    session, file = staged.session, staged.file
    check_editable(session)
    if file.status is UploadStatus.COMPLETED:
        return staged
    check_in_progress(file)
    if file.status is UploadStatus.PROCESSING:
        ask_again(session, file, index)
        return staged
    published_by, registry = describe_publication(entered.right), entered.right.caller.registry
    if file.attestations_sha256 is None:
        # The upload does not fail: its attestations may still come.
        check_required(None, published_by, registry)
    is_small = file.size <= index.immediate_bytes and file.attestations_sha256 is None
    check = _check_now if is_small else _check_later
    try:
        changed = check(entered, file, index)
    except InvalidUpload as problem:
        name, notice = file.filename, problem.detail
        fail = partial(fail_file, filename=name, upload_id=file.upload_id, notice=notice)
        change(session, fail, index)
        raise
    return Staged(changed, changed.files[file.filename])


def _check_now(entered: Entered, file: StagedFile, index: Index) -> Session:
    session, right = entered.session, entered.right
    checked = check_upload(session, file, describe_publication(right), index)
    confirm(right, index)
    finish = partial(complete_file, upload_id=file.upload_id, file=checked)
    return change(session, finish, index)


def _check_later(entered: Entered, file: StagedFile, index: Index) -> Session:
    """Return the session in which the file is `processing`; one request alone asks for the check.

    If nobody can be asked, the client may complete the upload again.
    """
    session, right = entered.session, entered.right
    check_arrived(session, file, index)
    confirm(right, index)
    published_by = describe_publication(right)
    must_have = is_required(published_by, right.caller.registry)
    deferral = Deferral(index.now(), published_by, must_have)
    is_mine = False

    def defer(present: Session) -> Session:
        nonlocal is_mine
        deferred = defer_file(present, file.filename, file.upload_id, deferral)
        is_mine = deferred is not present
        return deferred

    changed = change(session, defer, index)
    if is_mine:
        _request(changed, file, index)
    return changed


def _request(session: Session, file: StagedFile, index: Index) -> None:
    try:
        index.verifier.request(place_of(session, file))
    except StoreUnavailable:
        recall = partial(recall_file, filename=file.filename, upload_id=file.upload_id)
        with suppress(StoreUnavailable):  # then a later request about the file asks again
            change(session, recall, index)
        raise
