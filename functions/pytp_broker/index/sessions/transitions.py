"""The changes of a publishing session, each a function from one record to the next.

A session is editable while it is open, and after a publish has failed. No function here changes one
that is not: it raises Conflict with the state and what to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pytp_broker.errors import Conflict, NotFound
from pytp_broker.redaction import and_more
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.sessions import (
    MAX_FILES,
    Session,
    SessionStatus,
    StagedFile,
    UploadStatus,
)

# PEP 694 recommends at least a week.
LIFETIME: Final = timedelta(days=7)
MAX_LIFETIME: Final = timedelta(days=30)
EXPIRED: Final = "The session expired before it was published; its files are removed."
CANCELED: Final = "The session was canceled; its files are removed."

# How many earlier uploads of one file name still report that they are canceled.
_MAX_FORMER: Final = 100
_EDITABLE: Final = frozenset({SessionStatus.OPEN, SessionStatus.ERROR})
_ADVICE: Final[Mapping[SessionStatus, str]] = {
    SessionStatus.PROCESSING: "wait until its status is another one",
    SessionStatus.PUBLISHED: "begin a new session to add further files",
    SessionStatus.CANCELED: "begin a new session",
}
_IN_PROGRESS: Final = frozenset({UploadStatus.PENDING, UploadStatus.PROCESSING})


def is_editable(session: Session) -> bool:
    """Say whether the session takes changes."""
    return session.status in _EDITABLE


def check_editable(session: Session) -> None:
    """Check that the session takes changes; raise Conflict."""
    if not is_editable(session):
        status = session.status
        raise Conflict(f"the session is `{status.value}`: {_ADVICE[status]}")


def check_way(session: Session, *, is_legacy: bool) -> None:
    """Check that files come into the session in the way in which it was begun; raise Conflict.

    An open draft of PEP 694 (python/peps#5070) wants the two ways kept apart.
    """
    if session.is_legacy is not is_legacy:
        way = "the legacy API with `staged=true`" if session.is_legacy else "Upload API 2.0"
        raise Conflict(
            f"there is a session for {session.project} {session.version} that was begun by {way} "
            "and takes files by that alone: send them so, or publish or cancel that session first"
        )


def live_files(session: Session) -> list[StagedFile]:
    """Return the files of the session, without canceled ones."""
    return [file for file in session.files.values() if file.status is not UploadStatus.CANCELED]


def extend(session: Session, wanted: timedelta) -> Session:
    """Return the session with a later expiry, at most 30 days after its creation.

    Its file upload sessions live as long as it does.
    """
    check_editable(session)
    latest = session.created_at + MAX_LIFETIME
    expires_at = max(session.expires_at, min(session.expires_at + wanted, latest))
    if expires_at == session.expires_at:
        return session
    files = {name: replace(file, expires_at=expires_at) for name, file in session.files.items()}
    return session.changed(expires_at=expires_at, files=files)


def cancel(session: Session, now: datetime, notice: str = CANCELED) -> Session:
    """Return the session canceled with all its files, whatever their states; raise Conflict."""
    if session.status is SessionStatus.CANCELED:
        return session
    check_editable(session)
    files = {name: _canceled(file) for name, file in session.files.items()}
    return session.changed(
        status=SessionStatus.CANCELED, ended_at=now, files=files, notices=(notice,)
    )


def add_file(session: Session, added: StagedFile) -> Session:
    """Return the session with a further file, which may replace one of its name.

    Raises Conflict if the one of its name is being uploaded, or its upload has failed: that one
    must be deleted first (PEP 694).
    """
    check_editable(session)
    present = session.files.get(added.filename)
    if present is None:
        if len(session.files) >= MAX_FILES:
            raise Conflict(
                f"a session has at most {MAX_FILES} files, canceled ones included: publish it, "
                "and send the others in a new session"
            )
    else:
        _check_replaceable(present)
        former = (*present.former_ids, present.upload_id)[-_MAX_FORMER:]
        added = replace(added, former_ids=former)
    return with_file(session, added)


def _check_replaceable(file: StagedFile) -> None:
    if file.status in _IN_PROGRESS:
        raise Conflict(
            f"`{file.filename}` is `{file.status.value}` in this session: complete it, or cancel "
            "it before you send it again"
        )
    if file.status is UploadStatus.ERROR:
        raise Conflict(f"the upload of `{file.filename}` has failed: delete it, then send it again")


def attest_file(session: Session, filename: str, upload_id: str, digest: str) -> Session:
    """Return the session with the attestations of a file whose upload is not completed yet.

    They replace those that were sent before. Raises Conflict.
    """
    check_editable(session)
    staged = find_file(session, filename, upload_id)
    check_attestable(staged)
    if staged.attestations_sha256 == digest:
        return session
    return with_file(session, replace(staged, attestations_sha256=digest))


def check_attestable(staged: StagedFile) -> None:
    """Check that an upload takes attestations, which come before its completion (PEP 694)."""
    if staged.status is not UploadStatus.PENDING:
        raise Conflict(
            f"the upload of `{staged.filename}` is `{staged.status.value}`: attestations must come "
            "before it is completed"
        )


def complete_file(session: Session, upload_id: str, file: PublishedFile) -> Session:
    """Return the session with a file whose bytes were checked; raise Conflict."""
    check_editable(session)
    staged = find_file(session, file.filename, upload_id)
    if staged.status is UploadStatus.COMPLETED:
        return session
    check_in_progress(staged)
    if staged.attestations_sha256 != file.attestations_sha256:
        raise Conflict(
            f"attestations of `{file.filename}` arrived while it was completed: complete it again"
        )
    return with_file(session, _settled(staged, status=UploadStatus.COMPLETED, file=file))


@dataclass(frozen=True, slots=True)
class Deferral:
    """A check that is made after a request: since when, for whom, and whether it is the strict one.

    ``requires_attestations`` says that the upload fails without verified attestations.
    """

    since: datetime
    published_by: Mapping[str, str]
    requires_attestations: bool = False


def defer_file(session: Session, filename: str, upload_id: str, deferral: Deferral) -> Session:
    """Return the session with a file that is checked later, after this request."""
    check_editable(session)
    staged = find_file(session, filename, upload_id)
    if staged.status in {UploadStatus.PROCESSING, UploadStatus.COMPLETED}:
        return session
    check_in_progress(staged)
    deferred = replace(
        staged,
        status=UploadStatus.PROCESSING,
        processing_since=deferral.since,
        published_by=deferral.published_by,
        requires_attestations=deferral.requires_attestations,
    )
    return with_file(session, deferred)


def recall_file(session: Session, filename: str, upload_id: str) -> Session:
    """Return the session with a file that nobody was asked to check; it can be completed again."""
    staged = find_file(session, filename, upload_id)
    if staged.status is not UploadStatus.PROCESSING:
        return session
    return with_file(session, _settled(staged, status=UploadStatus.PENDING))


def fail_file(session: Session, filename: str, upload_id: str, notice: str) -> Session:
    """Return the session with a file whose completion has failed, unless it is settled already."""
    staged = find_file(session, filename, upload_id)
    if not is_editable(session) or staged.status not in _IN_PROGRESS:
        return session
    return with_file(session, _settled(staged, status=UploadStatus.ERROR, notices=(notice,)))


def cancel_file(session: Session, filename: str, upload_id: str) -> Session:
    """Return the session without a file; raise Conflict while the file is being checked."""
    staged = find_file(session, filename, upload_id)
    if staged.status is UploadStatus.CANCELED:
        return session
    check_editable(session)
    if staged.status is UploadStatus.PROCESSING:
        raise Conflict(f"`{filename}` is being checked: wait for the result, then delete it")
    return with_file(session, _canceled(staged))


def check_in_progress(staged: StagedFile) -> None:
    """Check that an upload may still be completed; raise Conflict."""
    if staged.status not in _IN_PROGRESS:
        raise Conflict(
            f"the upload of `{staged.filename}` is `{staged.status.value}`: begin a new one in "
            "this session"
        )


def find_file(session: Session, filename: str, upload_id: str) -> StagedFile:
    """Return a file upload session, a former one as canceled; raise NotFound."""
    staged = session.files.get(filename)
    if staged is not None and staged.upload_id == upload_id:
        return staged
    if staged is not None and upload_id in staged.former_ids:
        return replace(_canceled(staged), upload_id=upload_id)
    raise NotFound("there is no such file upload in this session")


def begin_publish(session: Session, now: datetime) -> Session:
    """Return the session when its publish begins; raise Conflict unless every file is completed."""
    check_editable(session)
    files = live_files(session)
    if not files:
        raise Conflict("the session has no files: upload at least one before you publish")
    unready = {f.filename: f.status for f in files if f.status is not UploadStatus.COMPLETED}
    if unready:
        reasons = {name: f"`{name}` is `{status.value}`" for name, status in unready.items()}
        named = and_more([*reasons.values()], len(reasons))
        raise Conflict(
            f"only completed files are published: {named}. Complete what is `pending`, wait for "
            "what is `processing`, and delete what has an `error`",
            sources=reasons,
        )
    return session.processing(now)


def reopen(session: Session, before: Session) -> Session:
    """Return a session whose publish was refused, as it was before."""
    return session.changed(status=before.status, processing_since=None, notices=before.notices)


def with_file(session: Session, file: StagedFile) -> Session:
    """Return the session with this file in place of the one of its name."""
    return session.changed(files={**session.files, file.filename: file})


def _canceled(file: StagedFile) -> StagedFile:
    return _settled(file, status=UploadStatus.CANCELED, file=None, notices=())


def _settled(staged: StagedFile, **changes: Any) -> StagedFile:  # noqa: ANN401 - as replace() is typed
    ended = replace(staged, processing_since=None, published_by={}, attempts=0)
    return replace(ended, requires_attestations=False, **changes)
