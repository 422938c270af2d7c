"""HTTP/1.1 as the local server speaks it: uvicorn's protocol, with a time limit on every wait."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pytp_broker.errors import MalformedRequest
from pytp_broker.http.messages import problem_response
from pytp_broker.local.answers import Message, Receive, Scope, Send, SlowClientError
from pytp_broker.local.framing import StrictConnection
from pytp_broker.local.gateway import UPLOAD_SECONDS, Gateway
from pytp_broker.local.reasons import write_reason

# How long a head may take, from the connection or from the end of the previous answer.
HEAD_SECONDS: Final = 10
# How long a client may read nothing of its answer. The whole answer may take longer: 10 MB take 84
# s at 1 Mbit/s. A client that reads nothing should not keep its place for so long.
_STALL_SECONDS: Final = 30
# How long a client may pause in a refused body before we close its connection.
_PAUSE_SECONDS: Final = 2


class _Deadline:
    """A timer that ends our wait for a client unless the client acts in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, give_up: Callable[[], None]) -> None:
        """Call ``give_up`` in this many seconds; this replaces an earlier deadline."""
        self.lift()
        self._timer = self._loop.call_later(seconds, give_up)

    def lift(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()


class _AddressedLogger(logging.LoggerAdapter[logging.Logger]):
    """uvicorn's logger, with the address of the client in every record."""

    @property
    def level(self) -> int:
        return self.logger.level


class Protocol(H11Protocol):
    """uvicorn's protocol with deadlines, strict framing and our own error object.

    uvicorn closes a connection if nothing arrives for five seconds after an answer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*arguments, **options)
        self.conn: StrictConnection = StrictConnection()
        self._gateway = cast("Gateway", self.config.app)
        self.app = self._answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client time to send a head."""
        self._head = _Deadline(self.loop)
        self._reading = _Deadline(self.loop)
        super().connection_made(transport)
        self._source_ip = self.client[0] if self.client else ""
        addressed = _AddressedLogger(self.logger, {"source_ip": self._source_ip})
        self.logger = addressed  # type: ignore[assignment]
        _send_at_once(transport.get_extra_info("socket"))
        # Writing pauses while anything is unsent. With TLS, a limit of 0 would pause it always.
        transport.set_write_buffer_limits(high=1, low=0)
        self._head.set(HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all deadlines."""
        self._head.lift()
        self._reading.lift()
        super().connection_lost(exc)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the gateway answer; a client that reads too slowly loses its connection."""
        if self.cycle.disconnected:  # what followed the head was refused already
            return
        held_back: list[Message] = []

        async def send_ours(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._prepare(message)
            elif not message.get("more_body") and self._is_body_lost(scope):
                held_back.append(message)
                return
            await send(message)

        try:
            await self._gateway(scope, receive, send_ours)
        except SlowClientError:
            self.cycle.disconnected = True
            self._drop("slow-reader")
        for end in held_back:  # after the gateway: the request has left its place there
            await _discard_body(receive)
            await send(end)

    def _is_body_lost(self, scope: Scope) -> bool:
        """Return whether this answer's end would close a connection while a body still arrives.

        The system then resets the connection, and the client may lose the answer. A proxy that
        speaks HTTP/1.0 to us turns that into a 502.
        """
        is_coming = self.conn.their_state is h11.SEND_BODY and not self._is_asked_first
        return is_coming and (
            scope["http_version"] == "1.0"
            or any(
                name == b"connection" and b"close" in value.lower() for name, value in self.headers
            )
        )

    def _prepare(self, start: Message) -> None:
        """Use the gateway's reason phrase; close the connection if the client waits to send a body.

        Such a client has asked first (`Expect: 100-continue`), and this is the answer. It may send
        the body nevertheless, so the connection ends here (RFC 9110 §10.1.1).
        """
        self.conn.reason = start.get("reason", b"")
        self._is_asked_first = self.conn.they_are_waiting_for_100_continue
        if self._is_asked_first:
            start["headers"] = [*start["headers"], (b"connection", b"close")]

    def handle_events(self) -> None:
        """Read what has come; end the head's deadline once the client waits for us."""
        super().handle_events()
        if not self.transport.is_closing() and not is_idle(self):
            self._head.lift()

    def on_response_complete(self) -> None:
        """Wait for the rest of a refused body, if there is one, and for the next head."""
        is_body_left = self.conn.their_state is h11.SEND_BODY
        self._head.set(UPLOAD_SECONDS if is_body_left else HEAD_SECONDS, self._give_up)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._reading.set(_STALL_SECONDS, lambda: self._drop("slow-reader"))

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._reading.lift()
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: the request is answered, and uvicorn would advise to install something."""

    def _give_up(self) -> None:
        if self.transport.is_closing():
            # TLS buffers the end of an answer, and the client gets time to read that too.
            self._head.set(_STALL_SECONDS, self.transport.abort)
        else:
            self._drop("no-request" if is_idle(self) else "no-body")

    def _drop(self, reason: str) -> None:
        self._gateway.refusals.note(self._source_ip, reason)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse a malformed request, if it still needs an answer."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            detail = self.conn.complaint or msg
            base = self._gateway.error_type_base
            response = problem_response(MalformedRequest(detail), "", base)
            length = str(len(response.body))
            headers = {**response.headers, "Connection": "close", "Content-Length": length}
            self.conn.reason = write_reason(detail)
            for event in (
                h11.Response(status_code=response.status, headers=[*headers.items()]),
                h11.Data(data=response.body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._head.set(_STALL_SECONDS, self.transport.abort)
        if self.cycle is not None:  # what came was its body; it needs no other answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()


async def _discard_body(receive: Receive) -> None:
    """Read and drop the rest of a body while it keeps arriving, but not for too long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(UPLOAD_SECONDS):
            while await _is_more_to_come(receive):
                pass


async def _is_more_to_come(receive: Receive) -> bool:
    async with asyncio.timeout(_PAUSE_SECONDS):
        message = await receive()
    return bool(message.get("more_body"))


def _send_at_once(connection: socket.socket) -> None:
    """Send every write at once, so that a body does not wait until its head is acknowledged.

    Clients delay an acknowledgement by 40 ms. asyncio sets this option for sockets whose protocol
    number is TCP's, but `socket.create_server` makes them with 0. Some systems do not pass an
    option of the listening socket on to its connections.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def is_idle(connection: H11Protocol) -> bool:
    """Return whether the client has the answers to all its requests."""
    return getattr(connection.cycle, "response_complete", True)  # None before a first request
