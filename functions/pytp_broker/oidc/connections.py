"""Connections to issuers: to checked addresses only, and closed by a deadline.

The address of a host is looked up once, checked, and connected to as it is: no second look-up can
lead elsewhere (DNS rebinding). TLS still asks for the host's name and verifies it. A proxy looks
the host up itself; then we check no address.
"""

import base64
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import certifi

from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.networks import Address, is_internal, is_public
from pytp_broker.oidc.sockets import (
    AddressEntry,
    Socket,
    TlsSocket,
    address_of,
    open_first,
    remaining,
)
from pytp_broker.registries import Access

_PORTS: Final = {"http": 80, "https": 443}
# A few issuers have authorities of their own, and all others share the public ones.
MAX_CONTEXTS: Final = 64

# OpenSSL's X509_V_ERR_* codes for a chain that does not end at a known authority.
_UNKNOWN_AUTHORITY: Final = (2, 18, 19, 20, 21)

# What Python demands from 3.13 on. Every version gets the same here.
_PUBLIC_AUTHORITIES: Final = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
# Every version of Python trusts the authorities that an operator gives for an issuer, as they are.
# From 3.13 on, Python would demand extensions that authorities of companies often lack (`openssl
# req -x509` writes no key usage); before, it would not take an authority that another one has
# signed.
_OWN_AUTHORITIES: Final = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document is: a URL taken apart."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Return the host as a request names it, with the port if it is not the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(url: str) -> Place:
    """Return what a URL says; raise ValueError unless it is http or https, and names a host."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not the URL of a document")
    query = f"?{parts.query}" if parts.query else ""
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    return Place(parts.scheme, parts.hostname, port, f"{parts.path or '/'}{query}")


@dataclass(frozen=True, slots=True)
class Reaching:
    """How a place is reached: at which addresses, with which authorities, until when.

    With ``only_public`` this machine itself is not reached. ``proxy`` is the URL of a proxy, or "".
    """

    access: Access
    only_public: bool
    ca_file: str | None
    proxy: str
    deadline: float

    def open(self, place: Place) -> "Connection":
        """Return a connection that is not open yet; raise ValueError for one that may not be."""
        if place.scheme == "http":
            if self.only_public:
                raise ValueError("a public document is fetched over https")
            return Connection(place, self.deadline, lambda address: address.is_loopback)
        if self.proxy:
            return _ProxiedConnection(place, self)
        return _TlsConnection(place, self)

    def is_allowed(self, address: Address) -> bool:
        """Say whether an issuer may be at an address."""
        is_inside = self.access.is_private and is_internal(address)
        is_here = not self.only_public and address.is_loopback
        return is_public(address) or is_inside or is_here

    def context(self) -> ssl.SSLContext:
        """Return what verifies the server."""
        return tls_context(self.ca_file or certifi.where(), self.access.ca_pem)


class Connection(HTTPConnection):
    """A connection to an allowed address that ends at its deadline."""

    def __init__(
        self, place: Place, deadline: float, is_allowed: Callable[[Address], bool]
    ) -> None:
        super().__init__(place.host, place.port)
        self.deadline = deadline
        self._is_allowed = is_allowed

    def connect(self) -> None:
        """Open the connection."""
        self.sock = self._open()

    def _open(self) -> Socket:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        allowed = [entry for entry in found if self._is_allowed(address_of(entry))]
        if not allowed:
            raise _no_address(found)
        opened = open_first(allowed, self.deadline)
        opened.deadline = self.deadline
        return opened


class _TlsConnection(Connection):
    def __init__(self, place: Place, reaching: Reaching) -> None:
        super().__init__(place, reaching.deadline, reaching.is_allowed)
        self._name = place.host.rstrip(".")
        self._reaching = reaching

    def connect(self) -> None:
        super().connect()
        self._begin_tls()

    def _begin_tls(self) -> None:
        self.sock.settimeout(remaining(self.deadline))
        try:
            secured = self._reaching.context().wrap_socket(self.sock, server_hostname=self._name)
        except ssl.SSLCertVerificationError as error:
            cure = _cure_of(error, has_own_authorities=bool(self._reaching.access.ca_pem))
            raise FetchError("the issuer cannot be reached (SSLError)", cure) from None
        secured.deadline = self.deadline  # type: ignore[attr-defined] # the context makes TlsSockets
        self.sock = secured


class _ProxiedConnection(_TlsConnection):
    """A connection to the operator's proxy, wherever that is, and through it to an issuer."""

    def __init__(self, place: Place, reaching: Reaching) -> None:
        proxy = urlsplit(reaching.proxy)
        at_proxy = Place("https", proxy.hostname or "", proxy.port or _PORTS["http"], "")
        super().__init__(at_proxy, reaching)
        self._name = place.host.rstrip(".")
        self._is_allowed = lambda _: True
        self.set_tunnel(place.host, place.port, _proxy_headers(proxy.username, proxy.password))

    def connect(self) -> None:
        try:
            self.sock = self._open()
        except OSError as error:
            reason = f"the issuer cannot be reached ({type(error).__name__})"
            raise FetchError(reason, "its proxy does not answer") from None
        self._ask_proxy()
        self._begin_tls()

    def _ask_proxy(self) -> None:
        try:
            self._tunnel_once()
        except OSError as error:
            # The rest of the text is the proxy's own, and it may say anything.
            status = re.search(r"failed: ([0-9]{3})", str(error))
            if status is None:
                raise
            cure = f"its proxy answered {status[1]}"
            raise FetchError("the issuer cannot be reached (ProxyError)", cure) from None

    def _tunnel_once(self) -> None:
        """Ask the proxy, and close its answer, which early versions of Python 3.11 leave open."""
        with ExitStack() as answers:

            def read_answer(*arguments: Any, **named: Any) -> HTTPResponse:  # noqa: ANN401
                return answers.enter_context(closing(HTTPResponse(*arguments, **named)))

            self.response_class = read_answer  # type: ignore[assignment] # called, and no more
            self._tunnel()  # type: ignore[attr-defined] # what HTTPConnection calls itself
        self.response_class = HTTPResponse


def _proxy_headers(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    credentials = f"{unquote(user)}:{unquote(password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


# Reading the public authorities takes 8 ms, and an issuer's key set takes two documents.
@lru_cache(maxsize=MAX_CONTEXTS)
def tls_context(ca_file: str, ca_pem: str) -> ssl.SSLContext:
    """Return what verifies a server's certificate and name, for the authorities of a file.

    An issuer's own authorities take the place of the public ones.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.sslsocket_class = TlsSocket
    if ca_pem:
        context.verify_flags = _OWN_AUTHORITIES
        context.load_verify_locations(cadata=ca_pem)
    else:
        context.verify_flags |= _PUBLIC_AUTHORITIES
        context.load_verify_locations(ca_file)
    return context


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
