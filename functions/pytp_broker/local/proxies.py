"""The reverse proxies in front of the server, which say who their clients are.

Each proxy adds the address of its own client at the end of X-Forwarded-For. A client can write what
it likes before that, so we read only as many addresses, from the end, as there are proxies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

_SCHEMES: Final = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class Proxies:
    """How many proxies stand between the clients and the server; nobody is believed without any."""

    count: int = 0

    def client_address(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return the client's address, or the peer's if the headers do not say it."""
        said = headers.get("x-forwarded-for", "").split(",")
        if not 0 < self.count <= len(said):
            return peer
        address = said[-self.count].strip()
        return address if _is_address(address) else peer

    def client_scheme(self, scheme: str, headers: Mapping[str, str]) -> str:
        """Return the scheme that the client used, or the connection's if the headers are silent."""
        said = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip()
        return said if self.count and said in _SCHEMES else scheme


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
