"""An index on the loopback interface, which only the command that has its password can use."""

import base64
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

from pytp_broker.client.proxy.forms import FormError, receive
from pytp_broker.client.proxy.relay import REFUSED, Relay, problem
from pytp_broker.client.registry import USER_NAME
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.wire import Reply
from pytp_broker.redaction import Hidden, legible

_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_LENGTH_REQUIRED: Final = 411
_NO_SPACE: Final = 507
_UNEXPECTED: Final = 500
_UNREACHABLE: Final = 502
_UPLOAD_PATH: Final = "/legacy/"
_PAGE_PATH: Final = re.compile(r"/simple/(?P<project>(?:[A-Za-z0-9][A-Za-z0-9._-]*/?)?)")
_DIGITS: Final = re.compile(r"[0-9]{1,15}")
# A connection on which nothing comes for this long is closed.
_IDLE_SECONDS: Final = 120.0
# hatch waits 10 s for an answer and poetry 15 s, and an upload of a large file takes longer. An
# interim answer every few seconds, which every client reads past, keeps them waiting.
INTERIM_SECONDS: Final = 4.0
_INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_PHRASE_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Address:
    """Where the index is, and the password that opens it: for this run, and for nothing else."""

    upload_url: str
    password: Hidden


@contextmanager
def serving(relay: Relay) -> Iterator[Address]:
    """Serve until the block ends; what was not finished by then is dropped."""
    password = Hidden(f"proxy-{secrets.token_urlsafe(32)}")
    with TemporaryDirectory(prefix="pytp-proxy-", ignore_cleanup_errors=True) as folder:
        server = _Server(relay, password, Path(folder))
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield Address(f"http://127.0.0.1:{server.server_port}{_UPLOAD_PATH}", password)
        finally:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, relay: Relay, password: Hidden, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.relay = relay
        self.folder = folder
        named = f"{USER_NAME}:{password.reveal()}".encode()
        self.authorization = Hidden(f"Basic {base64.b64encode(named).decode()}")

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that went away knows that it did."""


class _Handler(BaseHTTPRequestHandler):
    """Answers a client's requests."""

    protocol_version = "HTTP/1.1"
    server_version = "pytp-broker"
    sys_version = ""
    timeout = _IDLE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Answer with a page of the registry's index."""
        found = _PAGE_PATH.fullmatch(self.path)
        if not self._is_allowed():
            self._refuse()
        elif found is None:
            self._answer(problem(_NOT_FOUND, "this proxy has uploads at /legacy/, and /simple/"))
        else:
            accept = self.headers.get("Accept", "")
            page = partial(self.server.relay.page, found["project"], accept)
            self._answer(self._waited_for(page))

    def do_POST(self) -> None:
        """Bring an upload to the registry."""
        # What is not read of a request would be taken for the next one.
        self.close_connection = True
        if not self._is_allowed():
            self._refuse()
        elif self.path.rstrip("/") != _UPLOAD_PATH.rstrip("/"):
            self._answer(problem(_NOT_FOUND, f"uploads go to {_UPLOAD_PATH}"))
        elif not _DIGITS.fullmatch(length := self.headers.get("Content-Length", "")):
            self._answer(problem(_LENGTH_REQUIRED, "the request does not say how long it is"))
        else:
            self._answer(self._take(int(length)))

    def _take(self, length: int) -> Reply:
        """Write the form to the disk, and bring it to the registry."""
        content_type = self.headers.get("Content-Type", "")
        with TemporaryDirectory(dir=self.server.folder, ignore_cleanup_errors=True) as folder:
            try:
                form = receive(self.rfile, length, content_type, Path(folder))
            except FormError as error:
                return problem(REFUSED, str(error))
            except TimeoutError:
                raise  # the client is gone, or stands still
            except OSError as error:
                reason = f"this machine cannot keep the file: {error.strerror}"
                return problem(_NO_SPACE, reason)
            return self._waited_for(lambda: self.server.relay.bring(form))

    def _waited_for(self, work: Callable[[], Reply]) -> Reply:
        """Do what takes long in a thread of its own, and keep the client waiting."""
        done: Future[Reply] = Future()
        Thread(target=_work_into, args=(done, work), daemon=True).start()
        while True:
            with suppress(FutureTimeoutError):
                return done.result(INTERIM_SECONDS)
            if self.request_version != "HTTP/1.0":  # which has no interim answers
                self.wfile.write(_INTERIM)

    def _is_allowed(self) -> bool:
        given = self.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, self.server.authorization.reveal().encode())

    def _refuse(self) -> None:
        self.close_connection = True
        self._answer(problem(_UNAUTHORIZED, "this proxy is for the command that it runs"))

    def _answer(self, reply: Reply) -> None:
        """Send an answer as the registry gave it."""
        self.send_response(reply.status, _one_line(reply.phrase))
        if reply.status == _UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="pytp-broker proxy"')
        if kind := reply.headers.get("content-type", ""):
            self.send_header("Content-Type", _one_line(kind))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: the client says what it does."""


def _one_line(text: str) -> str:
    """Return a text of the registry as a header may have it: ASCII, and no end of a line."""
    return legible(text, _MAX_PHRASE_CHARACTERS).encode("ascii", "replace").decode()


def _work_into(done: "Future[Reply]", work: Callable[[], Reply]) -> None:
    try:
        done.set_result(work())
    except UploadError as error:
        done.set_result(problem(_UNREACHABLE, str(error)))
    except Exception as error:  # noqa: BLE001 - crosses a thread
        done.set_result(problem(_UNEXPECTED, f"an unexpected {type(error).__name__}"))
