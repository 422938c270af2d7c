"""Answer scrapers on a port of its own, in a thread of its own.

A monitor is the only client that this port expects, so it gets little: few connections, one small
request on each, and little time. Nothing of a request is kept, logged or sent back.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from threading import Event, Thread
from typing import Final

# A scraper uses one connection; a second one may stand in for it.
_MAX_CONNECTIONS: Final = 16
_MAX_HEAD_BYTES: Final = 8 * 1024
# How long a scraper may take for its head, and to read the answer.
HEAD_SECONDS: Final = 5
ANSWER_SECONDS: Final = 10
_END_SECONDS: Final = 5
_METRICS: Final = ("/metrics", "/")
_TEXT: Final = "text/plain; charset=utf-8"

# Returns all metrics and their content type, for what the scraper accepts.
Write = Callable[[str], tuple[bytes, str]]


class MetricsServer:
    """Serves metrics from ``start`` until ``stop``."""

    def __init__(self, listener: socket.socket, write: Write) -> None:
        self._listener = listener
        self._write = write
        self._open = 0
        self._ready = Event()
        self._loop = asyncio.SelectorEventLoop()
        self._thread = Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close every connection, and wait a little for the thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(RuntimeError):
            runner.run(self._serve())  # RuntimeError: stopped

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._take, sock=self._listener, limit=_MAX_HEAD_BYTES, backlog=_MAX_CONNECTIONS
        )
        async with server:
            self._ready.set()
            await server.serve_forever()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MAX_CONNECTIONS:
                await self._answer(reader, writer)
        finally:
            self._open -= 1
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; a client that is too slow, too long or gone gets nothing more."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(ANSWER_SECONDS):
                writer.write(self._respond(head.decode("latin-1")))
                writer.write_eof()
                await writer.drain()
                # The client closes first: to end the connection now could take the answer away.
                while await reader.read(_MAX_HEAD_BYTES):
                    pass

    def _respond(self, head: str) -> bytes:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in {"GET", "HEAD"}:
            return _write_answer(HTTPStatus.METHOD_NOT_ALLOWED, b"", _TEXT)
        if path not in _METRICS:
            return _write_answer(HTTPStatus.NOT_FOUND, b"metrics are at /metrics\n", _TEXT)
        body, content_type = self._write(_find_accept(lines))
        return _write_answer(HTTPStatus.OK, body, content_type, has_body=method == "GET")


def _find_accept(lines: list[str]) -> str:
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "accept":
            return value
    return ""


def _write_answer(
    status: HTTPStatus, body: bytes, content_type: str, *, has_body: bool = True
) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
