"""The local gateway with a function of the test behind it, and requests to it."""

import asyncio
import base64
import io
import json
from collections.abc import Mapping, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pytp_broker.content import read_all
from pytp_broker.endpoints.events import read_event
from pytp_broker.local import gateway as local
from pytp_broker.local import log
from pytp_broker.local.at_once import NeverAtOnce
from pytp_broker.local.objects import Objects
from pytp_broker.local.proxies import Proxies
from pytp_broker.local.routes import GatewayRoute, RouteTable
from pytp_broker.local.uploads import Uploads
from pytp_broker.tokens import UploadToken

# A well-formed token that no store knows.
BEARER = f"Bearer {UploadToken.mint('00' * 16).reveal()}"


# How large the body of an upload may be.
ADMITTED = 10 * 1024 * 1024


class Exchange:
    """One ASGI request with the chunks of its body, and the answer."""

    def __init__(
        self,
        *chunks: bytes,
        method: str = "POST",
        path: str = "/x%20y",
        address: str = "192.0.2.1",
        authorization: str | None = BEARER,
        query: str = "token=secret",
        **headers: str,
    ) -> None:
        if authorization is not None:
            headers["authorization"] = authorization
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "https",
            "method": method,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "client": (address, 1234),
        }
        self._chunks = list(chunks) or [b""]
        if chunks and "content_length" not in headers:
            self.scope["headers"].append((b"transfer-encoding", b"chunked"))
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        chunk = self._chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


class Gateway:
    """The gateway with a function of the test behind one route, or behind several names."""

    def __init__(
        self,
        respond: local.Function,
        key: str = "$default",
        function: str = "F",
        *,
        proxies: int = 0,
        admitted: int = ADMITTED,
        folder: Path | None = None,
        objects: Objects | None = None,
        at_once: NeverAtOnce | None = None,
        **more: str,
    ) -> None:
        self.log = io.StringIO()
        named = {key: function} | {f"ANY /{path}": name for path, name in more.items()}

        async def admit(_: Mapping[str, Any]) -> int:
            return admitted

        table = RouteTable([GatewayRoute(*route) for route in named.items()])
        functions = dict.fromkeys(named.values(), respond)
        self.app = local.Gateway(
            table,
            functions,
            log.Log(self.log),
            uploads=Uploads(admit, folder, objects),
            proxies=Proxies(proxies),
            at_once=at_once or NeverAtOnce(),
        )

    def answer(self, exchange: Exchange) -> Exchange:
        asyncio.run(self.send(exchange))
        return exchange

    async def send(self, exchange: Exchange) -> None:
        await self.app(exchange.scope, exchange.receive, exchange.send)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    @property
    def refused(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "refused"]


def function_answering(body: bytes, status: int = 200, **headers: str) -> local.Function:
    """Return a function that answers so, in base64."""
    encoded = base64.b64encode(body).decode()
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    result = {"statusCode": status, "headers": named, "body": encoded, "isBase64Encoded": True}
    return lambda _event: result


def body_of(result: Mapping[str, Any]) -> bytes:
    """Return the body in a function's result, as the gateway sends it."""
    if "content" in result:
        with closing(result["content"]) as content:
            return read_all(content)
    body: str = result["body"]
    return base64.b64decode(body, validate=True) if result["isBase64Encoded"] else body.encode()


def echo(event: Mapping[str, Any]) -> Mapping[str, Any]:
    body = read_event(event).body.decode()
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": body}
