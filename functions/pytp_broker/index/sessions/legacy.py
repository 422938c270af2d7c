"""Stage a file that comes by the legacy API with `staged=true` (python/peps#5070, an open draft).

The file is checked as every legacy upload is, and then waits in a session instead of becoming
visible. Each request has one file: the first one begins the session, and the others join it. The
bytes are stored before the one write that adds the file, so a crash leaves unused bytes, never half
a file.
"""

from dataclasses import replace
from functools import partial

from pytp_broker.access import Caller, Right, check_unused, confirm
from pytp_broker.audit.requests import Upload
from pytp_broker.content import Held
from pytp_broker.errors import Problem, StoreUnavailable
from pytp_broker.index.attesting import attach
from pytp_broker.index.digests import SHA256
from pytp_broker.index.forms import Form
from pytp_broker.index.inspection import Candidate, Facts, inspect
from pytp_broker.index.preparing import describe_publication
from pytp_broker.index.publishing import admit, read_candidate
from pytp_broker.index.releases import check_release
from pytp_broker.index.sessions.announcements import POST_BYTES
from pytp_broker.index.sessions.changing import change
from pytp_broker.index.sessions.creating import Release, add, new_session
from pytp_broker.index.sessions.entering import name_of, settle
from pytp_broker.index.sessions.staged_bytes import content_key_of, drop
from pytp_broker.index.sessions.transitions import add_file, check_editable, check_way
from pytp_broker.index.sessions.uploads import check_free, new_upload_id
from pytp_broker.index.storing import describe
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.services import Index
from pytp_broker.storage.session_tokens import session_use
from pytp_broker.storage.sessions import Session, StagedFile, UploadStatus


def stage(form: Form, caller: Caller, index: Index, event: Upload) -> Session:
    """Return the session in which the file of a form waits to be published.

    Raises what ``index.publishing.upload`` raises, FileExists for a file that is published already,
    and Conflict if the release has a session that was begun in another way, or that takes no files
    now. Nothing is staged then.
    """
    right = admit(form, caller, index, event)
    candidate = read_candidate(form, event)
    check_free(candidate.distribution, candidate.sha256, caller.registry.name, index)
    check_release(candidate.distribution, caller.registry, index)
    facts = inspect(candidate)
    session = _find_or_begin(candidate, right, index)
    event.session = name_of(session)
    if _has(session, candidate.distribution.filename, candidate.sha256):
        event.unchanged = True
        return session
    staged = _store(facts, candidate, session, right, index)
    return _add(session, staged, right, index)


def _find_or_begin(candidate: Candidate, right: Right, index: Index) -> Session:
    """Return the session of the file's release; raise Conflict or TooManyRequests."""
    distribution = candidate.distribution
    release = Release(distribution.project, distribution.version)
    begun = new_session(release, right.caller.registry.name, index, is_legacy=True)
    check_unused(right.record, session_use(begun.registry, begun.token))
    session = settle(add(begun, index), index)
    check_way(session, is_legacy=True)
    check_editable(session)
    return session


def _has(session: Session, filename: str, sha256: str) -> bool:
    """Say whether the very same file waits in a session already."""
    present = session.files.get(filename)
    is_there = present is not None and present.status is UploadStatus.COMPLETED
    return is_there and present is not None and present.hashes[SHA256] == sha256


def _store(
    facts: Facts, candidate: Candidate, session: Session, right: Right, index: Index
) -> StagedFile:
    """Store the bytes of a file that has been checked; return what the session will say of it."""
    record = describe(
        facts,
        registry=session.registry,
        uploaded_at=index.now(),
        published_by=describe_publication(right),
    )
    record = attach(record, candidate.attestations, right.caller.registry, index)
    staged = StagedFile(
        upload_id=new_upload_id(),
        filename=record.filename,
        size=record.size,
        hashes={SHA256: record.sha256},
        mechanism=POST_BYTES,
        status=UploadStatus.COMPLETED,
        created_at=index.now(),
        expires_at=session.expires_at,
    )
    key = content_key_of(session, staged)
    index.files.save(key, candidate.content, record.sha256)
    index.files.save(key + METADATA_SUFFIX, Held(facts.metadata_file), record.metadata_sha256)
    return replace(staged, file=replace(record, upload_id=staged.upload_id))


def _add(session: Session, staged: StagedFile, right: Right, index: Index) -> Session:
    """Add a file to a session; remove its bytes, or those of the file that it replaces.

    After a store that did not answer, the session may have the file, so its bytes stay.
    """
    try:
        confirm(right, index)
        changed = change(session, partial(_with, staged=staged), index)
    except StoreUnavailable:
        raise
    except Problem:
        drop(session, staged, index)
        raise
    for unused in (staged, session.files.get(staged.filename)):
        if unused is not None and unused.upload_id != changed.files[staged.filename].upload_id:
            drop(session, unused, index)
    return changed


def _with(session: Session, staged: StagedFile) -> Session:
    """Return the session with a file, unless another request has brought the same one."""
    check_way(session, is_legacy=True)
    if _has(session, staged.filename, staged.hashes[SHA256]):
        return session
    return add_file(session, staged)
