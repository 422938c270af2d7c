"""Connections that end when the other side is too slow, however it spends the time.

Every read shares one budget, from the moment of our request: some seconds of grace, and more for
what has arrived. Without it, a server that sends a byte a minute would hold a thread for weeks.
"""

import socket
import ssl
import time
from typing import Any, Final, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 30
GRACE_SECONDS: Final = 60.0
LEAST_BYTES_PER_SECOND: Final = 4096
_AT_ONCE: Final = 16


class _Paced:
    """Base of sockets that give up on a slow sender."""

    _asked_at = 0.0
    _received = 0

    def sendall(self, *arguments: Any) -> None:  # noqa: ANN401 - as the socket's own
        """Send a request, or a part of it, from which on the budget counts."""
        self._asked_at, self._received = time.monotonic(), 0
        super().sendall(*arguments)  # type: ignore[misc]

    def recv_into(self, *arguments: Any) -> int:  # noqa: ANN401 - as the socket's own
        """Read, and wait no longer than the budget allows; raise TimeoutError."""
        budget = GRACE_SECONDS + self._received / LEAST_BYTES_PER_SECOND
        left = self._asked_at + budget - time.monotonic()
        if left <= 0:
            raise TimeoutError("the source is too slow")
        self.settimeout(min(left, READ_SECONDS))  # type: ignore[attr-defined]
        count = super().recv_into(*arguments)  # type: ignore[misc]
        self._received += count
        return cast("int", count)


class _Socket(_Paced, socket.socket):
    """A plain socket with a budget."""


class _TlsSocket(_Paced, ssl.SSLSocket):
    """A TLS socket with a budget."""


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        timeout = opened.gettimeout()
        paced = _Socket(opened.family, opened.type, opened.proto, opened.detach())
        paced.settimeout(timeout)
        return paced


class _TlsConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        context = create_urllib3_context()  # verifies certificate and name; requests adds the CAs
        context.sslsocket_class = _TlsSocket
        self.ssl_context = context
        super().connect()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: Final = {"http": _Pool, "https": _TlsPool}


class PacedAdapter(HTTPAdapter):
    """What a session of requests sends through, directly or by the environment's proxy."""

    def __init__(self) -> None:
        super().__init__(max_retries=0, pool_maxsize=_AT_ONCE)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - its own
        """Let all pools have our connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - its own
        """Return a manager of connections through a proxy, which are ours as well."""
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
