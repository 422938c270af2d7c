"""Listen on the addresses that an operator names for ``serve``, or on sockets of systemd."""

import argparse
import os
import re
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Self

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.redaction import printable

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Inherited:
    """The sockets that systemd has opened for the server, each None if there is none."""

    clients: socket.socket | None = None
    metrics: socket.socket | None = None

    @classmethod
    def take(cls, arguments: argparse.Namespace) -> Self:
        """Take what is there; raise CommandError if it does not go with the options."""
        from pytp_broker.local.systemd import SocketError, take_sockets

        try:
            inherited = cls(*take_sockets(os.environ))
        except SocketError as error:
            raise CommandError(str(error)) from None
        if inherited.clients and (arguments.port or arguments.host != LOOPBACK):
            raise CommandError(
                "systemd has opened the socket: leave out --host and --port", MISUSED
            )
        if inherited.metrics and arguments.metrics_port is not None:
            raise CommandError(
                "systemd has opened the socket of the metrics: leave out --metrics-port", MISUSED
            )
        return inherited

    @property
    def address(self) -> str | None:
        """Return the address on which clients connect; None without a socket for them."""
        return None if self.clients is None else str(self.clients.getsockname()[0])


def port(text: str) -> int:
    """Return the port that an option names, for argparse."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"{printable(text)} is not between 0 and 65535")
    return int(text)


def listen_on(host: str, number: int, stack: ExitStack) -> socket.socket:
    """Return a socket bound to an address, which the stack closes; raise CommandError."""
    from pytp_broker.local.deployment import listen

    try:
        return stack.enter_context(listen(host, number))
    except OSError as error:
        place = f"{host}:{number}"
        raise CommandError(f"cannot listen on {place}: {words_of(error)}") from None


def words_of(error: OSError) -> str:
    """Return what went wrong, in the system's words."""
    # The `strerror` of a failed bind repeats the address, so we use the errno's text. A failed
    # look-up has no errno.
    errno = error.errno or 0
    return os.strerror(errno) if errno > 0 else error.strerror or str(error)
