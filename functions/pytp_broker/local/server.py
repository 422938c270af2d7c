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
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, TextIO

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pytp_broker.audit import AuditRecord
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

# API Gateway's own limit for an HTTP API.
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
# Nobody but an upload sends more; the largest is a disclosure. Anyone may send, so what is kept in
# memory has to have an end.
MAX_SMALL_BODY_BYTES: Final = 1024 * 1024
# uv and pip read pages and files over some fifty connections; a client uploads one file at a time.
_MAX_REQUESTS: Final = 128
_MAX_UPLOADS: Final = 16
# How long a body may take to arrive. Whoever sends half of one keeps a place for so long.
_UPLOAD_SECONDS: Final = 60
_SMALL_BODY_SECONDS: Final = 10
_UPLOADS: Final = "UploadFunction"
_SHUTDOWN_SECONDS: Final = 5
# A function may wait seconds for an issuer; the others must not wait with it.
_WORKERS: Final = 32

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
    requests: int = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Take a place in the lane; raise Unavailable when there is none."""
        if self.requests >= self.max_requests:
            raise Unavailable(
                "this server has no room for another request now", retry_after_seconds=1
            )
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        began = time.monotonic()
        request = _read_head(scope)
        try:
            result = await self._answer(request, receive)
        except _DisconnectedError:
            return
        except Problem as problem:
            result = write_result(problem_response(problem, instance=request.path))
        # Before the answer, so that a client that has it finds the line too.
        self.log.write(
            "request",
            method=printable(request.method, 20),
            path=printable(request.path),
            status=result["statusCode"],
            milliseconds=round((time.monotonic() - began) * 1000),
        )
        await _send_result(result, send)

    async def _answer(self, request: HttpRequest, receive: Receive) -> Mapping[str, Any]:
        """Return the result for a request whose body is still to be read."""
        selected = self._routes.select(request.method, request.path)
        is_upload = selected is not None and selected[0].function == _UPLOADS
        lane = self._uploads if is_upload else self._others
        with lane.entered():
            body = await _read_body(request, receive, lane)
            loop = asyncio.get_running_loop()
            complete = replace(request, body=body)
            return await loop.run_in_executor(self._workers, self.respond, complete)

    def respond(self, request: HttpRequest) -> Mapping[str, Any]:
        """Return the result for a request; whatever goes wrong is an error object too."""
        selected = self._routes.select(request.method, request.path)
        if selected is None:
            problem = NotFound("there is nothing at this address")
            return write_result(problem_response(problem, instance=request.path))
        route, variables = selected
        try:
            event = build_event(request, route, variables, datetime.now(UTC))
            return self._functions[route.function](event)
        except Exception as error:  # noqa: BLE001 - the outermost edge
            failure = error
        # Only now, so that no error of the log itself is printed together with the first one.
        self.log.fault(failure)
        return write_result(problem_response(Unexpected(), instance=request.path))


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


async def _send_result(result: Mapping[str, Any], send: Send) -> None:
    body = result.get("body", "")
    content = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
    headers = {name.lower(): value for name, value in result.get("headers", {}).items()}
    headers["content-length"] = str(len(content))
    await send(
        {
            "type": "http.response.start",
            "status": result["statusCode"],
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": content})


class _Protocol(H11Protocol):
    """uvicorn's, but for its own answer to what is no HTTP: that is the one error object too."""

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


class _Server(uvicorn.Server):
    """uvicorn, saying when it accepts connections, and not waiting for idle ones at its end."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
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


def run(
    gateway: Gateway,
    listener: socket.socket,
    certificate: CertificateFiles | None,
    on_ready: Callable[[], None],
) -> None:
    """Serve on a bound socket until SIGINT or SIGTERM; ``on_ready`` is called once it accepts."""
    gateway.log.capture()
    config = uvicorn.Config(
        gateway,
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.private_key if certificate else None,
        access_log=False,
        http=_Protocol,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        loop="asyncio",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ws="none",
    )
    _Server(config, on_ready).run([listener])
