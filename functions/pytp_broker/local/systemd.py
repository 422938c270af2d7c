"""What systemd and the server tell each other: sockets at the start, and states after it.

systemd may open the sockets, as root, and keep them over a restart: then nobody is refused
meanwhile, and the server needs no right to port 443. See sd_listen_fds(3) and sd_notify(3). Both
need no library.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

# The first socket has this number, and the others follow (SD_LISTEN_FDS_START).
_FIRST: Final = 3
_LISTEN: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_NOTIFY: Final = "NOTIFY_SOCKET"
# More sockets than anybody needs; a larger number is a mistake.
_MAX_SOCKETS: Final = 16
# Python refuses a number of thousands of digits; the first few already show the mistake.
_MAX_DIGITS: Final = 9
METRICS: Final = "metrics"

Variables = MutableMapping[str, str]


class SocketError(Exception):
    """A socket that was handed over cannot be used; the text says why."""


def take_sockets(environment: Variables) -> tuple[socket.socket | None, socket.socket | None]:
    """Return the sockets that systemd has opened: for clients, and for the metrics.

    Each is None if there is none. Their variables are removed, because the processes that the
    server starts do not get the sockets. Raises SocketError.
    """
    count, pid, names = (environment.pop(name, "") for name in _LISTEN)
    if pid != str(os.getpid()) or not count.isdecimal():
        return None, None
    handed_over = int(count[:_MAX_DIGITS])
    if handed_over > _MAX_SOCKETS:
        raise SocketError(f"systemd hands over {handed_over} sockets: at most two are needed")
    named = names.split(":") + [""] * handed_over
    clients, metrics = list[socket.socket](), list[socket.socket]()
    for number, name in zip(range(handed_over), named, strict=False):
        (metrics if name == METRICS else clients).append(_take(_FIRST + number))
    return _only(clients, "clients"), _only(metrics, METRICS)


def _take(descriptor: int) -> socket.socket:
    try:
        taken = socket.socket(fileno=descriptor)
        taken.set_inheritable(False)
        is_listening = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SocketError(f"descriptor {descriptor} is not a socket: {error.strerror}") from None
    if taken.family not in {socket.AF_INET, socket.AF_INET6} or not is_listening:
        raise SocketError(f"descriptor {descriptor} is not a listening TCP socket")
    return taken


def _only(sockets: list[socket.socket], whose: str) -> socket.socket | None:
    if len(sockets) > 1:
        raise SocketError(f"systemd hands over {len(sockets)} sockets for {whose}: one is needed")
    return sockets[0] if sockets else None


class Supervisor:
    """The service manager, if one wants to know the server's state; else it is told nothing."""

    def __init__(self, environment: Variables) -> None:
        # "@" stands for the NUL byte of an abstract address.
        self._address = environment.pop(_NOTIFY, "").replace("@", "\0", 1)

    def ready(self, status: str) -> None:
        """Say that the server accepts connections, or that it has read its files again."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that the server reads its files again; ``ready`` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the server ends."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not end the server.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto("\n".join(lines).encode(), self._address)
