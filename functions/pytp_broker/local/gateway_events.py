"""Make the event that API Gateway makes of a request (HTTP API, payload format 2.0).

As on AWS, header names are in lower case, and repeated headers and query parameters are joined by
commas. Cookies are separate, the path is decoded once, and members without a value are absent. A
body is base64 unless its content type is one of the few that count as text. A large body, which API
Gateway would refuse or Lambda would copy, stays where it is: it is the member ``content``.
"""

import base64
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from pytp_broker.content import NOTHING, Content, read_all
from pytp_broker.local.routes import GatewayRoute, Selected
from pytp_broker.names import without_port

_TEXT_TYPES: Final = frozenset({"application/json", "application/xml", "application/javascript"})
_ACCOUNT_ID: Final = "000000000000"
_STAGE: Final = "$default"
# As much of a body as is kept in memory. An encoded body takes twice as much.
MAX_ENCODED_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class HttpRequest:
    """A request as it came over the wire; ``raw_path`` is not decoded."""

    method: str
    raw_path: str
    query: str = field(default="", repr=False)
    headers: Iterable[tuple[str, str]] = field(default=(), repr=False)
    body: Content = field(default=NOTHING, repr=False)
    source_ip: str = "127.0.0.1"
    http_version: str = "1.1"
    scheme: str = "https"

    @cached_property
    def path(self) -> str:
        """Return the path, decoded once."""
        return unquote(self.raw_path)

    @property
    def has_body(self) -> bool:
        """Say whether a body follows: its length or its coding announces it (RFC 9112 §6.3)."""
        return "content-length" in self.fields or "transfer-encoding" in self.fields

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """Return the headers by their names in lower case."""
        return join_pairs(self.headers)


def build_event(request: HttpRequest, selected: Selected, now: datetime) -> dict[str, Any]:
    """Return the event for the function behind the route."""
    route = selected.route
    headers = {**request.fields, "x-forwarded-proto": request.scheme}
    cookies = headers.pop("cookie", None)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": _context(request, route, headers, now),
        "isBase64Encoded": False,
    }
    pairs = parse_qsl(request.query, keep_blank_values=True) if request.query else ()
    parameters = join_pairs(pairs, lower=False)
    if cookies is not None:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if parameters:
        event["queryStringParameters"] = parameters
    if selected.variables:
        event["pathParameters"] = dict(selected.variables)
    if request.body.size:
        event |= _body(request.body, headers.get("content-type", ""))
    return event


def join_pairs(pairs: Iterable[tuple[str, str]], *, lower: bool = True) -> dict[str, str]:
    """Return headers or query parameters by name, with the values of one name joined by commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower() if lower else name
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    return joined


def _context(
    request: HttpRequest, route: GatewayRoute, headers: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    domain_name = without_port(headers.get("host", ""))
    return {
        "accountId": _ACCOUNT_ID,
        "apiId": "local",
        "domainName": domain_name,
        "domainPrefix": domain_name.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": f"HTTP/{request.http_version}",
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": route.key,
        "stage": _STAGE,
        "time": _write_time(int(now.timestamp())),
        "timeEpoch": int(now.timestamp() * 1000),
    }


@lru_cache(maxsize=1)
def _write_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d/%b/%Y:%H:%M:%S %z")


def _body(body: Content, content_type: str) -> dict[str, Any]:
    if body.size > MAX_ENCODED_BYTES:
        return {"content": body}
    octets = read_all(body)
    if _is_text(content_type):
        return {"body": octets.decode(errors="replace"), "isBase64Encoded": False}
    return {"body": base64.b64encode(octets).decode(), "isBase64Encoded": True}


def _is_text(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in _TEXT_TYPES
