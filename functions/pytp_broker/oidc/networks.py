"""Networks where an issuer may be: the public Internet, or an operator's own network."""

import ipaddress
from collections.abc import Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# All of IPv6 that is routed. Outside it lie private and local addresses and every form in which
# an IPv4 address hides: mapped, compatible, translated (NAT64).
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Networks where no issuer can be, though some versions of Python call some of them global.
_RESERVED: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, Teredo
    ipaddress.IPv6Network("2002::/16"),  # 6to4
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)
# Where a company has its servers (RFC 1918, RFC 6598, RFC 4193).
_INTERNAL: Final = (
    ipaddress.IPv4Network("10.0.0.0/8"),
    ipaddress.IPv4Network("172.16.0.0/12"),
    ipaddress.IPv4Network("192.168.0.0/16"),
    ipaddress.IPv4Network("100.64.0.0/10"),
    ipaddress.IPv6Network("fc00::/7"),
)
# Metadata services of clouds, which give credentials to any process on their machines. Others of
# them are link-local, which we do not count as internal.
_METADATA: Final = (
    ipaddress.IPv4Network("100.100.100.200/32"),
    ipaddress.IPv6Network("fd00:ec2::/32"),
    ipaddress.IPv6Network("fd20:ce::/32"),
    ipaddress.IPv6Network("fd00:42::/32"),
)


def is_internal(address: Address) -> bool:
    """Say whether an address is in a private network, where an operator's own issuer may be."""
    return _is_in(address, _INTERNAL) and not _is_in(address, _METADATA)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def is_public(address: Address) -> bool:
    """Say whether an address is on the public Internet, and so not inside our own network."""
    is_routed = address.version == 4 or address in _GLOBAL_UNICAST  # noqa: PLR2004 - IPv4
    is_reserved = address.is_multicast or _is_in(address, _RESERVED)
    return address.is_global and is_routed and not is_reserved
