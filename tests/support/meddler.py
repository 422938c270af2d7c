"""A reverse proxy on loopback, with TLS, that meddles with what passes through it.

A meddling is a function that gets a request and changes it, or answers it itself; another one
changes the answer. Without any, the proxy passes everything on as it is.
"""

import http.client
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import trustme

TIMEOUT = 60


@dataclass
class Passing:
    """A request on its way."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answered:
    """An answer on its way back."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


ToServer = Callable[[Passing], Answered | None]
ToClient = Callable[[Passing, Answered], Answered]


def pass_on(_: Passing) -> Answered | None:
    return None


def pass_back(_: Passing, answered: Answered) -> Answered:
    return answered


class HungUpError(Exception):
    """The proxy ends the connection instead of answering."""


class Meddler:
    """Listens while its `with` block lasts, before the server at a URL that has this CA file."""

    def __init__(self, server_url: str, ca_file: str, authority: trustme.CA, **leaf: Any) -> None:
        self._server = urlsplit(server_url)
        self._trusted = ssl.create_default_context(cafile=ca_file)
        self._listener = _Listener(("127.0.0.1", 0), _handler_for(self))
        self.present(authority, **leaf)
        self.url = f"https://localhost:{self._listener.server_port}"
        self.behave()

    def present(self, authority: trustme.CA, *names: str, **leaf: Any) -> None:
        """Present a certificate of an authority from now on."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*(names or ("localhost",)), **leaf).configure_cert(self._context)

    def behave(self) -> None:
        self.to_server: ToServer = pass_on
        self.to_client: ToClient = pass_back

    def __enter__(self) -> Self:
        Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def secure(self, connection: Any) -> Any:
        return self._context.wrap_socket(connection, server_side=True)

    def relay(self, passing: Passing) -> Answered:
        answered = self.to_server(passing)
        return self.to_client(passing, answered or self._ask(passing))

    def _ask(self, passing: Passing) -> Answered:
        server = http.client.HTTPSConnection(
            self._server.hostname or "", self._server.port, timeout=TIMEOUT, context=self._trusted
        )
        try:
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                server.request(passing.method, passing.path, passing.body, passing.headers)
            answer = server.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, headers, answer.read())
        finally:
            server.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client may refuse the certificate."""


def _handler_for(meddler: Meddler) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT

        def setup(self) -> None:
            self.request = meddler.secure(self.request)
            super().setup()

        def handle(self) -> None:
            with suppress(OSError, HungUpError):
                super().handle()

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()
            self.request.close()

        def __getattr__(self, name: str) -> Any:
            # The base class looks for a method that is called like the request's.
            if name.startswith("do_"):
                return self.relay
            raise AttributeError(name)

        def relay(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name: value for name, value in self.headers.items() if name != "Connection"}
            sent = Passing(self.command, self.path, headers, self.rfile.read(length))
            answered = meddler.relay(sent)
            self.send_response_only(answered.status)
            kept = {"content-length", "transfer-encoding", "connection"}
            for name, value in answered.headers.items():
                if name not in kept:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answered.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answered.body)

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    return Handler
