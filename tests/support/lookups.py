"""Host names that have the addresses that a test gives them, and fetches that must fail."""

import socket
from typing import Any, Final

import pytest

from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.fetch import HttpFetch

NAME: Final = "issuer.example.com"


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name have these addresses; return the names that are looked up."""
    looked_up: list[str] = []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        found = ((socket.AF_INET6 if ":" in a else socket.AF_INET, a) for a in addresses)
        return [(family, socket.SOCK_STREAM, 6, "", (a, port)) for family, a in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return looked_up


def never(*_: object) -> socket.socket:
    """Fail the test: it takes the place of the function that connects."""
    pytest.fail("connected to an address that is not public")


def refusal_of(fetch: HttpFetch, url: str) -> str:
    """Return why a document is not fetched."""
    with pytest.raises(FetchError) as refused:
        fetch(url)
    return str(refused.value)
