"""Read documents of a registry, with the credentials that its user has for it."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final
from urllib.parse import unquote, urlsplit

from pytp_broker.client.ambient import NoIdentityError, is_job, is_on_google
from pytp_broker.client.job_tokens import JobTokens
from pytp_broker.client.locations import Location
from pytp_broker.client.netrc_file import find_in_netrc
from pytp_broker.client.publishing.credentials import basic
from pytp_broker.client.registry import RefusedError
from pytp_broker.client.uploads.api import patiently, send_once
from pytp_broker.client.uploads.refusals import TRANSIENT, UploadError, reason_in
from pytp_broker.client.uploads.wire import Reply, Request, Send
from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.redaction import Hidden

UNAUTHORIZED: Final = 401
# After so many requests without an answer, each asked several times, nothing more is asked: a list
# of a thousand files would take hours.
MOST_FAILURES: Final = 3
_NOBODY: Final = Hidden("")


@dataclass(slots=True)
class Reading:
    """Asks a registry; ``find_authorization`` is called once, when the registry wants to know."""

    send: Send
    wait: Callable[[float], object]
    find_authorization: Callable[[], Hidden | None] = lambda: None
    _authorization: Hidden = _NOBODY
    _is_known: bool = False
    _failure: NotVerifiedError | None = None
    _failures: int = 0
    _lock: Lock = field(default_factory=Lock)

    def get(self, url: str, accept: str, limit: int) -> Reply:
        """Return the answer to a request; raise NotVerifiedError without one."""
        if self._failures >= MOST_FAILURES:
            raise NotVerifiedError(
                "no-answer", "the registry did not answer for other files", may_pass=True
            )
        headers = {"Accept": f"{accept}, application/problem+json;q=0.1"}
        request = Request("GET", url, headers, max_answer_bytes=limit)
        try:
            reply = self._ask(request, self._authorization)
            if reply.status == UNAUTHORIZED and self._find().reveal():
                reply = self._ask(request, self._authorization)
        except UploadError as error:
            self._failures += error.may_pass
            raise NotVerifiedError("no-answer", str(error), may_pass=error.may_pass) from None
        return reply

    def _ask(self, request: Request, authorization: Hidden) -> Reply:
        def ask() -> Reply:
            signed = Request(
                request.method,
                request.url,
                request.headers,
                authorization=authorization,
                max_answer_bytes=request.max_answer_bytes,
            )
            reply = send_once(self.send, signed)
            if reply.status in TRANSIENT:
                said = f"{request.url} answered {reply.status}: {reason_in(reply)}"
                raise UploadError(said, may_pass=True, status=reply.status)
            return reply

        return patiently(ask, self.wait)

    def _find(self) -> Hidden:
        with self._lock:
            if not self._is_known:
                self._is_known = True
                try:
                    self._authorization = self.find_authorization() or _NOBODY
                except NotVerifiedError as error:
                    self._failure = error
        if self._failure is not None:
            raise self._failure
        return self._authorization


def find_authorization(
    url: str, location: Location, environment: Mapping[str, str]
) -> Hidden | None:
    """Return the header for the index at a URL; None if there are no credentials.

    They are in the URL, in a netrc file, in the job's identity, or in the system's keyring. Raises
    NotVerifiedError if the job has an identity and the registry gives no token for it.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        return _header(unquote(parts.username or ""), unquote(parts.password or ""))
    if found := find_in_netrc(parts.hostname or "", environment):
        return _header(*found)
    if is_job(environment) or is_on_google():
        token = _exchange(location, environment)
    else:
        token = _find_kept(location)
    return None if token is None else basic(token)


def _header(user: str, password: str) -> Hidden:
    return Hidden(f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")


def _exchange(location: Location, environment: Mapping[str, str]) -> Hidden | None:
    try:
        return JobTokens(environment).find(f"{location.base_url}/simple/")
    except (RefusedError, NoIdentityError) as error:
        may_pass = isinstance(error, RefusedError) and error.may_pass
        raise NotVerifiedError("unauthorized", str(error), may_pass=may_pass) from None


def _find_kept(location: Location) -> Hidden | None:
    try:
        from pytp_broker.client import stored
    except ImportError:
        return None
    return stored.find(location)
