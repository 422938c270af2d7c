"""What API Gateway does, on this machine.

A request becomes the event that API Gateway would make of it, goes to the function that the
template's routes lead to, in a thread, and the result goes back. There is no other way in: what
answers here is what answers when deployed.
"""

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import Any, Final

from pytp_broker.budgets import network_of
from pytp_broker.display import printable
from pytp_broker.errors import (
    DEFAULT_TYPE_BASE,
    MalformedRequest,
    NotFound,
    PayloadTooLarge,
    Problem,
    Unavailable,
    Unexpected,
)
from pytp_broker.handlers.gateway import Event, write_result
from pytp_broker.local.events import HttpRequest, build_event
from pytp_broker.local.log import Log
from pytp_broker.local.reasons import read_reason
from pytp_broker.local.routes import RouteTable, TemplateError
from pytp_broker.messages import problem_response
from pytp_broker.registries import LEGACY_PATH

# API Gateway's own limit for an HTTP API.
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
# Nobody but an upload sends more; the largest is a disclosure. Anyone may send, so what is kept in
# memory has to have an end.
MAX_SMALL_BODY_BYTES: Final = 1024 * 1024
# How long a body may take to arrive. Whoever sends half of one keeps a place for so long.
UPLOAD_SECONDS: Final = 60
SMALL_BODY_SECONDS: Final = 10
# uv and pip read pages and files over some fifty connections; a client uploads one file at a time.
# One address gets half of these places.
_MAX_REQUESTS: Final = 128
_MAX_UPLOADS: Final = 16
# An answer is sent in chunks, for the client to catch up in between, and waits for that on disk if
# it is large. The chunk is a multiple of 4, the digits that base64 makes of three bytes.
_CHUNK_BYTES: Final = 64 * 1024
_MAX_BYTES_IN_MEMORY: Final = 256 * 1024
_UPLOADS: Final = "UploadFunction"
_UPLOAD_PATHS: Final = (LEGACY_PATH, LEGACY_PATH.rstrip("/"))
# A function may wait seconds for an issuer; the others must not wait with it.
_WORKERS: Final = 32
# These two wait for nobody and hold whole files: as bytes, base64 and text, 36 MB for one of 10.
_FILE_FUNCTIONS: Final = (_UPLOADS, "SimpleFunction")
_FILE_WORKERS: Final = 8

Function = Callable[[Event], Mapping[str, Any]]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _DisconnectedError(Exception):
    """The client has gone before its request was complete."""


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
    reason: bytes
    headers: Mapping[str, str]
    content: SpooledTemporaryFile[bytes]


class Gateway:
    """A raw ASGI application that does what API Gateway does."""

    def __init__(
        self,
        routes: RouteTable,
        functions: Mapping[str, Function],
        log: Log,
        error_type_base: str = DEFAULT_TYPE_BASE,
    ) -> None:
        """Raise TemplateError when a route leads to a function that is not given."""
        missing = routes.functions - functions.keys()
        if missing:
            raise TemplateError(f"template.yaml has routes to unknown {', '.join(sorted(missing))}")
        self._routes = routes
        self._functions = functions
        self._uploads = _Lane(_MAX_UPLOADS, MAX_BODY_BYTES, UPLOAD_SECONDS)
        self._others = _Lane(_MAX_REQUESTS, MAX_SMALL_BODY_BYTES, SMALL_BODY_SECONDS)
        self.log = log
        self.error_type_base = error_type_base
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
                answer = self._refuse(problem, request)
            # Before the answer, so that a client that has it finds the line too.
            self.log.write(
                "access",
                method=printable(request.method, 20),
                path=printable(request.path),
                source_ip=request.source_ip,
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
            return self._refuse(NotFound("there is nothing at this address"), request)
        route, variables = selected
        try:
            event = build_event(request, route, variables, datetime.now(UTC))
            return _read_result(self._functions[route.function](event), request)
        except Exception as error:  # noqa: BLE001 - the outermost edge
            failure = error
        # Only now, so that no error of the log itself is printed together with the first one.
        self.log.fault(failure)
        return self._refuse(Unexpected(), request)

    def _refuse(self, problem: Problem, request: HttpRequest) -> _Answer:
        response = problem_response(problem, request.path, self.error_type_base)
        return _read_result(write_result(response), request)


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


def _read_result(result: Mapping[str, Any], request: HttpRequest) -> _Answer:
    """Return the answer that a function's result says; raise OSError when the disk is full."""
    content = _read_content(result)
    headers = {name.lower(): value for name, value in result.get("headers", {}).items()}
    length = str(content.tell())
    reason = read_reason(headers, content)
    content.seek(0)
    # HEAD and 304 leave the body out and say how long it is (RFC 9110 §8.6): the function knows.
    if request.method == "HEAD" and length == "0":
        headers.setdefault("content-length", length)
    elif result["statusCode"] != HTTPStatus.NOT_MODIFIED:
        headers["content-length"] = length
    return _Answer(result["statusCode"], reason, headers, content)


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
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await send({**start, "reason": answer.reason})  # not ASGI's: our protocol reads it
        while chunk := content.read(_CHUNK_BYTES):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # uvicorn waits before it sends and not after: this end waits for the last chunk.
        await send({"type": "http.response.body"})
