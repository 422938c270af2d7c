"""Accept connections within limits, and start TLS only for clients that have sent something.

asyncio accepts every connection and prepares TLS for it. That costs a quarter of a megabyte for a
client that says nothing, and an error for every connection beyond what the process may open. Here
we count a connection before we make anything for it, and close one that is too many at once.
"""

import asyncio
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from pytp_broker.budgets import network_of
from pytp_broker.local.refusals import RefusalLog

# uv opens fifty connections, and a build behind one address runs dozens of uv processes.
MAX_CONNECTIONS: Final = 2048
# One source gets at most a quarter of the connections that we can take, and never more than are
# still free. So four sources that keep their connections open do not lock out a fifth.
_SOURCES: Final = 4
# Files that the process needs besides connections: the database, published files, large answers.
_OTHER_FILES: Final = 256
# How long a client may say nothing, and how long TLS may take once it has begun.
FIRST_BYTE_SECONDS: Final = 10
HANDSHAKE_SECONDS: Final = 10
# The kernel keeps this many connections that arrive together. We take so many in one turn.
_BACKLOG: Final = 1024
_MAX_TAKEN_IN_A_TURN: Final = 64
_RETRY_SECONDS: Final = 1

Address = tuple[str, int] | tuple[str, int, int, int]


def raise_file_limit() -> None:
    """Let the process open as many files as the system allows it."""
    if sys.platform == "win32":  # pragma: no cover - has no such limit
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # pragma: no cover - macOS allows less than it says
        return


def max_connections() -> int:
    """Return how many connections fit below the limit of open files."""
    if sys.platform == "win32":  # pragma: no cover - has no such limit
        return MAX_CONNECTIONS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:  # pragma: no cover - not on Linux
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, soft - min(_OTHER_FILES, soft // 2))


class _Connection(socket.socket):
    """An accepted socket, which gives its place back when it is closed."""

    def __init__(
        self, accepted: socket.socket, address: Address, on_close: Callable[[], None]
    ) -> None:
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        super().__init__(family, kind, protocol, fileno=accepted.detach())
        # The client's address, which the system forgets after a reset by the client.
        self.address = address
        self._on_close: Callable[[], None] | None = on_close

    def close(self) -> None:
        """Close the socket, and give its place back once."""
        super().close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()


class _Places:
    """How many connections each source has."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Return how many places are taken. Another thread may ask."""
        return sum(tuple(self._taken.values()))

    def take(self, source: str) -> bool:
        """Take a place for a source; return whether there was a free one."""
        free = self._limit - self.taken
        if self._taken[source] >= min(free, self._limit // _SOURCES):
            return False
        self._taken[source] += 1
        return True

    def give_back(self, source: str) -> None:
        """Give a place back."""
        self._taken[source] -= 1
        if not self._taken[source]:
            del self._taken[source]


class Acceptor:
    """Takes connections from a listening socket and gives each a protocol."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[Address], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        refusals: RefusalLog,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make_protocol = make_protocol
        self._tls = tls
        self._refusals = refusals
        self._places = _Places(max_connections())
        self._silent: dict[_Connection, asyncio.TimerHandle] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        listener.settimeout(0)
        listener.listen(_BACKLOG)
        self._listen()

    def count_connections(self) -> int:
        """Return how many connections are open. Another thread may ask."""
        return self._places.taken

    def close(self) -> None:
        """Take no more connections, and close those that have not begun."""
        self._loop.remove_reader(self._listener)
        if self._retry is not None:
            self._retry.cancel()
        self._listener.close()
        for connection in list(self._silent):
            self._end_silence(connection)
            connection.close()
        for opening in self._opening:
            opening.cancel()

    async def wait_closed(self) -> None:
        """Wait for connections that were being opened."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_MAX_TAKEN_IN_A_TURN):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file or no memory is left
                self._pause()
                return
            self._take(accepted, address)

    def _pause(self) -> None:
        """Leave new connections to the kernel for a while: files or memory may be free then."""
        self._refusals.note("", "no-files-left")
        self._loop.remove_reader(self._listener)
        self._retry = self._loop.call_later(_RETRY_SECONDS, self._listen)

    def _take(self, accepted: socket.socket, address: Address) -> None:
        source = network_of(address[0])
        if not self._places.take(source):
            accepted.close()
            self._refusals.note(source, "too-many-connections")
            return
        connection = _Connection(accepted, address, lambda: self._places.give_back(source))
        connection.settimeout(0)
        _send_at_once(connection)
        if self._tls is None:
            self._open(connection, source)
        else:
            self._wait_for_tls(connection, source)

    def _wait_for_tls(self, connection: _Connection, source: str) -> None:
        """Open the connection when the client sends something; it costs almost nothing before."""

        def begin() -> None:
            self._end_silence(connection)
            if _has_gone(connection):
                connection.close()
            else:
                self._open(connection, source)

        def give_up() -> None:
            self._end_silence(connection)
            connection.close()
            self._refusals.note(source, "silent")

        self._loop.add_reader(connection, begin)
        self._silent[connection] = self._loop.call_later(FIRST_BYTE_SECONDS, give_up)

    def _end_silence(self, connection: _Connection) -> None:
        self._loop.remove_reader(connection)
        self._silent.pop(connection).cancel()

    def _open(self, connection: _Connection, source: str) -> None:
        opening = self._loop.create_task(self._connect(connection, source))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _connect(self, connection: _Connection, source: str) -> None:
        try:
            await self._loop.connect_accepted_socket(
                partial(self._make_protocol, connection.address),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
            )
        except OSError:  # TLS's errors and timeouts are OSErrors
            self._refusals.note(source, "no-tls")
            connection.close()


def _has_gone(connection: socket.socket) -> bool:
    """Return whether a client has closed its connection without a byte, as health checks do."""
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _send_at_once(connection: socket.socket) -> None:
    """Send every write at once, so that a body does not wait until its head is acknowledged.

    Clients delay an acknowledgement by 40 ms. asyncio sets this option for sockets whose protocol
    number is TCP's, but `socket.create_server` makes them with 0. Some systems do not pass an
    option of the listening socket on to its connections.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
