"""Sockets that stop reading at a deadline, and a function that opens one before it."""

import ipaddress
import math
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, Final

from pytp_broker.oidc.networks import Address

AddressEntry = tuple[Any, Any, int, str, Any]  # as getaddrinfo returns them

# No wait is longer than this, because the socket's own limit is a C integer.
MAX_SECONDS: Final = 60.0


class UntilDeadline:
    """Base of sockets whose reads all share one deadline.

    Otherwise we would listen for hours to an issuer that sends a byte a second.
    """

    deadline: float = math.inf

    def recv_into(self, *arguments: Any) -> int:  # noqa: ANN401 - as the socket's own
        """Read, and wait no longer than until the deadline; raise TimeoutError."""
        self.settimeout(remaining(self.deadline))  # type: ignore[attr-defined]
        return super().recv_into(*arguments)  # type: ignore[misc,no-any-return]


class Socket(UntilDeadline, socket.socket):
    """A plain socket with a deadline."""


class TlsSocket(UntilDeadline, ssl.SSLSocket):
    """A TLS socket with a deadline."""


def remaining(deadline: float) -> float:
    """Return how long to wait until a deadline; raise TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return min(seconds, MAX_SECONDS)


def address_of(entry: AddressEntry) -> Address:
    """Return the address of an entry that getaddrinfo has found."""
    return ipaddress.ip_address(entry[4][0])


def open_first(entries: Sequence[AddressEntry], deadline: float) -> Socket:
    """Return a socket connected to the first of the addresses that answers; raise OSError."""
    error: OSError = TimeoutError()
    for left, entry in zip(range(len(entries), 0, -1), entries, strict=True):
        # An address that never answers must leave time for the others.
        patience = remaining(deadline) / left
        try:
            return _open(entry, patience)
        except OSError as failure:
            error = failure
    raise error


def _open(entry: AddressEntry, patience: float) -> Socket:
    family, kind, protocol, _, address = entry
    opened = Socket(family, kind, protocol)
    try:
        opened.settimeout(patience)
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened
