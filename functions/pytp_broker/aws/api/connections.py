"""Kept connections to one endpoint, over TLS.

Threads share them: each exchange takes one for itself, and opens another if all are in use.
"""

import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from pytp_broker.aws.api.answers import Answer, read_answer
from pytp_broker.aws.api.endpoints import Endpoint

_PART: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a call may take, and how large its answer may be.

    Clients wait 5 s for an exchange. A service answers in milliseconds, so a second attempt on
    another connection helps more than a longer wait for the first.
    """

    connect_seconds: float = 1
    read_seconds: float = 2
    call_seconds: float = 4
    attempts: int = 2
    max_answer_bytes: int = 1024 * 1024
    kept_connections: int = 16


class Connections:
    """The connections to an endpoint. ``ticks`` is a clock that never goes back."""

    def __init__(
        self,
        endpoint: Endpoint,
        limits: Limits,
        context: Callable[[], ssl.SSLContext] | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self._context = context or tls_context
        self._ticks = ticks
        self._idle: list[_Connection] = []

    def exchange(self, message: bytes, deadline: float, *, is_head: bool = False) -> Answer:
        """Return the answer to a message; raise OSError.

        After a failure no kept connection is trusted, so another attempt opens a new one.
        """
        connection = self._send(message, deadline)
        try:
            answer = connection.receive(deadline, is_head=is_head)
        except BaseException:
            connection.close()
            self.close()
            raise
        self._keep(connection, answer)
        return answer

    def close(self) -> None:
        """Close all connections that are not in use."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _send(self, message: bytes, deadline: float) -> "_Connection":
        """Return a connection that has taken the whole message.

        A kept connection may end before that. The server has not got the message then, so it cannot
        have done what it says, and a new connection may carry it.
        """
        kept = self._take()
        if kept is not None:
            try:
                kept.send(message, deadline)
            except OSError:
                kept.close()
            else:
                return kept
        opened = self._open(deadline)
        try:
            opened.send(message, deadline)
        except OSError:
            opened.close()
            raise
        return opened

    def _take(self) -> "_Connection | None":
        while (connection := self._pop()) is not None:
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    def _pop(self) -> "_Connection | None":
        try:
            return self._idle.pop()
        except IndexError:  # also if another thread was faster
            return None

    def _keep(self, connection: "_Connection", answer: Answer) -> None:
        if answer.is_last or len(self._idle) >= self.limits.kept_connections:
            connection.close()
        else:
            self._idle.append(connection)

    def _open(self, deadline: float) -> "_Connection":
        endpoint, seconds = self.endpoint, self.limits.connect_seconds
        address = (endpoint.host, endpoint.port)
        opened = socket.create_connection(address, _left(deadline, seconds, self._ticks))
        try:
            # A message goes out at once, even if the last one was not acknowledged yet.
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if endpoint.is_tls:
                opened = self._context().wrap_socket(opened, server_hostname=endpoint.host)
        except OSError:
            opened.close()
            raise
        return _Connection(opened, self.limits, self._ticks)


class _Connection:
    def __init__(self, opened: socket.socket, limits: Limits, ticks: Callable[[], float]) -> None:
        self._socket = opened
        self._limits = limits
        self._ticks = ticks
        self._poll = select.poll()
        self._poll.register(opened, select.POLLIN)

    def is_quiet(self) -> bool:
        """Say whether nothing has come since the last answer, neither bytes nor an end."""
        return not self._poll.poll(0)

    def send(self, message: bytes, deadline: float) -> None:
        self._wait_until(deadline)
        self._socket.sendall(message)

    def receive(self, deadline: float, *, is_head: bool) -> Answer:
        def more() -> bytes:
            self._wait_until(deadline)
            return self._socket.recv(_PART)

        return read_answer(more, is_head=is_head, max_bytes=self._limits.max_answer_bytes)

    def close(self) -> None:
        self._socket.close()

    def _wait_until(self, deadline: float) -> None:
        self._socket.settimeout(_left(deadline, self._limits.read_seconds, self._ticks))


def _left(deadline: float, seconds: float, ticks: Callable[[], float]) -> float:
    """Return how long to wait: these seconds, or less because of the deadline."""
    left = min(seconds, deadline - ticks())
    if left <= 0:
        raise TimeoutError
    return left


@cache
def tls_context() -> ssl.SSLContext:
    """Return what all connections share: it is loaded once, and verifies every server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(os.environ.get("AWS_CA_BUNDLE") or _authorities())
    return context


def _authorities() -> str:
    import certifi

    return certifi.where()
