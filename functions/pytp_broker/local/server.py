"""The local server: API Gateway and Lambda in one process, for one machine."""

import asyncio
import gc
import socket
import ssl
import sys
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import Final, cast

import uvicorn

from pytp_broker.local.acceptor import Acceptor, Address, raise_file_limit
from pytp_broker.local.certificates import CertificateFiles
from pytp_broker.local.gateway import Gateway
from pytp_broker.local.protocol import Protocol

# How much the kernel may hold unsent. Linux holds 4 MiB: a client at 1 Mbit/s then seems to read
# once in 11 s, and an answer counts as sent half a minute too early. With this limit, the client
# seems to read once in 1.5 s.
_UNSENT_BYTES: Final = 128 * 1024
_SHUTDOWN_SECONDS: Final = 5
# A client may have sent another request that we have not read yet. It gets its answer, and reads in
# it that the connection ends.
_LAST_REQUEST_SECONDS: Final = 0.05
# asyncio's own is 256 KiB. One record of TLS is 16 KiB at most.
_TLS_BUFFER_BYTES: Final = 32 * 1024
# This loop can watch a socket before we make anything for it. On Windows it is not asyncio's
# default.
_Loop: Final = asyncio.SelectorEventLoop


class _Server(uvicorn.Server):
    """A uvicorn that says when it accepts connections; at its end it does not wait for idle ones.

    The kernel takes only a little of an answer in advance, so that we notice a client that does not
    read.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._on_ready, self._on_stop = on_ready, on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn gets no sockets, because it would let asyncio accept every connection.
        await super().startup([])
        for listener in sockets or []:
            _prepare(listener)
            self.servers.append(self._accept(listener))  # type: ignore[arg-type]
        self._on_ready()

    def _accept(self, listener: socket.socket) -> Acceptor:
        gateway = cast("Gateway", self.config.app)

        def make_protocol(address: Address) -> Protocol:
            return Protocol(gateway, self.server_state, address)

        acceptor = Acceptor(listener, make_protocol, self.config.ssl, gateway.refusals)
        gateway.count_connections = acceptor.count_connections
        return acceptor

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        for connection in self._connections():
            connection.end_soon()
        await asyncio.sleep(_LAST_REQUEST_SECONDS)
        for connection in self._connections():
            # TLS would wait for the client's goodbye, which an idle client never sends.
            if connection.is_idle:
                connection.transport.abort()
        await super().shutdown(sockets)

    def _connections(self) -> list[Protocol]:
        found = list(self.server_state.connections)
        return [connection for connection in found if isinstance(connection, Protocol)]


def _prepare(listener: socket.socket) -> None:
    """Set options that the socket's connections inherit."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # for TLS's handshake
    if sys.platform == "linux":  # pragma: no branch - other systems have smaller buffers
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)


def run(
    gateway: Gateway,
    listener: socket.socket,
    certificate: CertificateFiles | None,
    on_ready: Callable[[ssl.SSLContext | None], None],
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Serve on a bound socket until SIGINT or SIGTERM.

    ``on_ready`` is called in the event loop once the server accepts connections, with its TLS
    context. ``on_stop`` is called when the server begins to end.
    """
    gateway.log.capture()
    raise_file_limit()
    # asyncio allocates this much for each TLS connection, and has no option for it.
    SSLProtocol.max_size = _TLS_BUFFER_BYTES
    config = _configure(gateway, certificate)
    config.load()
    # What there is now stays for good. To look through it at each collection would cost a mint a
    # seventh of its time.
    gc.freeze()
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(_Server(config, lambda: on_ready(config.ssl), on_stop).serve([listener]))


def _configure(gateway: Gateway, certificate: CertificateFiles | None) -> uvicorn.Config:
    return uvicorn.Config(
        gateway,
        ssl_certfile=certificate.certificate if certificate else None,
        ssl_keyfile=certificate.private_key if certificate else None,
        access_log=False,
        http=Protocol,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        # On purpose: otherwise uvicorn would believe the source address that any client on this
        # machine states.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ws="none",
    )
