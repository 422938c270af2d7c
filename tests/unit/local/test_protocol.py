"""A connection whose transport is made up: what the protocol does when things cross each other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.server import ServerState

from pytp_broker.local.protocol import Protocol
from tests.support.gateways import Gateway, echo

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
BODY = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 999999\r\n\r\n"


class Transport(asyncio.Transport):
    """A transport that keeps what is written, and counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.paused = 0
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Limit nothing."""

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        """Read nothing more: a test hands over what comes."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


def connect(gateway: Gateway) -> tuple[Protocol, Transport]:
    """Return a connection that was just made, and its transport."""
    protocol = Protocol(gateway.app, ServerState(), ("192.0.2.1", 1))
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport


def connected(act: Callable[[Protocol, Transport], Awaitable[None]]) -> list[dict[str, Any]]:
    """Run what a test does with a connection; return the lines of the log."""
    gateway = Gateway(echo)

    async def run() -> None:
        protocol, transport = connect(gateway)
        await act(protocol, transport)
        protocol.connection_lost(None)

    asyncio.run(run())
    return gateway.lines


def test_what_comes_while_the_connection_closes_is_not_read() -> None:
    async def act(protocol: Protocol, transport: Transport) -> None:
        transport.close()
        protocol.data_received(HEAD)
        await asyncio.sleep(0)

    assert connected(act) == []


def test_a_client_that_is_told_to_wait_is_told_once() -> None:
    async def act(protocol: Protocol, transport: Transport) -> None:
        protocol.data_received(BODY + bytes(70_000))
        protocol.data_received(bytes(70_000))

        assert transport.paused == 1

    connected(act)


def test_a_request_whose_rest_was_refused_is_not_answered() -> None:
    async def act(protocol: Protocol, transport: Transport) -> None:
        chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        protocol.data_received(chunked)
        protocol.data_received(b"no\r\n")
        await asyncio.sleep(0)

        assert transport.written.count(b"HTTP/1.1 400 ") == 1
        assert transport.is_closed

    assert connected(act) == []


def test_an_answer_that_ends_while_the_connection_closes_waits_for_no_request() -> None:
    async def act(protocol: Protocol, transport: Transport) -> None:
        protocol.data_received(HEAD + HEAD)
        transport.close()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

        assert transport.written.count(b"HTTP/1.1 200 ") == 1

    assert len(connected(act)) == 1


def test_the_next_answer_of_a_connection_that_ends_soon_is_the_last() -> None:
    async def act(protocol: Protocol, transport: Transport) -> None:
        protocol.end_soon()
        protocol.data_received(HEAD + HEAD)
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

        assert transport.written.count(b"HTTP/1.1 200 ") == 1
        assert b"connection: close" in transport.written
        assert transport.is_closed

    connected(act)


def test_the_answer_that_is_being_made_is_the_last_of_a_connection_that_ends_soon() -> None:
    async def act(protocol: Protocol, transport: Transport) -> None:
        protocol.data_received(HEAD)
        protocol.end_soon()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

        assert b"connection: close" in transport.written

    connected(act)


def test_a_server_that_stops_closes_an_idle_connection() -> None:
    async def act(protocol: Protocol, transport: Transport) -> None:
        protocol.shutdown()

        assert transport.is_closed

    connected(act)
