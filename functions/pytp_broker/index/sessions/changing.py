"""Write the change of a session, although others change it at the same time."""

from collections.abc import Callable
from typing import Final

from pytp_broker.errors import Conflict, NotFound, StoreUnavailable
from pytp_broker.services import Index
from pytp_broker.storage.sessions import Session, SessionTooLargeError

# Of several requests that change a session at the same time, one succeeds at each attempt. A
# release of a hundred wheels may be uploaded in parallel.
_ATTEMPTS: Final = 100


def change(session: Session, make: Callable[[Session], Session], index: Index) -> Session:
    """Return the session as it is stored after a change.

    ``make`` returns the session that it gets if there is nothing to change, and raises a Problem if
    the change is not possible. It is called again if another request was faster.
    """
    for _ in range(_ATTEMPTS):
        changed = make(session)
        if changed is session or _save(changed, session, index):
            return changed
        session = find_again(session, index)
    raise StoreUnavailable("many requests change this session at the same time: try again")


def find_again(session: Session, index: Index) -> Session:
    """Return the session as it is stored now; raise NotFound."""
    found = index.store.find_session(session.token)
    if found is None:
        raise NotFound("there is no such session")
    return found


def _save(changed: Session, present: Session, index: Index) -> bool:
    try:
        return index.store.save_session(changed, present)
    except SessionTooLargeError:
        raise Conflict("the session has no room for more: publish it, then begin another") from None
