"""A request to a service, and the message that carries it over a connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Request:
    """A request before it is signed. ``path`` is percent-encoded, ``query`` is not.

    ``digest`` is the SHA-256 of the body in hex, if it is known already.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query: Sequence[tuple[str, str]] = ()
    digest: str = ""


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """Return a query as it is sent and signed."""
    pairs = sorted((quote(name, safe="-_.~"), quote(text, safe="-_.~")) for name, text in query)
    return "&".join(f"{name}={text}" for name, text in pairs)


def write_message(request: Request, authority: str, headers: Mapping[str, str]) -> bytes:
    """Return a request with all its headers as it is sent; raise ValueError if it cannot be."""
    target = f"{request.path}?{encode_query(request.query)}" if request.query else request.path
    lines = [
        f"{request.method} {target} HTTP/1.1",
        f"host: {authority}",
        *[f"{name}: {text}" for name, text in headers.items()],
        "accept-encoding: identity",
        "user-agent: pytp-broker",
        f"content-length: {len(request.body)}",
    ]
    head = "\r\n".join(lines)
    # A line that holds an end of a line would be two.
    if not head.count("\r") == head.count("\n") == len(lines) - 1:
        raise ValueError("a header has more than one line")
    return f"{head}\r\n\r\n".encode("ascii") + request.body
