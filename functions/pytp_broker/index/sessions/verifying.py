"""Verify a large upload, after the request that completed it: it ends completed or failed.

This may run twice at once, be killed at any step, and begin again: a step writes what another run
writes too, and the last step is one compare-and-swap. A file whose check kills its process would be
tried for as long as somebody asks, so each attempt is counted before it begins.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeAlias

from pytp_broker.audit.findings import Verification
from pytp_broker.errors import InvalidUpload, Problem, StoreUnavailable
from pytp_broker.index.attesting import record_state, verify_staged
from pytp_broker.index.sessions.changing import change
from pytp_broker.index.sessions.checking import Reading, as_it_is, check_upload
from pytp_broker.index.sessions.staged_bytes import content_key_of
from pytp_broker.index.sessions.transitions import complete_file, fail_file, with_file
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.services import Index
from pytp_broker.storage.sessions import Session, SessionStatus, StagedFile, UploadStatus
from pytp_broker.verifier import UploadPlace

# The first one, and the two that Lambda makes after one that failed.
MAX_ATTEMPTS: Final = 3
# The verify function may take ten minutes, and Lambda tries again within three. After this time an
# attempt was lost, and the next request about the file asks for another one.
OVERDUE: Final = timedelta(minutes=15)
# After this time a request was lost, or the bucket did not answer.
UNBEGUN: Final = timedelta(minutes=1)

_Change: TypeAlias = Callable[[Session], Session]


class _SettledError(Exception):
    """The upload is not processing any more, or another request takes care of it."""


def verify_upload(place: UploadPlace, index: Index, reading: Reading = as_it_is) -> None:
    """Verify an upload that is ``processing``; do nothing if it is not.

    ``reading`` may put something between the content and its readers. Raises StoreUnavailable if
    the file could not be checked; then the upload is still ``processing``.
    """
    session = _change(place, partial(_begin, place, index.now()), index)
    if session is None:
        return
    staged = session.files[place.filename]
    try:
        _complete(place, session, index, reading)
    except StoreUnavailable as problem:
        index.audit(_event(place).refused(problem))
        _change(place, partial(_take_back, place), index)
        raise
    except Problem as problem:
        _fail(place, problem, index)
    except Exception:
        if staged.attempts == MAX_ATTEMPTS:
            _fail(place, _too_often(), index)
        raise


def ask_again(session: Session, staged: StagedFile, index: Index) -> None:
    """Ask for the verification of an upload again if it should have ended long ago.

    After too many attempts the upload fails instead.
    """
    since, now = staged.processing_since, index.now()
    if since is None or now - since < (OVERDUE if staged.attempts else UNBEGUN):
        return
    place = place_of(session, staged)
    if staged.attempts >= MAX_ATTEMPTS:
        _fail(place, _too_often(), index)
    elif _change(place, partial(_ask, place, since, now), index) is not None:
        index.verifier.request(place)


def place_of(session: Session, staged: StagedFile) -> UploadPlace:
    """Return where an upload of a session is."""
    return UploadPlace(session.token, session.registry, staged.filename, staged.upload_id)


def _complete(place: UploadPlace, session: Session, index: Index, reading: Reading) -> None:
    staged = session.files[place.filename]
    checked = check_upload(session, staged, staged.published_by, index, reading)
    file = verify_staged(checked, staged, index)
    finish = partial(complete_file, upload_id=place.upload_id, file=file)
    if _change(place, finish, index) is not None:
        index.audit(_event(place).accepted())
        record_state(file, index)
    elif _is_canceled(place, index):
        # The request that canceled it has removed its bytes, and did not know of this metadata.
        index.files.drop(content_key_of(session, staged) + METADATA_SUFFIX)


def _fail(place: UploadPlace, problem: Problem, index: Index) -> None:
    name, notice = place.filename, problem.detail
    fail = partial(fail_file, filename=name, upload_id=place.upload_id, notice=notice)
    if _change(place, fail, index) is not None:
        index.audit(_event(place).refused(problem))


def _event(place: UploadPlace) -> Verification:
    return Verification(registry=place.registry, filename=place.filename)


def _too_often() -> InvalidUpload:
    return InvalidUpload(
        f"the file could not be checked in {MAX_ATTEMPTS} attempts: delete it from the session, "
        "and tell the registry's operator"
    )


def _change(place: UploadPlace, make: _Change, index: Index) -> Session | None:
    """Change a session whose upload is ``processing``; return None if that has ended."""
    session = index.store.find_session(place.token)
    if session is None:
        return None
    with suppress(_SettledError):
        return change(session, partial(_while_processing, place, make, index.now()), index)
    return None


def _while_processing(
    place: UploadPlace, make: _Change, now: datetime, session: Session
) -> Session:
    staged = session.files.get(place.filename)
    if staged is None or staged.upload_id != place.upload_id or not session.is_live(now):
        raise _SettledError
    if staged.status is not UploadStatus.PROCESSING:
        raise _SettledError
    return make(session)


def _begin(place: UploadPlace, now: datetime, session: Session) -> Session:
    """Return the session in which one more attempt has begun."""
    staged = session.files[place.filename]
    if staged.attempts >= MAX_ATTEMPTS:
        raise _SettledError
    begun = replace(staged, attempts=staged.attempts + 1, processing_since=now)
    return with_file(session, begun)


def _take_back(place: UploadPlace, session: Session) -> Session:
    """Return the session in which an attempt does not count, because nothing was checked."""
    staged = session.files[place.filename]
    return with_file(session, replace(staged, attempts=max(0, staged.attempts - 1)))


def _ask(place: UploadPlace, since: datetime, now: datetime, session: Session) -> Session:
    """Return the session in which one request, and no other, has asked again now."""
    staged = session.files[place.filename]
    if staged.processing_since != since:
        raise _SettledError
    return with_file(session, replace(staged, processing_since=now))


def _is_canceled(place: UploadPlace, index: Index) -> bool:
    session = index.store.find_session(place.token)
    if session is None or session.status is SessionStatus.CANCELED:
        return True
    staged = session.files.get(place.filename)
    if staged is None or staged.upload_id != place.upload_id:
        return True
    return staged.status is UploadStatus.CANCELED
