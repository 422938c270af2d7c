"""Begin a request about a session: find the session, and check the caller's right in its project.

The right is checked before anything about the session is said (PEP 694). A session that has
expired, or whose publish was interrupted, is brought into the state that it should have.
"""

from dataclasses import dataclass

from pytp_broker.access import Caller, Right, check_unused, report, verify, verify_uploader
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import RequestEvent, SessionEvent
from pytp_broker.errors import NotFound
from pytp_broker.index.sessions.changing import find_again
from pytp_broker.index.sessions.staged_bytes import drop_all
from pytp_broker.index.sessions.transitions import EXPIRED, cancel, is_editable
from pytp_broker.services import Index
from pytp_broker.storage.session_tokens import is_session_token, session_hash, session_use
from pytp_broker.storage.sessions import INTERRUPTED, Session


@dataclass(frozen=True, slots=True)
class Entered:
    """A session as it is now, and the right of the caller who asks about it."""

    session: Session
    right: Right


def enter(token: str, caller: Caller, index: Index, event: RequestEvent) -> Entered:
    """Return the session with this token and the caller's right in it.

    Raises Unauthorized, Forbidden, or NotFound for a session that is not there or is of another
    registry. A single-use token is good for one session, and publishing it uses the token up.
    """
    session = _find(token, caller, index)
    if session is None:
        verify_uploader(caller, index)
        raise NotFound("there is no such session here")
    if isinstance(event, SessionEvent):
        describe(event, session)
    right = verify(caller, session.project, index)
    check_unused(right.record, session_use(session.registry, session.token))
    if isinstance(event, SessionEvent):
        event.publishers = right.publisher_ids
        report(right, index)
    return Entered(settle(session, index), right)


def describe(event: SessionEvent, session: Session) -> None:
    """Record which session a request is about, without its token."""
    event.project, event.version = session.project, session.version
    event.session = name_of(session)


def name_of(session: Session) -> str:
    """Return what records call a session, since its token is a secret."""
    return hash_prefix(session_hash(session.token))


def _find(token: str, caller: Caller, index: Index) -> Session | None:
    """Return the session of this registry; what cannot be a token is not worth a read."""
    session = index.store.find_session(token) if is_session_token(token) else None
    is_here = session is not None and session.registry == caller.registry.name
    return session if is_here else None


def settle(session: Session, index: Index) -> Session:
    """Return the session as it should be now, after it has expired or its publish was cut off."""
    now = index.now()
    if session.is_interrupted(now):
        return _roll_back(session, index)
    if is_editable(session) and now >= session.expires_at:
        canceled = cancel(session, session.expires_at, EXPIRED)
        if not index.store.save_session(canceled, session):
            return find_again(session, index)
        drop_all(session, index)
        return canceled
    return session


def _roll_back(session: Session, index: Index) -> Session:
    """Return the session after a publish that did not end.

    The state changes first. After that the publish can make nothing visible, should it go on.
    """
    failed = session.failed(INTERRUPTED)
    if not index.store.save_session(failed, session):
        return find_again(session, index)
    index.store.release(session)
    return failed
