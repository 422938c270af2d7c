"""Connections to issuers: to checked addresses only, and closed by a deadline.

The address of a host is looked up once, checked, and connected to as it is: no second look-up can
lead elsewhere (DNS rebinding). TLS still asks for the host's name and verifies it. A proxy looks
the host up itself; then we check no address.
"""

import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.networks import Address, is_internal, is_public
from pytp_broker.oidc.sockets import (
    AddressEntry,
    TlsSocket,
    UntilDeadline,
    address_of,
    open_first,
)
from pytp_broker.registries import Access

# OpenSSL's X509_V_ERR_* codes for a chain that does not end at a known authority.
_UNKNOWN_AUTHORITY: Final = (2, 18, 19, 20, 21)

# Every version of Python trusts the authorities that an operator gives for an issuer, as they are.
# From 3.13 on, Python would demand extensions that authorities of companies often lack (`openssl
# req -x509` writes no key usage); before, it would not take an authority that another one has
# signed.
_OWN_AUTHORITIES: Final = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN


class _Connection(HTTPConnection):
    """A connection to an allowed address that ends when its timeout has passed in total."""

    deadline: float

    @staticmethod
    def is_allowed(address: Address) -> bool:
        return address.is_loopback

    def connect(self) -> None:
        # urllib3 has stored here what requests calls a timeout.
        self.deadline = time.monotonic() + cast("float", self.timeout)
        super().connect()
        cast("UntilDeadline", self.sock).deadline = self.deadline

    def _new_conn(self) -> socket.socket:
        host = self.host.strip("[]")
        found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        allowed = [entry for entry in found if self.is_allowed(address_of(entry))]
        if not allowed:
            raise _no_address(found)
        opened = open_first(allowed, self.deadline)
        opened.deadline = self.deadline  # already now: a proxy's answer comes before TLS
        return opened


class _TlsConnection(_Connection, HTTPSConnection):
    is_allowed = staticmethod(is_public)

    def connect(self) -> None:
        context = create_urllib3_context()  # verifies certificate and name; requests adds the CAs
        context.sslsocket_class = TlsSocket
        if self.ca_cert_data is not None:
            self.ca_certs = None  # an issuer's own authorities take the place of the public ones
            context.verify_flags = _OWN_AUTHORITIES
        self.ssl_context = context
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            cure = _cure_of(error, has_own_authorities=self.ca_cert_data is not None)
            raise FetchError("the issuer cannot be reached (SSLError)", cure) from None


class _PrivateTlsConnection(_TlsConnection):
    @staticmethod
    def is_allowed(address: Address) -> bool:
        return is_public(address) or is_internal(address)


class _LocalTlsConnection(_TlsConnection):
    @staticmethod
    def is_allowed(address: Address) -> bool:
        return is_public(address) or address.is_loopback


class _LocalPrivateTlsConnection(_TlsConnection):
    @staticmethod
    def is_allowed(address: Address) -> bool:
        return is_public(address) or is_internal(address) or address.is_loopback


class _ProxiedTlsConnection(_TlsConnection):
    """A connection to the operator's proxy, and through it to an issuer."""

    @staticmethod
    def is_allowed(address: Address) -> bool:  # noqa: ARG004 - wherever the operator's proxy is
        return True

    def _new_conn(self) -> socket.socket:
        try:
            return super()._new_conn()
        except OSError as error:
            reason = f"the issuer cannot be reached ({type(error).__name__})"
            raise FetchError(reason, "its proxy does not answer") from None

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        except OSError as error:
            # The rest of the text is the proxy's own, and it may say anything.
            status = re.search(r"failed: ([0-9]{3})", str(error))
            if status is None:
                raise
            cure = f"its proxy answered {status[1]}"
            raise FetchError("the issuer cannot be reached (ProxyError)", cure) from None


def _cure_of(error: ssl.SSLCertVerificationError, *, has_own_authorities: bool) -> str:
    if error.verify_code not in _UNKNOWN_AUTHORITY:
        return f"its certificate is refused: {error.verify_message}"
    if has_own_authorities:
        return "its certificate is not signed by an authority in the `ca_file` of its table"
    return (
        "its certificate is signed by an unknown authority; give that authority's certificate as"
        " `ca_file` in the issuer's table"
    )


def _no_address(found: Sequence[AddressEntry]) -> FetchError:
    internal = [address for address in map(address_of, found) if is_internal(address)]
    cure = (
        f"{internal[0]} is a private address; set `private = true` in the issuer's table if the"
        " issuer is inside your network"
        if internal
        else ""
    )
    return FetchError("the issuer's host has no address that the broker may connect to", cure)


class _LoopbackPool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _PrivateTlsPool(HTTPSConnectionPool):
    ConnectionCls = _PrivateTlsConnection


class _LocalTlsPool(HTTPSConnectionPool):
    ConnectionCls = _LocalTlsConnection


class _LocalPrivateTlsPool(HTTPSConnectionPool):
    ConnectionCls = _LocalPrivateTlsConnection


class _ProxiedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _ProxiedTlsConnection


Pools = Mapping[str, type[HTTPConnectionPool]]

# By URL scheme. Other schemes cannot be fetched, so http reaches only this machine.
_POOLS: Final[Mapping[tuple[bool, bool], Pools]] = {
    # The key: whether only public hosts are allowed, or this machine as well; and whether the
    # operator's network is allowed too.
    (True, False): {"https": _TlsPool},
    (True, True): {"https": _PrivateTlsPool},
    (False, False): {"https": _LocalTlsPool, "http": _LoopbackPool},
    (False, True): {"https": _LocalPrivateTlsPool, "http": _LoopbackPool},
}


def pools_for(access: Access, *, only_public: bool) -> Pools:
    """Return the pools of connections for an issuer; schemes without a pool cannot be fetched."""
    return _POOLS[only_public, access.is_private]


def authorities_for(access: Access) -> dict[str, Any]:
    """Return a pool's arguments for the authorities that sign an issuer's certificate."""
    return {"ca_cert_data": access.ca_pem} if access.ca_pem else {}


def proxy_manager(url: str, headers: Mapping[str, str], access: Access) -> ProxyManager:
    """Return a manager of connections through a proxy."""
    manager = ProxyManager(url, proxy_headers=headers, **authorities_for(access))
    manager.pool_classes_by_scheme = {"https": _ProxiedTlsPool}
    return manager
