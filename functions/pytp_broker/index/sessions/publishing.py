"""Publish a session: all its files become visible in one write, or none does.

Read ``publish`` from top to bottom. Every rule is checked before anything is written. Then the
session is marked, so that nothing changes it while it is published, the receipts are made, the file
names are reserved in one name space with the legacy API, and what may have changed meanwhile is
checked again. A refusal gives the names free and leaves the session as it was. If the process dies
in between, the next request about the session rolls it back after a minute.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from pytp_broker.access import Right, confirm, use_up
from pytp_broker.audit.findings import ProvenanceChange
from pytp_broker.audit.requests import SessionPublication
from pytp_broker.errors import Conflict, Problem, StoreUnavailable
from pytp_broker.index.attesting import ask_if_pending, lacks_attestations
from pytp_broker.index.distributions import Distribution, parse_filename
from pytp_broker.index.provenance import find_changes, report_changes
from pytp_broker.index.publishing import check_active
from pytp_broker.index.receipts import Notary, certify_all, hash_record, make_nonce
from pytp_broker.index.releases import check_claim, check_for_all, claim_for_all
from pytp_broker.index.sessions.changing import change
from pytp_broker.index.sessions.entering import Entered
from pytp_broker.index.sessions.staged_bytes import keep_all
from pytp_broker.index.sessions.transitions import begin_publish, live_files, reopen
from pytp_broker.redaction import and_more
from pytp_broker.registries import Registry
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
        # If the last request was cut off after the decisive write, the store tidies up now.
        index.store.publish_session(before)
        _ask_about_attestations(before, index)
        return before
    changes = _check(before, right, index)
    begun = change(before, partial(begin_publish, now=index.now()), index)
    files = _records(begun, index)
    try:
        _prepare(begun, _certify(files, index, event), right, index)
    except Problem:
        _undo(begun, before, index)
        raise
    report_changes(changes, index)
    published = begun.published(index.now())
    if not index.store.publish_session(published):
        raise StoreUnavailable("the publish took too long and was rolled back: publish again")
    _ask_about_attestations(published, index)
    return published


def _ask_about_attestations(session: Session, index: Index) -> None:
    """Let the attestations be verified that nobody could verify before the publish."""
    for file in _records(session, index):
        ask_if_pending(file, index)


def _check(session: Session, right: Right, index: Index) -> Sequence[ProvenanceChange]:
    """Check everything that the publish needs, and write nothing; return what the project loses."""
    files = _records(begin_publish(session, index.now()), index)
    _check_attested(files, right.caller.registry)
    check_active(session.project, index.store.find_status(session.registry, session.project))
    _check_free(files, session, index)
    check_for_all(_distributions(files), right.caller.registry, index)
    return find_changes(files, right.caller.configuration.issuers, index)


def _records(session: Session, index: Index) -> list[PublishedFile]:
    """Return the records that become visible, with the time of the publish."""
    now = index.now()
    records = (file.file for file in live_files(session))
    return [replace(record, uploaded_at=now) for record in records if record is not None]


def _certify(
    files: Sequence[PublishedFile], index: Index, event: SessionPublication
) -> Sequence[PublishedFile]:
    """Make the receipts of the files; return the records that name them.

    Each receipt has the hash of the record of this event, which is complete from here on.
    """
    event.filenames = [file.filename for file in files][:_MAX_NAMED]
    event.file_count = len(files)
    event.nonce = make_nonce()
    return certify_all(files, hash_record(event.accepted()), Notary.of(index))


def _prepare(session: Session, files: Sequence[PublishedFile], right: Right, index: Index) -> None:
    """Do everything but the one write that makes the files visible."""
    taken = index.store.reserve(session, files)
    if taken:
        _check_free(files, session, index)
        raise _conflict({name: _being_published(name) for name in taken})
    claimed = claim_for_all(_distributions(files), right.caller.registry, index)
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


def _check_free(files: Sequence[PublishedFile], session: Session, index: Index) -> None:
    """Check that none of the names is published; raise Conflict with those that are."""
    present = {f.filename: f for f in index.store.list_files(session.registry, session.project)}
    taken = [file for file in files if file.filename in present]
    if taken:
        raise _conflict({f.filename: _taken(f, present[f.filename]) for f in taken})


def _check_attested(files: Sequence[PublishedFile], registry: Registry) -> None:
    """Check that each file has verified attestations if its registry requires them.

    The registry may have begun to require them after the file was completed. Raises Conflict.
    """
    lacking = [f.filename for f in files if lacks_attestations(f, registry)]
    if lacking:
        reasons = {name: f"`{name}` has no verified attestations" for name in lacking}
        raise Conflict(
            f"the registry `{registry.name}` publishes only files with verified attestations: "
            f"{and_more([*reasons.values()], len(reasons))}. Delete these files from the session, "
            "and send them again with attestations",
            sources=reasons,
        )


def _conflict(reasons: Mapping[str, str]) -> Conflict:
    named = and_more([f"`{name}`" for name in reasons], len(reasons))
    return Conflict(
        f"file names of this session are taken: {named}. Delete these files from the session, or "
        "publish a new version",
        sources=reasons,
    )


def _taken(sent: PublishedFile, published: PublishedFile) -> str:
    """Return why a file cannot be published, and whether it is the very file that is there."""
    name = sent.filename
    if published.sha256 == sent.sha256:
        return f"`{name}` is published with this very sha256, {sent.sha256}: leave it out"
    return f"`{name}` is published with the sha256 {published.sha256}: publish a new version"


def _being_published(name: str) -> str:
    return f"`{name}` is being published by another request"


def _distributions(files: Sequence[PublishedFile]) -> list[Distribution]:
    return [parse_filename(file.filename) for file in files]
