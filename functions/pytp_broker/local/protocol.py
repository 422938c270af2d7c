"""HTTP/1.1 as the local server speaks it: one request at a time, and a time limit on every wait."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import closing
from functools import partial
from typing import Final

from uvicorn.server import ServerState

from pytp_broker.content import read_all
from pytp_broker.errors import MalformedRequest
from pytp_broker.http.messages import problem_response
from pytp_broker.local.acceptor import Address
from pytp_broker.local.answers import (
    Answer,
    Message,
    SlowClientError,
    start_of,
)
from pytp_broker.local.cycles import Cycle, write_start
from pytp_broker.local.deadlines import Deadline
from pytp_broker.local.framing import Body, Fields, FramingError, HeadReader
from pytp_broker.local.gateway import Gateway
from pytp_broker.local.kinds import UPLOAD_SECONDS
from pytp_broker.local.reasons import write_reason
from pytp_broker.local.refused_bodies import discard_body

# How long a head may take, from the connection or from the end of the previous answer.
HEAD_SECONDS: Final = 10
# How long we wait for the first byte of another request, or of the rest of a refused body.
_KEPT_SECONDS: Final = 5
# How long a client may read nothing of its answer. The whole answer may take longer: 10 MB take 84
# s at 1 Mbit/s. A client that reads nothing should not keep its place for so long.
_STALL_SECONDS: Final = 30
# How much of a body may wait for its reader; then the client waits.
_HELD_BYTES: Final = 64 * 1024
_INTERNAL_ERROR: Final = b"Internal Server Error"

_log = logging.getLogger(__name__)


class Protocol(asyncio.Protocol):
    """One connection: it reads requests, lets the gateway answer them, and ends slow clients."""

    def __init__(self, gateway: Gateway, state: ServerState, client: Address) -> None:
        self.client = client[0], client[1]
        self.cycle: Cycle | None = None
        self._gateway = gateway
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._wait = Deadline(self._loop)  # for a request
        self._read_by = 0.0  # the next head, or the rest of a refused body
        self._reading = Deadline(self._loop)  # of our answer
        self._received = bytearray()
        self._heads = HeadReader()
        self._body: Body | None = None  # what is still to come of the request
        self._is_paused = False
        self._is_ending = False
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def is_idle(self) -> bool:
        """Say whether the client has the answers to all its requests."""
        return self.cycle is None or self.cycle.is_answered

    @property
    def default_fields(self) -> Fields:
        """Return the header fields of every answer: the date."""
        return self._state.default_headers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client time to send a head."""
        self.transport = transport
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._state.connections.add(self)  # type: ignore[arg-type]
        # Writing pauses while anything is unsent. With TLS, a limit of 0 would pause it always.
        transport.set_write_buffer_limits(high=1, low=0)
        self._give_time(HEAD_SECONDS)
        self._wait.set(self._read_by, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Stop all deadlines; a request that is being answered learns of it."""
        self._state.connections.discard(self)
        self._wait.lift()
        self._reading.lift()
        self._writable.set()
        if self.cycle is not None:
            self.cycle.give_up()

    # --- what the client sends ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self.transport.is_closing():
            return
        self._received += data
        self._read()
        is_part = self._received or self._body is not None
        if self.is_idle and is_part and not self.transport.is_closing():
            self._wait.set(self._read_by, self._give_up)

    def _go_on(self) -> None:
        """Read what came together with a request that has its answer."""
        if not self.transport.is_closing():
            self._read()

    def _read(self) -> None:
        try:
            while self._received and self._read_part():
                pass
        except FramingError as error:
            self._refuse(str(error))

    def _read_part(self) -> bool:
        """Read one part of a request; return False if it has not come, or must wait."""
        if self._body is not None:
            return self._read_body(self._body)
        if self.cycle is not None and self.cycle.is_last:
            self._received.clear()  # nothing can follow
            return False
        if not self.is_idle:
            self._pause()
            return False
        return self._read_head()

    def _read_head(self) -> bool:
        head = self._heads.take(self._received)
        if head is None:
            return False
        self._wait.lift()
        self.cycle = Cycle(head, self)
        self.cycle.is_last |= self._is_ending
        self._read_body(head.body)
        if self._answer_at_once(self.cycle):
            return False  # other connections are next
        self._answer_later(self.cycle)
        return True

    def _read_body(self, body: Body) -> bool:
        assert self.cycle is not None  # noqa: S101 - its head was read
        self._body = body
        octets = body.take(self._received)
        if body.is_whole:
            self._body = None
        self.cycle.add(octets, is_whole=body.is_whole)
        if self.cycle.held_bytes > _HELD_BYTES:
            self._pause()
        return body.is_whole

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def go_on_reading(self) -> None:
        """Let the client send more."""
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    # --- the answer -----------------------------------------------------------------------------

    def _answer_at_once(self, cycle: Cycle) -> bool:
        """Let the gateway answer now, if the request is whole and the client reads."""
        body = cycle.whole_body
        if body is None or not self._writable.is_set():
            return False

        try:
            return self._gateway.answer_at_once(
                cycle.scope, body, partial(self._send, cycle), partial(self._answer_later, cycle)
            )
        except Exception:  # noqa: BLE001 - the usual way meets it again, and logs it
            return False

    def _send(self, cycle: Cycle, answer: Answer) -> None:
        """Send a whole answer; it ends when it has left."""
        with closing(answer.content):
            try:
                cycle.write(start_of(answer), read_all(answer.content))
                if self._writable.is_set():
                    cycle.end()
                else:
                    self._run(self._end_later(cycle))
            except Exception as error:  # noqa: BLE001 - the outermost edge
                self._fail(cycle, error)

    async def _end_later(self, cycle: Cycle) -> None:
        await self._finish(cycle, cycle.send({"type": "http.response.body"}))

    def _answer_later(self, cycle: Cycle) -> None:
        self._run(self._answer(cycle))

    def _run(self, story: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(story)
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _answer(self, cycle: Cycle) -> None:
        """Let the gateway answer; a client that reads too slowly loses its connection."""
        if not cycle.is_over:  # what followed the head may have been refused already
            await self._finish(cycle, self._answer_whole(cycle))

    async def _finish(self, cycle: Cycle, answering: Coroutine[None, None, None]) -> None:
        try:
            await answering
        except SlowClientError:
            cycle.give_up()
            self._drop("slow-reader")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the outermost edge
            self._fail(cycle, error)

    async def _answer_whole(self, cycle: Cycle) -> None:
        held_back: list[Message] = []

        async def send(message: Message) -> None:
            is_end = message["type"] == "http.response.body" and not message.get("more_body")
            if is_end and cycle.must_wait_for_body:
                held_back.append(message)
            else:
                await cycle.send(message)

        await self._gateway(cycle.scope, cycle.receive, send)
        for end in held_back:  # after the gateway: the request has left its place there
            await discard_body(cycle.receive)
            await cycle.send(end)

    def _fail(self, cycle: Cycle, error: BaseException) -> None:
        _log.error("a request was not answered", exc_info=error)
        if not cycle.is_begun and not cycle.is_over:
            self._write_last(500, b"", {"Content-Type": "text/plain"}, _INTERNAL_ERROR)
        self._close()
        cycle.give_up()

    def write(self, octets: bytes) -> None:
        """Send bytes, or keep them until the client reads."""
        self.transport.write(octets)

    async def wait_to_write(self) -> None:
        """Return once everything that was written has left."""
        if not self._writable.is_set():
            await self._writable.wait()

    def end_cycle(self) -> None:
        """Wait for the rest of a refused body, if there is one, and for the next head."""
        self._give_time(HEAD_SECONDS if self._body is None else UPLOAD_SECONDS)
        if self.cycle is not None and self.cycle.is_last:
            self.transport.close()
            self._wait.set(self._read_by, self._give_up)
        elif not self.transport.is_closing():
            self._wait.set(self._loop.time() + _KEPT_SECONDS, self._close)
            self.go_on_reading()
            if self._received:
                self._loop.call_soon(self._go_on)

    def _write_last(self, status: int, reason: bytes, headers: dict[str, str], body: bytes) -> None:
        """Write an answer after which the connection ends."""
        headers = {**headers, "Connection": "close", "Content-Length": str(len(body))}
        given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        fields = [*self.default_fields, *given]
        self.transport.write(write_start(status, reason, fields) + body)

    def _refuse(self, detail: str) -> None:
        """Refuse a malformed request, if it still needs an answer."""
        _log.warning("%s", detail, extra={"source_ip": self.client[0]})
        is_between = self._body is None and self.is_idle
        if is_between or (self.cycle is not None and not self.cycle.is_begun):
            base = self._gateway.error_type_base
            response = problem_response(MalformedRequest(detail), "", base)
            self._write_last(
                response.status, write_reason(detail), dict(response.headers), response.body
            )
        self._close()
        if self.cycle is not None:  # what came was its body; it needs no other answer
            self.cycle.give_up()

    # --- the end --------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        self._writable.clear()
        self._reading.set(self._loop.time() + _STALL_SECONDS, lambda: self._drop("slow-reader"))

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._reading.lift()
        self._writable.set()

    def end_soon(self) -> None:
        """Let the next answer be the last one, or the one that is being made."""
        self._is_ending = True
        if self.cycle is not None and not self.cycle.is_answered:
            self.cycle.is_last = True

    def shutdown(self) -> None:
        """Close the connection, after the answer that is being made."""
        if self.cycle is None or self.cycle.is_answered:
            self._close()
        else:
            self.cycle.is_last = True

    def _give_time(self, seconds: float) -> None:
        self._read_by = self._loop.time() + seconds

    def _close(self) -> None:
        """Close the connection; the client gets some time to read what is left."""
        self.transport.close()
        self._wait.set(self._loop.time() + _STALL_SECONDS, self.transport.abort)

    def _give_up(self) -> None:
        if self.transport.is_closing():
            # TLS buffers the end of an answer, and the client gets time to read that too.
            self._close()
        else:
            self._drop("no-request" if self._body is None else "no-body")

    def _drop(self, reason: str) -> None:
        self._gateway.refusals.note(self.client[0], reason)
        self.transport.abort()
