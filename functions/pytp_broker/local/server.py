"""The local server: API Gateway and Lambda in one process, for one machine."""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from pytp_broker.local.certificates import CertificateFiles
from pytp_broker.local.gateway import Gateway
from pytp_broker.local.protocol import HEAD_SECONDS, Protocol, is_idle

# What the kernel may hold unsent. Linux holds 4 MiB: a client at 1 Mbit/s is seen to read once in
# 11 s, and an answer counts as sent half a minute before it is. With this limit, once in 1.5 s.
_UNSENT_BYTES: Final = 128 * 1024
_SHUTDOWN_SECONDS: Final = 5


class _Server(uvicorn.Server):
    """uvicorn, saying when it accepts connections, and not waiting for idle ones at its end.

    The kernel takes no more of an answer than it has to: a client that does not read is noticed.
    """

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:  # its connections have what it has
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # also in TLS handshakes
            if sys.platform == "linux":  # pragma: no branch - other systems have smaller buffers
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            # TLS would wait for a goodbye that a client with nothing to say never sends.
            if isinstance(connection, Protocol) and is_idle(connection):
                connection.transport.abort()
        await super().shutdown(sockets)


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's, but TLS has to be agreed upon in the time of a head, not in a minute."""

    async def create_server(  # hands on what it is given
        self,
        *arguments: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> asyncio.Server:
        """Return a server with that deadline, which uvicorn has no option for."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = HEAD_SECONDS
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
        http=Protocol,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        # On purpose: uvicorn would believe every client on this machine in where it comes from.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ws="none",
    )
