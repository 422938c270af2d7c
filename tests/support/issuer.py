"""An issuer with a network: real HTTP on loopback, real RSA keys, GitHub Actions' claims.

For tests whose broker runs in another process. Where the broker runs in the test itself,
`tests.support.signing.Issuer` answers `fetch` without a socket; this one serves what that one says.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

from pytp_broker.oidc.documents import FetchError
from tests.support import signing


class Issuer(signing.Issuer):
    """Serves discovery and key set at `url` while its `with` block lasts.

    `fetched` is the log of all requests, `down` makes them fail with 503, and `documents` (see
    `serve`) replaces what they are answered.
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.issuer = self  # type: ignore[attr-defined]
        super().__init__(url=f"http://127.0.0.1:{self._server.server_port}")

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def key_id(self) -> str:
        """Return the id of the key that signs now."""
        return list(self.keys)[-1]

    def token(self, now: datetime | None = None, **changes: Any) -> str:
        """Return a token of a GitHub Actions release job, issued now, with these claims changed."""
        claims = signing.github_claims(now or datetime.now(UTC), **{"iss": self.url, **changes})
        return self.sign(claims, key_id=self.key_id)

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on; publish the old ones with it, or withdraw them."""
        new = f"key-{int(self.key_id.removeprefix('key-')) + 1}"
        if not keep_old:
            self.keys.clear()
        self.keys[new] = signing.rsa_key(new)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        issuer: Issuer = self.server.issuer  # type: ignore[attr-defined]
        try:
            self._answer(HTTPStatus.OK, issuer.fetch(issuer.url + self.path))
        except FetchError:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, b"{}")
        except AssertionError:
            self._answer(HTTPStatus.NOT_FOUND, b"{}")

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: `fetched` is the log."""
