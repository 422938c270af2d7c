"""Publish a session: all its files become visible in one write, or none does.

Read ``publish`` from top to bottom. The session is marked first, so that nothing changes it while
it is published. Then the file names are reserved, in one name space with the legacy API, and every
rule of an upload is checked again. A refusal gives the names free and leaves the session as it was.
If the process dies in between, the next request about the session rolls it back after a minute.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from pytp_broker.access import Right, confirm, use_up
from pytp_broker.audit.requests import SessionPublication
from pytp_broker.errors import Conflict, Problem, StoreUnavailable
from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.publishing import check_active
from pytp_broker.index.releases import check_claim, claim_for_all
from pytp_broker.index.sessions.changing import change
from pytp_broker.index.sessions.entering import Entered
from pytp_broker.index.sessions.staged_bytes import keep_all
from pytp_broker.index.sessions.transitions import begin_publish, live_files, reopen
from pytp_broker.redaction import and_more
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.session_tokens import session_use
from pytp_broker.storage.sessions import Session, SessionStatus

# A record names this many files; its field `file_count` counts all.
_MAX_NAMED: Final = 100


def publish(entered: Entered, index: Index, event: SessionPublication) -> Session:
    """Return the session once it is published; one that was published before is returned as it is.

    Raises Conflict, InvalidRelease or ProjectClosed with the session as it was before, and what
    ``access`` raises for a right that has ended meanwhile.
    """
    before, right = entered.session, entered.right
    if before.status is SessionStatus.PUBLISHED:
        return before
    begun = change(before, partial(begin_publish, now=index.now()), index)
    files = _records(begun, index)
    event.filenames = [file.filename for file in files][:_MAX_NAMED]
    event.file_count = len(files)
    try:
        _prepare(begun, files, right, index)
    except Problem:
        _undo(begun, before, index)
        raise
    published = begun.published(index.now())
    if not index.store.publish_session(published):
        raise StoreUnavailable("the publish took too long and was rolled back: publish again")
    return published


def _records(session: Session, index: Index) -> list[PublishedFile]:
    """Return the records that become visible, with the time of the publish."""
    now = index.now()
    records = (file.file for file in live_files(session))
    return [replace(record, uploaded_at=now) for record in records if record is not None]


def _prepare(session: Session, files: Sequence[PublishedFile], right: Right, index: Index) -> None:
    """Do everything but the one write that makes the files visible."""
    taken = index.store.reserve(session, files)
    if taken:
        raise _conflict(taken, session, files, index)
    registry = right.caller.registry
    claimed = claim_for_all([parse_filename(f.filename) for f in files], registry, index)
    check_active(session.project, index.store.find_status(session.registry, session.project))
    use_up(right.record, session_use(session.registry, session.token), index)
    keep_all(session, live_files(session), index)
    confirm(right, index)
    check_claim(claimed, index)


def _undo(begun: Session, before: Session, index: Index) -> None:
    """Bring the session back to where it was, and then give the names free.

    If the store does not answer, the next request about the session does it after a minute.
    """
    with suppress(StoreUnavailable):
        if index.store.save_session(reopen(begun, before), begun):
            index.store.release(begun)


def _conflict(
    taken: Sequence[str], session: Session, files: Sequence[PublishedFile], index: Index
) -> Conflict:
    """Return which files are in the way, and whether they are the very same."""
    published = {f.filename: f for f in index.store.list_files(session.registry, session.project)}
    sent = {file.filename: file for file in files}
    reasons = {name: _reason(sent[name], published.get(name)) for name in taken}
    named = and_more([f"`{name}`" for name in taken], len(taken))
    return Conflict(
        f"file names of this session are taken: {named}. Delete these files from the session, or "
        "publish a new version",
        sources=reasons,
    )


def _reason(sent: PublishedFile, published: PublishedFile | None) -> str:
    name = sent.filename
    if published is None:
        return f"`{name}` is being published by another request"
    if published.sha256 == sent.sha256:
        return f"`{name}` is published with this very sha256, {sent.sha256}: leave it out"
    return f"`{name}` is published with the sha256 {published.sha256}: publish a new version"
