"""Connections to issuers: to checked addresses only, and over by a deadline.

The address of a host is looked up once, checked, and connected to as it is: no second look-up can
lead elsewhere (DNS rebinding). The host's name stays what TLS asks for and verifies.
"""

import ipaddress
import math
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from pytp_broker.keysets import FetchError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressEntry = tuple[Any, Any, int, str, Any]  # as getaddrinfo returns them

# No wait is longer, whatever the deadline: the socket's own limit is a C integer.
MAX_SECONDS: Final = 60.0

# All of IPv6 that is routed. Outside it lie private and local addresses and every form in which
# an IPv4 address hides: mapped, compatible, translated (NAT64).
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Never an issuer's, though Python's tables call some of them global, in some versions.
_RESERVED: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, Teredo
    ipaddress.IPv6Network("2002::/16"),  # 6to4
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)


def is_public(address: Address) -> bool:
    """Say whether an address is of the public Internet, and so nothing inside our own network."""
    is_routed = address.version == 4 or address in _GLOBAL_UNICAST  # noqa: PLR2004 - IPv4
    is_reserved = address.is_multicast or any(address in network for network in _RESERVED)
    return address.is_global and is_routed and not is_reserved


class _UntilDeadline:
    """A socket of which every read ends by one deadline, not each by one of its own.

    An issuer that sends a byte a second would otherwise be listened to for hours.
    """

    deadline: float = math.inf

    def recv_into(self, *arguments: Any) -> int:  # noqa: ANN401 - as the socket's own
        self.settimeout(_remaining(self.deadline))  # type: ignore[attr-defined]
        return super().recv_into(*arguments)  # type: ignore[misc,no-any-return]


class _Socket(_UntilDeadline, socket.socket):
    pass


class _TlsSocket(_UntilDeadline, ssl.SSLSocket):
    pass


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the deadline has passed")
    return min(remaining, MAX_SECONDS)


class _Connection(HTTPConnection):
    """A connection that goes to an allowed address, and is over after its timeout in all."""

    deadline: float

    @staticmethod
    def is_allowed(address: Address) -> bool:
        return address.is_loopback

    def connect(self) -> None:
        # What requests calls a timeout, urllib3 has put here.
        self.deadline = time.monotonic() + cast("float", self.timeout)
        super().connect()
        cast("_UntilDeadline", self.sock).deadline = self.deadline

    def _new_conn(self) -> socket.socket:
        host = self.host.strip("[]")
        found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        allowed = [entry for entry in found if self.is_allowed(_address_of(entry))]
        if not allowed:
            raise FetchError("the issuer's host has no address that may be connected to")
        return _open_first(allowed, self.deadline)


class _TlsConnection(_Connection, HTTPSConnection):
    @staticmethod
    def is_allowed(address: Address) -> bool:  # noqa: ARG004 - an operator's own network too
        return True

    def connect(self) -> None:
        context = create_urllib3_context()  # verifies certificate and name; requests adds the CAs
        context.sslsocket_class = _TlsSocket
        self.ssl_context = context
        super().connect()


class _PublicTlsConnection(_TlsConnection):
    is_allowed = staticmethod(is_public)


def _address_of(entry: AddressEntry) -> Address:
    return ipaddress.ip_address(entry[4][0])


def _open_first(entries: Sequence[AddressEntry], deadline: float) -> socket.socket:
    """Return a socket connected to the first of the addresses that answers; raise OSError."""
    error: OSError = TimeoutError()
    for left, entry in zip(range(len(entries), 0, -1), entries, strict=True):
        # One that swallows everything leaves time for the others.
        patience = _remaining(deadline) / left
        try:
            return _open(entry, patience)
        except OSError as failure:
            error = failure
    raise error


def _open(entry: AddressEntry, patience: float) -> socket.socket:
    family, kind, protocol, _, address = entry
    opened = _Socket(family, kind, protocol)
    try:
        opened.settimeout(patience)
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


class _LoopbackPool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _PublicTlsPool(HTTPSConnectionPool):
    ConnectionCls = _PublicTlsConnection


# By URL scheme. What is not here cannot be fetched: http from anywhere but this machine.
PUBLIC_POOLS: Final[Mapping[str, type[HTTPConnectionPool]]] = {"https": _PublicTlsPool}
LOCAL_POOLS: Final[Mapping[str, type[HTTPConnectionPool]]] = {
    "https": _TlsPool,
    "http": _LoopbackPool,
}
