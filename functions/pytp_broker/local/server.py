"""The local server: API Gateway and Lambda in one process, for one machine.

A request becomes the event that API Gateway would make of it, goes to the function that the
template's routes lead to, in a thread, and the result goes back. There is no other way in: what
answers here is what answers when deployed.
"""

import asyncio
import base64
import json
import logging
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import Any, Final, TextIO

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pytp_broker.audit import AuditRecord
from pytp_broker.budgets import network_of
from pytp_broker.display import printable
from pytp_broker.errors import (
    MalformedRequest,
    NotFound,
    PayloadTooLarge,
    Problem,
    Unavailable,
    Unexpected,
)
from pytp_broker.handlers.gateway import Event, write_result
from pytp_broker.local.certificates import CertificateFiles
from pytp_broker.local.events import HttpRequest, build_event
from pytp_broker.local.routes import RouteTable, TemplateError
from pytp_broker.messages import problem_response
from pytp_broker.registries import LEGACY_PATH

# API Gateway's own limit for an HTTP API.
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
# Nobody but an upload sends more; the largest is a disclosure. Anyone may send, so what is kept in
# memory has to have an end.
MAX_SMALL_BODY_BYTES: Final = 1024 * 1024
# uv and pip read pages and files over some fifty connections; a client uploads one file at a time.
# One address gets half of these places.
_MAX_REQUESTS: Final = 128
_MAX_UPLOADS: Final = 16
# How long a body may take to arrive. Whoever sends half of one keeps a place for so long.
_UPLOAD_SECONDS: Final = 60
_SMALL_BODY_SECONDS: Final = 10
# How long a head may take, from the connection or from the end of the answer before.
_HEAD_SECONDS: Final = 10
# How long a client may read nothing of its answer. Not how long it may take for all of it: 10 MB
# take 84 s at 1 Mbit/s, and who reads nothing at all should not keep its place for so long.
_STALL_SECONDS: Final = 30
# What the kernel may hold unsent. Linux holds 4 MiB: a client at 1 Mbit/s is seen to read once in
# 11 s, and an answer counts as sent half a minute before it is. With this limit, once in 1.5 s.
_UNSENT_BYTES: Final = 128 * 1024
# An answer is sent in chunks, for the client to catch up in between, and waits for that on disk if
# it is large. The chunk is a multiple of 4, the digits that base64 makes of three bytes.
_CHUNK_BYTES: Final = 64 * 1024
_MAX_BYTES_IN_MEMORY: Final = 256 * 1024
_UPLOADS: Final = "UploadFunction"
_UPLOAD_PATHS: Final = (LEGACY_PATH, LEGACY_PATH.rstrip("/"))
_SHUTDOWN_SECONDS: Final = 5
# A function may wait seconds for an issuer; the others must not wait with it.
_WORKERS: Final = 32
# These two wait for nobody and hold whole files: as bytes, base64 and text, 36 MB for one of 10.
_FILE_FUNCTIONS: Final = (_UPLOADS, "SimpleFunction")
_FILE_WORKERS: Final = 8

