"""A server in the event loop of a test, whose clock stands still, and its clients."""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from pytp_broker.local import server
from pytp_broker.local.certificates import issue_certificate
from tests.support.gateways import Gateway

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LARGE = 9_900_000


class Client:
    """A connection to the server, with the smallest possible buffer for unread bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[bytes, bytes]:
        """Return the head and the body of one answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head.lower())
        assert found
        return head, await self.reader.readexactly(int(found[1]))

    async def rest(self) -> int:
        """Return how many bytes come before the connection ends."""
        size = 0
        with suppress(ConnectionError):
            while octets := await self.reader.read(65_536):
                size += len(octets)
        return size

    def has_answer(self) -> bool:
        return bool(self.reader._buffer)  # type: ignore[attr-defined]

    def is_closed(self) -> bool:
        return self.reader.at_eof() or self.reader.exception() is not None


class Wire:
    """A server and its clients in this event loop, whose clock only the test moves."""

    def __init__(self, running: uvicorn.Server, listener: socket.socket, ca: Path | None) -> None:
        self.connections = running.server_state.connections
        self.listener = listener
        self._address = listener.getsockname()
        self._context = ssl.create_default_context(cafile=ca) if ca else None
        self._loop = asyncio.get_running_loop()
        self._clients: list[Client] = []
        self._real_time, self._now = self._loop.time, self._loop.time()
        # With one thread, what is done last there is done after everything else.
        self._loop.set_default_executor(ThreadPoolExecutor(1))
        self._loop.time = lambda: self._now  # type: ignore[method-assign]

    async def connect(self, sent: bytes = b"", *, is_tls: bool | None = None) -> Client:
        """Return a connection on which these bytes were sent; of the server's kind, if not told."""
        known = set(self.connections)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        await self._loop.sock_connect(connection, self._address)
        context = self._context if is_tls is not False else None
        opened = await asyncio.open_connection(
            sock=connection,
            ssl=context,
            server_hostname="127.0.0.1" if context else None,
            limit=4096,
        )
        client = Client(*opened)
        self._clients.append(client)
        if context is self._context:
            while not self.connections - known:
                await self.pass_time(0)
        else:  # uvicorn does not hear of it; but who came earlier is accepted earlier
            await self.connect()
        client.writer.write(sent)
        await self.pass_time(0)
        return client

    async def knock(self, sent: bytes = b"", address: str = "127.0.0.1") -> Client:
        """Return a plain TCP connection, and let the server take it or not."""
        opened = await asyncio.open_connection(*self._address, local_addr=(address, 0))
        client = Client(*opened)
        self._clients.append(client)
        client.writer.write(sent)
        for _ in range(5):
            await self.pass_time(0)
        return client

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and whatever is due happen, in the other thread too."""
        self._now += seconds
        for _ in range(10):
            await asyncio.sleep(0)
        await self._loop.run_in_executor(None, int)

    def close(self) -> None:
        """Let the clients go, and the clock."""
        ahead = self._now - self._real_time()
        self._loop.time = lambda: self._real_time() + ahead  # type: ignore[method-assign]
        for client in self._clients:
            client.writer.transport.abort()


def on_the_wire(
    gateway: Gateway,
    act: Callable[[Wire], Awaitable[None]],
    folder: Path | None = None,
    make_listener: Callable[[], socket.socket] = lambda: socket.create_server(("127.0.0.1", 0)),
) -> None:
    """Run a server and what the test does with it; with TLS, if there is a folder for its files."""

    async def serve() -> None:
        certificate = issue_certificate(folder, [], datetime.now(UTC)) if folder else None
        listener = make_listener()
        ready = asyncio.Event()
        running = server._Server(server._configure(gateway.app, certificate), ready.set)
        serving = asyncio.create_task(running.serve([listener]))
        await ready.wait()
        ca = certificate.ca if certificate else None
        wire = Wire(running, listener, ca)
        acting = asyncio.ensure_future(act(wire))
        # This does not use the loop's clock, which stands still: a wait in vain would never end.
        guard = threading.Timer(
            60, asyncio.get_running_loop().call_soon_threadsafe, [acting.cancel]
        )
        guard.start()
        try:
            await acting
        finally:
            guard.cancel()
            wire.close()
            running.should_exit = True
            await serving

    with asyncio.Runner(loop_factory=server._Loop) as runner:
        runner.run(serve())
