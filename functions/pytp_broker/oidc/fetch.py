"""Fetch an issuer's documents over the network, within hard limits.

What makes connections is imported when the first document is fetched: most requests fetch none.
Nothing of the environment is used: no proxy, no password of a netrc file, no cookie.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from functools import partial
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Final

from pytp_broker.oidc.documents import FetchError
from pytp_broker.registries import ENVIRONMENT_PROXY, PUBLIC_ACCESS, Access

if TYPE_CHECKING:
    from http.client import HTTPResponse

# Clients give the exchange 5 s, a key set takes two documents, and we must answer after that.
DEADLINE_SECONDS: Final = 2.0
# GitHub's key set is 5 KiB, Google's 1 KiB.
MAX_DOCUMENT_BYTES: Final = 100 * 1024
# One thread a fetch. It outlives the deadline only when the look-up of a host's name does not end.
MAX_THREADS: Final = 8

_HEADERS: Final = {
    # Kubernetes serves its key set only as the second type (RFC 7517 §8.5), otherwise it sends 406.
    "Accept": "application/json, application/jwk-set+json, */*;q=0.1",
    # Not even gzip: a hundred bytes of it may unpack to a hundred megabytes.
    "Accept-Encoding": "identity",
    "User-Agent": "pytp-broker",
}
_NO_HEADERS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Kinds:
    """The media types of what is sent and of the answer that is wanted."""

    sent: str
    wanted: str


class HttpFetch:
    """Gets small documents; many threads may share it.

    With ``only_public`` it fetches only https from public addresses, because an issuer's host name
    must not lead into the network that we run in. Without it, https and http may also reach this
    machine, for local use. ``ca_file`` replaces the public authorities. ``environment_proxy`` is
    the proxy of an issuer for which the operator has configured the environment's.
    """

    def __init__(
        self,
        *,
        only_public: bool,
        deadline_seconds: float = DEADLINE_SECONDS,
        ca_file: str | None = None,
        environment_proxy: str = "",
        max_threads: int = MAX_THREADS,
    ) -> None:
        self._only_public = only_public
        self._deadline_seconds = deadline_seconds
        self._ca_file = ca_file
        self._access, self._environment_proxy = PUBLIC_ACCESS, environment_proxy
        self._threads = BoundedSemaphore(max_threads)

    def reach(self, access: Access) -> "HttpFetch":
        """Return a fetcher with an issuer's own access settings; it has this one's limits."""
        other = copy(self)
        other._access = access  # noqa: SLF001 - a copy
        return other

    def __call__(self, url: str) -> bytes:
        """Return the body of a 200 answer of at most 100 KiB, by the deadline; raise FetchError.

        Redirects are not followed. The deadline holds against an issuer that sends a byte a second.
        """
        return self._ask("GET", url)

    def post(self, url: str, body: bytes, kinds: Kinds) -> bytes:
        """Return the answer to a body that is sent, within the same limits; raise FetchError."""
        headers = {"Content-Type": kinds.sent, "Accept": kinds.wanted}
        return self._ask("POST", url, body, headers)

    def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> bytes:
        if not self._threads.acquire(blocking=False):
            raise FetchError("too many documents are being fetched at this time")
        answer: Future[bytes] = Future()
        send = partial(self._send, method, url, body, headers)
        self._start(Thread(target=self._fetch_into, args=(answer, send), daemon=True))
        try:
            return answer.result(self._deadline_seconds)
        except FutureTimeoutError:
            raise FetchError("the issuer did not answer in time") from None

    def _start(self, thread: Thread) -> None:
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left for us
            # Otherwise a few such failures would stop all fetches until a restart.
            self._threads.release()
            raise FetchError("no thread can be started to fetch the document") from None

    def _fetch_into(self, answer: "Future[bytes]", send: Callable[[], bytes]) -> None:
        try:
            answer.set_result(send())
        except Exception as error:  # noqa: BLE001 - crosses a thread; it is raised again over there
            answer.set_exception(error)
        finally:
            self._threads.release()

    def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        from http.client import HTTPException

        from pytp_broker.oidc.connections import Reaching, read_url

        deadline = time.monotonic() + self._deadline_seconds
        proxy = self._proxy()
        reaching = Reaching(self._access, self._only_public, self._ca_file, proxy, deadline)
        try:
            place = read_url(url)
            with closing(reaching.open(place)) as connection:
                headers = {"Host": place.authority, **_HEADERS, **headers}
                connection.request(method, place.target, body, headers)
                with connection.getresponse() as response:
                    return _read(response)
        # ValueError: a host name that cannot be encoded, among others.
        except (HTTPException, OSError, ValueError) as error:
            raise FetchError(f"the issuer cannot be reached ({type(error).__name__})") from None

    def _proxy(self) -> str:
        """Return the URL of the proxy that the operator wants, or ""; raise FetchError."""
        if self._access.proxy != ENVIRONMENT_PROXY:
            return self._access.proxy
        proxy = self._environment_proxy.strip()
        if not proxy.lower().startswith("http://"):
            raise FetchError(
                "the issuer's table has `proxy = true`",
                "set HTTPS_PROXY to an http:// URL where the broker runs, or name the proxy",
            )
        return proxy


def _read(response: "HTTPResponse") -> bytes:
    if response.status != 200:  # noqa: PLR2004 - OK
        raise FetchError(f"the issuer answered {response.status}")
    # The bytes are not decoded. A body that is compressed against our wish is then not JSON.
    body = response.read(MAX_DOCUMENT_BYTES + 1)
    if len(body) > MAX_DOCUMENT_BYTES:
        raise FetchError("the issuer's document is too large")
    if response.length:
        raise FetchError("the issuer's document is shorter than announced")
    return body