Function = Callable[[Event], Mapping[str, Any]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _DisconnectedError(Exception):
    """The client has gone before its request was complete."""


class Log:
    """JSON lines, one an event. What is given to it holds no token."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._lock = Lock()

    def write(self, event: str, **facts: object) -> None:
        """Write one line."""
        self._print({**facts, "event": event})

    def audit(self, record: AuditRecord) -> None:
        """Write an audit record: what happened to an exchange, a burn or an upload."""
        self._print(record.document())

    def fault(self, error: Exception) -> None:
        """Write where an unexpected exception comes from; its text may quote a request."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.write("fault", error=type(error).__name__, traceback=lines)

    def capture(self) -> None:
        """Write what libraries log to this log, as far as they warn."""
        logging.basicConfig(handlers=[_Warnings(self)])

    def _print(self, document: Mapping[str, object]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": at, **document}, default=str)
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()


class _Warnings(logging.Handler):
    """What a library has to say, in a line of our log; an exception without its text."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception):
            self._log.fault(error)
        else:
            self._log.write(
                "warning", by=record.name, message=printable(record.getMessage().strip())
            )


@dataclass(slots=True)
class _Lane:
    """What requests of one kind may take up: how many at a time, each with what body."""

    max_requests: int
    max_body_bytes: int
    body_seconds: int
    requests: Counter[str] = field(default_factory=Counter)  # of each source that has one

    @contextmanager
    def entered(self, address: str) -> Iterator[None]:
        """Take a place in the lane; raise Unavailable when there is none for this address.

        One address gets half of the lane at most, so that it does not stop all others. What one
        IPv6 client has is a network of them.
        """
        source = network_of(address)
        is_full = self.requests.total() >= self.max_requests
        if is_full or self.requests[source] >= self.max_requests // 2:
            raise Unavailable(
                "this server has no room for another request of yours now", retry_after_seconds=1
            )
        self.requests[source] += 1
        try:
            yield
        finally:
            self.requests[source] -= 1
            if not self.requests[source]:
                del self.requests[source]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is sent to a client. Who has it closes its content."""

    status: int
    headers: Mapping[str, str]
    content: SpooledTemporaryFile[bytes]


class Gateway:
    """A raw ASGI application that does what API Gateway does."""

    def __init__(self, routes: RouteTable, functions: Mapping[str, Function], log: Log) -> None:
        """Raise TemplateError when a route leads to a function that is not given."""
        missing = routes.functions - functions.keys()
        if missing:
            raise TemplateError(f"template.yaml has routes to unknown {', '.join(sorted(missing))}")
        self._routes = routes
        self._functions = functions
        self._uploads = _Lane(_MAX_UPLOADS, MAX_BODY_BYTES, _UPLOAD_SECONDS)
        self._others = _Lane(_MAX_REQUESTS, MAX_SMALL_BODY_BYTES, _SMALL_BODY_SECONDS)
        self.log = log
        self._workers = ThreadPoolExecutor(_WORKERS, "function")
        self._file_workers = ThreadPoolExecutor(_FILE_WORKERS, "file")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        began = time.monotonic()
        request = _read_head(scope)
        lane = self._lane(request)
        with ExitStack() as place:
            try:
                place.enter_context(lane.entered(request.source_ip))
                answer = await self._answer(request, receive, lane)
            except _DisconnectedError:
                return
            except Problem as problem:
                answer = _refuse(problem, request)
            # Before the answer, so that a client that has it finds the line too.
            self.log.write(
                "request",
                method=printable(request.method, 20),
                path=printable(request.path),
                status=answer.status,
                milliseconds=round((time.monotonic() - began) * 1000),
            )
            # Still in the lane: an answer that nobody reads takes up room too.
            await _send(answer, send)

    def _lane(self, request: HttpRequest) -> _Lane:
        """Return the lane of a request. Not all that the upload function gets is an upload."""
        is_upload = request.path.endswith(_UPLOAD_PATHS) and self._function(request) == _UPLOADS
        return self._uploads if is_upload else self._others

    def _function(self, request: HttpRequest) -> str | None:
        selected = self._routes.select(request.method, request.path)
        return selected and selected[0].function

    async def _answer(self, request: HttpRequest, receive: Receive, lane: _Lane) -> _Answer:
        """Return the answer to a request whose body is still to be read."""
        body = await _read_body(request, receive, lane)
        is_file = self._function(request) in _FILE_FUNCTIONS
        workers = self._file_workers if is_file else self._workers
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(workers, self._respond, replace(request, body=body))

    def _respond(self, request: HttpRequest) -> _Answer:
        """Return the answer to a request; whatever goes wrong is an error object too."""
        selected = self._routes.select(request.method, request.path)
        if selected is None:
            return _refuse(NotFound("there is nothing at this address"), request)
        route, variables = selected
        try:
            event = build_event(request, route, variables, datetime.now(UTC))
            return _read_result(self._functions[route.function](event), request)
        except Exception as error:  # noqa: BLE001 - the outermost edge
            failure = error
        # Only now, so that no error of the log itself is printed together with the first one.
        self.log.fault(failure)
        return _refuse(Unexpected(), request)


def _read_head(scope: Scope) -> HttpRequest:
    return HttpRequest(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("ascii", "replace"),
        query=scope["query_string"].decode("ascii", "replace"),
        headers=[(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]],
        source_ip=scope["client"][0] if scope.get("client") else "",
        http_version=scope["http_version"],
        scheme=scope["scheme"],
    )


async def _read_body(request: HttpRequest, receive: Receive, lane: _Lane) -> bytes:
    _check_size(int(dict(request.headers).get("content-length", 0)), lane.max_body_bytes)
    try:
        async with asyncio.timeout(lane.body_seconds):
            return await _receive_body(receive, lane.max_body_bytes)
    except TimeoutError:
        raise MalformedRequest(
            f"the body was not complete within {lane.body_seconds} s",
            headers={"Connection": "close"},
        ) from None


async def _receive_body(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        body += message.get("body", b"")
        more = message.get("more_body", False)
        _check_size(len(body), limit)
    return bytes(body)


def _check_size(length: int, limit: int) -> None:
    if length > limit:
        raise PayloadTooLarge(f"a request takes at most {limit // 1024} KiB here")


def _refuse(problem: Problem, request: HttpRequest) -> _Answer:
    return _read_result(write_result(problem_response(problem, instance=request.path)), request)


def _read_result(result: Mapping[str, Any], request: HttpRequest) -> _Answer:
    """Return the answer that a function's result says; raise OSError when the disk is full."""
    content = _read_content(result)
    headers = {name.lower(): value for name, value in result.get("headers", {}).items()}
    length = str(content.tell())
    content.seek(0)
    # HEAD and 304 leave the body out and say how long it is (RFC 9110 §8.6): the function knows.
    if request.method == "HEAD" and length == "0":
        headers.setdefault("content-length", length)
    elif result["statusCode"] != HTTPStatus.NOT_MODIFIED:
        headers["content-length"] = length
    return _Answer(result["statusCode"], headers, content)


def _read_content(result: Mapping[str, Any]) -> SpooledTemporaryFile[bytes]:
    is_base64 = result.get("isBase64Encoded")
    body = result.get("body", "")
    with ExitStack() as failed:
        content = failed.enter_context(SpooledTemporaryFile[bytes](_MAX_BYTES_IN_MEMORY))
        # Piece by piece: a second copy of all of it is what the file is there to avoid.
        for start in range(0, len(body), _CHUNK_BYTES):
            piece = body[start : start + _CHUNK_BYTES]
            content.write(base64.b64decode(piece) if is_base64 else piece.encode())
        failed.pop_all()
    return content


async def _send(answer: _Answer, send: Send) -> None:
    """Send an answer no faster than the client reads it; return when it is sent."""
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in answer.headers.items()]
    with answer.content as content:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        while chunk := content.read(_CHUNK_BYTES):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # uvicorn waits before it sends and not after: this end waits for the last chunk.
        await send({"type": "http.response.body"})


class _Deadline:
    """When to give a client up, unless it does what it should before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, give_up: Callable[[], None]) -> None:
        """Give up in so many seconds, whatever was set before."""
        self.lift()
        self._timer = self._loop.call_later(seconds, give_up)

    def lift(self) -> None:
        """Do not give up."""
        if self._timer is not None:
            self._timer.cancel()


class _Protocol(H11Protocol):
    """uvicorn's, but no client is waited for without end, and what is no HTTP is told so our way.

    uvicorn itself closes a connection on which nothing comes for five seconds after an answer.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head."""
        self._head = _Deadline(self.loop)
        self._reading = _Deadline(self.loop)
        super().connection_made(transport)
        # Writing is to pause as long as anything is unsent. (With TLS, 0 would pause it always.)
        transport.set_write_buffer_limits(high=1, low=0)
        self._head.set(_HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._head.lift()
        self._reading.lift()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has come; once a head is complete it is us who are waited for."""
        super().handle_events()
        if not self.transport.is_closing() and not _is_idle(self):
            self._head.lift()

    def on_response_complete(self) -> None:
        """Wait for the next head, and for what is left of a body that was refused before it."""
        is_body_left = self.conn.their_state is h11.SEND_BODY
        self._head.set(_UPLOAD_SECONDS if is_body_left else _HEAD_SECONDS, self._give_up)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._reading.set(_STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._reading.lift()
        super().resume_writing()

    def _give_up(self) -> None:
        if self.transport.is_closing():
            # TLS keeps the end of an answer to itself: that has its time to be read as well.
            self._head.set(_STALL_SECONDS, self.transport.abort)
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what came, if there still is something to answer."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            response = problem_response(MalformedRequest(msg), instance="")
            length = str(len(response.body))
            headers = {**response.headers, "Connection": "close", "Content-Length": length}
            for event in (
                h11.Response(status_code=response.status, headers=[*headers.items()]),
                h11.Data(data=response.body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._head.set(_STALL_SECONDS, self.transport.abort)
        if self.cycle is not None:  # what it was the body of needs no other answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()


class _Server(uvicorn.Server):
    """uvicorn, saying when it accepts connections, and not waiting for idle ones at its end.

    The kernel takes no more of an answer than it has to: a client that does not read is noticed.
    """

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if sys.platform == "linux":  # pragma: no branch - other systems have smaller buffers
            for listener in sockets or []:  # its connections have what it has
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            # TLS would wait for a goodbye that a client with nothing to say never sends.
            if isinstance(connection, H11Protocol) and _is_idle(connection):
                connection.transport.abort()
        await super().shutdown(sockets)


def _is_idle(connection: H11Protocol) -> bool:
    return getattr(connection.cycle, "response_complete", True)  # None before a first request


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's, but TLS has to be agreed upon in the time of a head, not in a minute."""

    async def create_server(  # hands on what it is given
        self,
        *arguments: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> asyncio.Server:
        """Return a server with that deadline, which uvicorn has no option for."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = _HEAD_SECONDS
        return await super().create_server(*arguments, **options)


def run(
    gateway: Gateway,
    listener: socket.socket,
    certificate: CertificateFiles | None,
    on_ready: Callable[[], None],
) -> None:
    """Serve on a bound socket until SIGINT or SIGTERM; ``on_ready`` is called once it accepts."""
    gateway.log.capture()
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(_Server(_configure(gateway, certificate), on_ready).serve([listener]))


def _configure(gateway: Gateway, certificate: CertificateFiles | None) -> uvicorn.Config:
    return uvicorn.Config(
        gateway,
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.private_key if certificate else None,
        access_log=False,
        http=_Protocol,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        # On purpose: uvicorn would believe every client on this machine in where it comes from.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ws="none",
    )
