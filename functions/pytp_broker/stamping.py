"""Ask a time-stamping authority for timestamps, without making a publication wait for it.

An authority is not ours, and it may be slow or down. So a question has three seconds, and after a
failure nobody is asked for half a minute: a release of a hundred files waits once, not a hundred
times.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.fetch import HttpFetch, Kinds
from pytp_broker.provenance.timestamps import (
    QUERY_TYPE,
    REPLY_TYPE,
    TimestampError,
    check_reply,
    make_query,
)
from pytp_broker.registries import Access, Timestamping

DEADLINE_SECONDS: Final = 3.0
# A release is signed in parallel, and several may be at the same time.
MAX_QUESTIONS: Final = 64
PAUSE: Final = timedelta(seconds=30)

_KINDS: Final = Kinds(QUERY_TYPE, REPLY_TYPE)


class Sender(Protocol):
    """Sends a small body and returns the answer, within its own limits of time and size."""

    def post(self, url: str, body: bytes, kinds: Kinds) -> bytes:
        """Return the body of the answer; raise FetchError."""


class AuthorityStamper:
    """Gets timestamps; many threads may share it."""

    def __init__(self, reach: Callable[[Access], Sender], now: Callable[[], datetime]) -> None:
        self._reach, self._now = reach, now
        self._failure: tuple[Timestamping, datetime, str] | None = None

    def stamp(self, authority: Timestamping, signature: bytes) -> bytes:
        """Return the authority's reply for a signature; raise TimestampError."""
        self._check_pause(authority)
        query = make_query(signature)
        try:
            reply = self._send(authority, query.octets)
            check_reply(reply, query, signature, self._now())
        except TimestampError as error:
            self._failure = (authority, self._now(), str(error))
            raise
        return reply

    def _check_pause(self, authority: Timestamping) -> None:
        if self._failure is None:
            return
        failed, at, why = self._failure
        if failed == authority and self._now() < at + PAUSE:
            raise TimestampError(f"it was not asked, because it has just failed: {why}")

    def _send(self, authority: Timestamping, query: bytes) -> bytes:
        # Only the operator gives this URL, so it may lead into the operator's own network.
        sender = self._reach(Access(is_private=True, ca_pem=authority.ca_pem))
        try:
            return sender.post(authority.url, query, _KINDS)
        except FetchError as error:
            raise TimestampError(_in_its_words(error.explanation)) from None


def make_stamper(now: Callable[[], datetime], *, only_public: bool) -> AuthorityStamper:
    """Return what asks authorities over the network; see ``HttpFetch`` for ``only_public``."""
    fetch = HttpFetch(
        only_public=only_public, deadline_seconds=DEADLINE_SECONDS, max_threads=MAX_QUESTIONS
    )
    return AuthorityStamper(fetch.reach, now)


def _in_its_words(explanation: str) -> str:
    """Return an explanation about an issuer as one about the time-stamping authority."""
    own_table = explanation.replace("the issuer's table", "`[timestamping]`")
    return own_table.replace("the issuer", "the time-stamping authority")
