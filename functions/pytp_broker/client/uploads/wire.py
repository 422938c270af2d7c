"""Send the requests of an upload: over connections that stay open, with bodies from the disk.

As in ``client.transport``, no redirect is followed, no cookie is kept and no netrc file is read.
"""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from functools import cached_property
from threading import Thread
from typing import Any, Final

from pytp_broker.client.transport import Authorization, UnreachableError, authorities, not_trusted
from pytp_broker.client.uploads.bodies import Body
from pytp_broker.redaction import Hidden

# From the last byte that was sent, or the last one that the server took, to the end of the answer.
# A server that checks a form of 1 GiB before it answers needs a while.
ANSWER_SECONDS: Final = 300.0
# A session with a thousand files.
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_CONNECT_SECONDS: Final = 20.0
_CHUNK_BYTES: Final = 64 * 1024
# What is read from the disk and given to the socket at a time.
_BLOCK_BYTES: Final = 256 * 1024
_AT_ONCE: Final = 32
_NOBODY: Final = Hidden("")


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to where. ``authorization`` is sent to this URL alone."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = field(default=None, repr=False)
    authorization: Hidden = _NOBODY
    max_answer_bytes: int = MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; the names of its headers are in lower case."""

    status: int
    phrase: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def document(self) -> Mapping[str, Any]:
        """Return the JSON object in the body; an empty one for anything else."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def is_success(self) -> bool:
        """Say whether the server did what was asked for."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of the status


# A function that sends a request, and raises UnreachableError if there is no answer.
Send = Callable[[Request], Reply]


class Wire:
    """Connections to a registry and to where its files are stored; many threads may use them."""

    def send(self, request: Request) -> Reply:
        """Send a request and return its answer; raise UnreachableError.

        The time also ends for a server that takes or sends a byte a minute.
        """
        answer: Future[Reply] = Future()
        begun = time.monotonic()
        Thread(target=self._send_into, args=(answer, request), daemon=True).start()
        while True:
            left = _moved_at(request, begun) + ANSWER_SECONDS - time.monotonic()
            try:
                return answer.result(max(left, 0))
            except FutureTimeoutError:
                if left <= 0:
                    _abandon(request)
                    raise UnreachableError(
                        f"it did not answer within {ANSWER_SECONDS:.0f} s"
                    ) from None

    def _send_into(self, answer: "Future[Reply]", request: Request) -> None:
        try:
            answer.set_result(self._send(request))
        except Exception as error:  # noqa: BLE001 - crosses a thread; it is raised again over there
            answer.set_exception(error)

    def _send(self, request: Request) -> Reply:
        import requests

        try:
            with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=dict(request.headers),
                auth=Authorization(request.authorization.reveal()),
                allow_redirects=False,
                stream=True,
                timeout=(_CONNECT_SECONDS, ANSWER_SECONDS),
                verify=authorities(),
            ) as response:
                return Reply(
                    response.status_code,
                    response.reason or "",
                    {name.lower(): value for name, value in response.headers.items()},
                    _read(response.iter_content(_CHUNK_BYTES), request.max_answer_bytes),
                )
        except requests.exceptions.SSLError as error:
            raise not_trusted(error) from None
        # OSError: a file of authorities that is not there. ValueError: a host that cannot be
        # encoded.
        except (requests.RequestException, OSError, ValueError) as error:
            raise UnreachableError(f"the connection failed ({type(error).__name__})") from None

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - a session of `requests`
        from http.cookiejar import DefaultCookiePolicy

        import requests
        from requests.adapters import HTTPAdapter

        class Adapter(HTTPAdapter):
            """An adapter that gives its sockets large pieces."""

            def init_poolmanager(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
                super().init_poolmanager(*arguments, blocksize=_BLOCK_BYTES, **options)

        session = requests.Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.update({"User-Agent": "pytp-broker", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(pool_maxsize=_AT_ONCE))
        return session


def _moved_at(request: Request, begun: float) -> float:
    """Return when the request moved on for the last time."""
    return max(begun, request.body.moved_at) if isinstance(request.body, Body) else begun


def _abandon(request: Request) -> None:
    if isinstance(request.body, Body):
        request.body.abandon()


def _read(chunks: Any, limit: int) -> bytes:  # noqa: ANN401 - the chunks of `requests`
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise UnreachableError(f"its answer is longer than {limit:,} bytes", may_pass=False)
    return bytes(body)
