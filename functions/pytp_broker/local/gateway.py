"""Do on this machine what API Gateway does.

The gateway turns a request into the event that API Gateway would make, calls the function that the
template's routes name, and sends the result back. There is no other way in, so the code that
answers here is the code that answers when deployed.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from pytp_broker.content import Held
from pytp_broker.endpoints.events import Event, write_result
from pytp_broker.errors import (
    DEFAULT_TYPE_BASE,
    NotFound,
    Problem,
    Unavailable,
    Unexpected,
)
from pytp_broker.http.messages import problem_response
from pytp_broker.index.arriving_forms import ArrivingForm
from pytp_broker.local.answers import (
    Answer,
    Receive,
    Scope,
    Send,
    read_result,
    send_answer,
)
from pytp_broker.local.at_once import Asked, Conclude, NeverAtOnce
from pytp_broker.local.bodies import DisconnectedError, received
from pytp_broker.local.gateway_events import HttpRequest, build_event
from pytp_broker.local.kinds import Kind, Kinds
from pytp_broker.local.lanes import Lane
from pytp_broker.local.log import Log
from pytp_broker.local.measures import UNMEASURED, Answered, Measures
from pytp_broker.local.objects import Objects
from pytp_broker.local.proxies import Proxies
from pytp_broker.local.refusals import RefusalLog
from pytp_broker.local.routes import RouteTable, Selected, TemplateError
from pytp_broker.local.uploads import Uploads
from pytp_broker.redaction import printable

_UPLOADS: Final = "UploadFunction"
# A function may wait seconds for an issuer, and the others must not wait with it.
_WORKERS: Final = 32
# These do not wait for an issuer. An upload reads its whole file, several times. The web function
# waits for the process that renders a description.
_FILE_FUNCTIONS: Final = (_UPLOADS, "ReadFunction", "WebFunction")
_FILE_WORKERS: Final = 8

Function = Callable[[Event], Mapping[str, Any]]


class Gateway:
    """A raw ASGI application that does what API Gateway does."""

    def __init__(  # noqa: PLR0913 - each is a setting of the server
        self,
        routes: RouteTable,
        functions: Mapping[str, Function],
        log: Log,
        error_type_base: str = DEFAULT_TYPE_BASE,
        *,
        uploads: Uploads,
        proxies: Proxies = Proxies(),  # noqa: B008 - it never changes
        measures: Measures = UNMEASURED,
        at_once: NeverAtOnce = NeverAtOnce(),  # noqa: B008 - it has no state
    ) -> None:
        """Raise TemplateError when a route leads to a function that is not given."""
        missing = routes.functions - functions.keys()
        if missing:
            raise TemplateError(f"template.yaml has routes to unknown {', '.join(sorted(missing))}")
        self._routes = routes
        self._functions = functions
        self._kinds = Kinds(uploads.objects)
        self.log = log
        self.measures = measures
        self.refusals = RefusalLog(log, measures)
        self.count_connections: Callable[[], int] = lambda: 0  # the server says how
        self.error_type_base = error_type_base
        self._proxies = proxies
        self._bodies = uploads
        self.at_once = at_once
        self._workers = ThreadPoolExecutor(_WORKERS, "function")
        self._file_workers = ThreadPoolExecutor(_FILE_WORKERS, "file")

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Return the lanes by their names in metrics."""
        return self._kinds.lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application does."""
        began = time.monotonic()
        request = _read_head(scope, self._proxies)
        selected = self._routes.select(request.method, request.path)
        kind = self._kinds.of(request, selected)
        async with AsyncExitStack() as place:
            try:
                await place.enter_async_context(kind.lane.entered(request.source_ip))
                answer = await self._answer(request, selected, receive, kind)
            except DisconnectedError:
                return
            except Problem as problem:
                answer = self._refuse(problem, request)
            self._tell(request, answer, time.monotonic() - began)
            # The request keeps its place in the lane, because an answer that nobody reads takes
            # memory too.
            await send_answer(answer, send)

    def answer_at_once(
        self,
        scope: Scope,
        body: bytes,
        send: Callable[[Answer], None],
        otherwise: Callable[[], None],
    ) -> bool:
        """Answer a request whose body has come, if that waits for nothing; say whether it is taken.

        ``send`` gets the answer, perhaps in the loop's next turn. ``otherwise`` is called in its
        place if the request must take the usual way after all. A request does not pass those that
        wait for a place.
        """
        began = time.monotonic()
        request = _read_head(scope, self._proxies)
        selected = self._routes.select(request.method, request.path)
        if selected is None or not self.at_once.takes(selected.route):
            return False
        kind = self._kinds.of(request, selected)
        if kind.is_object or kind.lane.waiting:
            return False
        if request.has_body:
            request = replace(request, body=Held(body))

        def deliver(conclude: Conclude) -> None:
            if request.has_body:
                self.measures.received(len(body))
            answer = self._complete(conclude, request)
            self._tell(request, answer, time.monotonic() - began)
            send(answer)

        event = build_event(request, selected, datetime.now(UTC))
        asked = Asked(selected.route.function, event, deliver, otherwise)
        return self.at_once.answer(asked)

    def _tell(self, request: HttpRequest, answer: Answer, seconds: float) -> None:
        """Log and count a request before its answer is sent, so that a client finds the line."""
        self.log.write(
            "access",
            method=printable(request.method, 20),
            path=printable(request.path),
            source_ip=request.source_ip,
            status=answer.status,
            milliseconds=round(seconds * 1000),
        )
        self.measures.answered(
            Answered(request.method, request.path, answer.status, seconds, answer.content.size)
        )

    async def _answer(
        self, request: HttpRequest, selected: Selected | None, receive: Receive, kind: Kind
    ) -> Answer:
        """Return the answer to a request whose body is still to be read.

        The function refuses an upload without a token that is good for one, and records that. It
        does not need the body for this, so we do not read it.
        """
        if kind.is_upload and selected is not None:
            kind = await self._admitted(request, selected, kind)
        if not kind.is_body_read:
            return await self._call(request, selected)
        try:
            if kind.is_object and self._bodies.objects is not None:
                return await self._store(request, receive, kind, self._bodies.objects)
            if not request.has_body:
                return await self._call(request, selected)
            kind.limits.check(int(request.fields.get("content-length", 0)))
            form = _arriving_form(request) if kind.is_upload else None
            async with received(receive, kind.limits, self._bodies.folder, form) as body:
                self.measures.received(body.size)
                return await self._call(replace(request, body=body), selected)
        except OSError as error:
            failure = error
        self.log.fault(failure)
        raise Unavailable("the server has no room on its disk for this request; try again later")

    async def _store(
        self, request: HttpRequest, receive: Receive, kind: Kind, objects: Objects
    ) -> Answer:
        put = objects.read(request)
        response = await objects.store(put, receive, kind.limits)
        self.measures.received(put.size)
        return read_result(write_result(response), request)

    async def _admitted(self, request: HttpRequest, selected: Selected, kind: Kind) -> Kind:
        """Return the kind of an upload, with how much of its body may be read."""
        event = build_event(request, selected, datetime.now(UTC))
        limit = await self._bodies.admit(event)
        return replace(kind, limits=replace(kind.limits, max_bytes=limit), is_body_read=limit > 0)

    async def _call(self, request: HttpRequest, selected: Selected | None) -> Answer:
        """Return the answer of the selected function, which runs in a thread."""
        if selected is None:
            raise NotFound("there is nothing at this address")
        is_file = selected.route.function in _FILE_FUNCTIONS
        workers = self._file_workers if is_file else self._workers
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(workers, self._respond, request, selected)

    def _respond(self, request: HttpRequest, selected: Selected) -> Answer:
        """Return the answer to a request; every failure becomes an error object."""

        def ask() -> Mapping[str, Any]:
            event = build_event(request, selected, datetime.now(UTC))
            return self._functions[selected.route.function](event)

        return self._complete(ask, request)

    def _complete(self, ask: Callable[[], Mapping[str, Any]], request: HttpRequest) -> Answer:
        try:
            return read_result(ask(), request)
        except Exception as error:  # noqa: BLE001 - the outermost edge
            failure = error
        return self._fail(failure, request)

    def _fail(self, failure: Exception, request: HttpRequest) -> Answer:
        """Log a failure of ours, and return the error object.

        It is called after the `except` block. If logging failed inside it, Python would print both
        errors.
        """
        self.log.fault(failure)
        return self._refuse(Unexpected(), request)

    def _refuse(self, problem: Problem, request: HttpRequest) -> Answer:
        response = problem_response(problem, request.path, self.error_type_base)
        return read_result(write_result(response), request)


def _arriving_form(request: HttpRequest) -> ArrivingForm | None:
    return ArrivingForm.of(request.fields.get("content-type", ""))


def _read_head(scope: Scope, proxies: Proxies) -> HttpRequest:
    peer = scope["client"][0]
    request = HttpRequest(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("ascii", "replace"),
        query=scope["query_string"].decode("ascii", "replace"),
        headers=[(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]],
        source_ip=peer,
        http_version=scope["http_version"],
        scheme=scope["scheme"],
    )
    if not proxies.count:
        return request
    return replace(
        request,
        source_ip=proxies.client_address(peer, request.fields),
        scheme=proxies.client_scheme(request.scheme, request.fields),
    )
