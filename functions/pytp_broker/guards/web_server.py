"""A small server for the guard of pypiserver, on the standard library alone.

It answers one request on a connection, so a request cannot hide in another one. It does not read a
body before the guard wants it. Put a server that speaks TLS in front of it.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import Any, Final, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from pytp_broker.guards.introspection import LOG

# A client that neither sends nor takes anything for so long is gone.
SILENCE_SECONDS: Final = 60
MAX_CONNECTIONS: Final = 64
# A refused client may still be sending. A connection that is closed then can lose the answer, so
# the server throws away what comes for a moment.
_LINGER_SECONDS: Final = 2.0
_PIECE_BYTES: Final = 64 * 1024


# What `socketserver` calls a request: a connection, or with UDP a datagram.
Connection: TypeAlias = Any


class Handler(WSGIRequestHandler):
    """Reads one request of a connection."""

    timeout = SILENCE_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: the server in front of this one logs requests."""


class Server(ThreadingMixIn, WSGIServer):
    """A server with a thread for each connection, up to a limit."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._free = BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, Handler)

    def process_request(self, request: Connection, client_address: object) -> None:
        """Answer a request in a thread; wait for a free place first."""
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could start
            self._free.release()
            raise

    def process_request_thread(self, request: Connection, client_address: object) -> None:
        """Answer a request, and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def shutdown_request(self, request: Connection) -> None:
        """End a connection so that the client can read the answer."""
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            _drain(request)
        self.close_request(request)

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Log nothing but the kind of error: its text may quote the request."""
        LOG.info("a connection ended early")


def _drain(connection: socket.socket) -> None:
    deadline = time.monotonic() + _LINGER_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        if not connection.recv(_PIECE_BYTES):
            return


def serve(application: Callable[..., Iterable[bytes]], host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    with Server((host, port)) as server:
        server.set_app(application)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: Thread(target=server.shutdown).start())
        print(f"http://{host}:{server.server_port}/", flush=True)
        server.serve_forever()
