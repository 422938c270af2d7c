"""Cancel a session, or give it more time."""

from datetime import timedelta
from functools import partial
from typing import Final

from pytp_broker.index.sessions.changing import change
from pytp_broker.index.sessions.entering import Entered
from pytp_broker.index.sessions.staged_bytes import drop_all
from pytp_broker.index.sessions.transitions import cancel, extend
from pytp_broker.services import Index
from pytp_broker.storage.sessions import Session

# More than any session lives, and small enough for every clock.
_MAX_SECONDS: Final = 365 * 24 * 3600


def cancel_session(entered: Entered, index: Index) -> None:
    """Cancel a session and remove its bytes; raise Conflict if it is published or about to be.

    A second call removes bytes that the first one may have left.
    """
    canceled = change(entered.session, partial(cancel, now=index.now()), index)
    drop_all(canceled, index)


def extend_session(entered: Entered, seconds: int, index: Index) -> Session:
    """Return the session with as much of the wished time as it may have; raise Conflict."""
    wanted = timedelta(seconds=max(0, min(seconds, _MAX_SECONDS)))
    return change(entered.session, partial(extend, wanted=wanted), index)
