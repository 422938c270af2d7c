"""The local server: events as API Gateway builds them, its choice of routes, the answers."""

import asyncio
import base64
import io
import json
import logging
import re
import socket
import ssl
import stat
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests
import uvicorn
from cryptography import x509

from pytp_broker.audit import AuditRecord
from pytp_broker.errors import PayloadTooLarge
from pytp_broker.handlers.gateway import read_event
from pytp_broker.local import deployment, routes, server
from pytp_broker.local.certificates import issue_certificate
from pytp_broker.local.events import HttpRequest, build_event
from pytp_broker.local.issuer import Issuer, github_job
from pytp_broker.local.process import ServerProcess
from pytp_broker.local.routes import GatewayRoute, RouteTable, TemplateError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROUTE = GatewayRoute("ANY /{registry}/legacy", "UploadFunction")
DEFAULT = GatewayRoute("$default", "BrokerFunction")


def event_of(route: GatewayRoute = DEFAULT, **parts: Any) -> dict[str, Any]:
    request = HttpRequest(**{"method": "GET", "raw_path": "/", **parts})
    variables = route.match(request.method, request.path)
    assert variables is not None
    return build_event(request, route, variables, NOW)


# --- events -------------------------------------------------------------------------------------


def test_an_event_is_what_api_gateway_sends() -> None:
    event = event_of(
        ROUTE,
        method="POST",
        raw_path="/acme/legacy",
        query="a=1&a=2&b=x%20y&c=",
        headers=[
            ("Host", "packages.example.com:8443"),
            ("User-Agent", "uv/0.13.9"),
            ("Content-Type", "application/json"),
            ("Accept", "text/html"),
            ("ACCEPT", "application/json"),
            ("X-Forwarded-Proto", "http"),  # the gateway knows better
        ],
        body=b'{"x": 1}',
        source_ip="192.0.2.1",
    )

    request_id = event["requestContext"].pop("requestId")
    assert len(request_id) == 36
    assert event == {
        "version": "2.0",
        "routeKey": "ANY /{registry}/legacy",
        "rawPath": "/acme/legacy",
        "rawQueryString": "a=1&a=2&b=x%20y&c=",
        "headers": {
            "host": "packages.example.com:8443",
            "user-agent": "uv/0.13.9",
            "content-type": "application/json",
            "accept": "text/html,application/json",
            "x-forwarded-proto": "https",
        },
        "queryStringParameters": {"a": "1,2", "b": "x y", "c": ""},
        "pathParameters": {"registry": "acme"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "packages.example.com",
            "domainPrefix": "packages",
            "http": {
                "method": "POST",
                "path": "/acme/legacy",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "uv/0.13.9",
            },
            "routeKey": "ANY /{registry}/legacy",
            "stage": "$default",
            "time": "22/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1795348800000,
        },
        "body": '{"x": 1}',
        "isBase64Encoded": False,
    }


def test_what_a_request_lacks_its_event_lacks() -> None:
    event = event_of()

    assert not event.keys() & {"body", "cookies", "pathParameters", "queryStringParameters"}
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        ("/acme/simple/a%20b/", "/acme/simple/a b/"),
        ("/acme%2Flegacy/", "/acme/legacy/"),
        ("/acme/%252e%252e/", "/acme/%2e%2e/"),
        ("/%C3%A9", "/é"),
        ("/%FF", "/\N{REPLACEMENT CHARACTER}"),
        ("/a+b", "/a+b"),
    ],
)
def test_the_path_is_decoded_once(raw_path: str, path: str) -> None:
    event = event_of(raw_path=raw_path)

    assert event["rawPath"] == event["requestContext"]["http"]["path"] == path


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/plain", True),
        ("application/xml", True),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/problem+json", False),
        ("", False),
    ],
)
def test_a_body_is_base64_unless_its_type_is_text(content_type: str, *, is_text: bool) -> None:
    event = event_of(headers=[("content-type", content_type)], body=b"a=1")

    assert event["isBase64Encoded"] is not is_text
    assert event["body"] == ("a=1" if is_text else base64.b64encode(b"a=1").decode())
    assert read_event(event).body == b"a=1"


def test_bytes_that_are_no_text_are_lost_in_a_text_body() -> None:
    event = event_of(headers=[("content-type", "application/json")], body=b"\xff")

    assert event["body"] == "\N{REPLACEMENT CHARACTER}"


def test_cookies_are_apart() -> None:
    event = event_of(headers=[("Cookie", "a=1; b=2")])

    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]


# --- routes -------------------------------------------------------------------------------------


def select(table: RouteTable, method: str, path: str) -> str | None:
    found = table.select(method, path)
    return found and found[0].key


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/pets/dog/1", "GET /pets/dog/1"),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}"),
        ("POST", "/pets/dog/2", "ANY /pets/dog/{id}"),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}"),
        ("GET", "/pets/dog/1/x", "GET /pets/{proxy+}"),
        ("POST", "/pets/cat/1", "ANY /{proxy+}"),
        ("GET", "/pets", "ANY /{proxy+}"),
        ("GET", "/pets/", "GET /pets/{proxy+}"),
        ("GET", "/pets/dog/", "GET /pets/{proxy+}"),
        ("GET", "/a/b", "GET /{x}/{y}"),
        ("GET", "/", "ANY /{proxy+}"),
        ("GET", "/pets/dog/1/", "GET /pets/{proxy+}"),
    ],
)
def test_the_most_specific_route_is_selected(method: str, path: str, key: str) -> None:
    keys = [
        "$default",
        "ANY /{proxy+}",
        "GET /pets/{proxy+}",
        "GET /a/{proxy+}",
        "GET /{x}/{y}",
        "ANY /pets/dog/{id}",
        "GET /pets/dog/{id}",
        "GET /pets/dog/1",
    ]
    for order in (keys, keys[::-1]):
        table = RouteTable(GatewayRoute(key, "F") for key in order)
        assert select(table, method, path) == key


def test_without_a_default_a_request_may_match_no_route() -> None:
    table = RouteTable([GatewayRoute("GET /a", "F")])

    assert select(table, "GET", "/b") is None


def test_a_greedy_variable_holds_the_rest_of_the_path() -> None:
    route = GatewayRoute("ANY /{registry}/simple/{proxy+}", "F")

    assert route.match("GET", "/acme/simple") is None
    assert route.match("GET", "/acme/simple/") == {"registry": "acme"}
    assert route.match("GET", "/acme/simple/a/b/") == {"registry": "acme", "proxy": "a/b/"}


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("/.well-known/pytp", "BrokerFunction"),
        ("/_/oidc/audience", "BrokerFunction"),
        ("/_/oidc/github/mint-token", "BrokerFunction"),
        ("/acme/_/oidc/mint-token", "BrokerFunction"),
        ("/acme/_/oidc/burn-token", "BrokerFunction"),
        ("/acme/legacy", "UploadFunction"),
        ("/acme/legacy/", "UploadFunction"),
        ("/legacy/", "UploadFunction"),
        ("/acme/simple/", "SimpleFunction"),
        ("/acme/simple/widgets/", "SimpleFunction"),
        ("/simple/legacy/", "SimpleFunction"),
        ("/acme/files/0/x.whl", "SimpleFunction"),
        ("/simple/legacy", "SimpleFunction"),
        ("/nothing", "UploadFunction"),
    ],
)
def test_the_templates_routes_lead_to_its_functions(path: str, function: str) -> None:
    table = RouteTable.from_template(routes.load_template(routes.find_template()))

    found = table.select("GET", path)

    assert found is not None
    assert found[0].function == function


TEMPLATE = """
Resources:
  F: {Type: AWS::Serverless::Function}
  Api: {Type: AWS::ApiGatewayV2::Api}
  I:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {IntegrationUri: URI}
  R:
    Type: AWS::ApiGatewayV2::Route
    Properties: {RouteKey: GET /, Target: TARGET}
"""


@pytest.mark.parametrize(
    "uri", ["!GetAtt F.Arn", "!GetAtt [F, Arn]", "!Sub 'arn:${Api}/${F.Arn}/x'"]
)
@pytest.mark.parametrize(
    "target", ["!Sub 'integrations/${I}'", "!Join [/, [integrations, !Ref I]]"]
)
def test_every_form_of_reference_is_followed(tmp_path: Path, uri: str, target: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("URI", uri).replace("TARGET", target))

    table = RouteTable.from_template(routes.load_template(path))

    assert table.functions == {"F"}


@pytest.mark.parametrize(
    ("uri", "target", "said"),
    [
        ("!GetAtt F.Arn", "integrations/none", "the Target of R is no integration"),
        ("https://example.com", "!Sub 'integrations/${I}'", "the IntegrationUri of I"),
        ("5", "!Ref I", "the IntegrationUri of I"),
    ],
)
def test_a_route_that_leads_nowhere_is_an_error(
    tmp_path: Path, uri: str, target: str, said: str
) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("URI", uri).replace("TARGET", target))

    with pytest.raises(TemplateError, match=said):
        RouteTable.from_template(routes.load_template(path))


def test_tags_are_read_in_their_long_form(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("Resources: {A: !Ref B, C: !Condition D, E: !If [F, !Ref G, 1], H: !X {i: 1}}")

    assert routes.load_template(path)["Resources"] == {
        "A": {"Ref": "B"},
        "C": {"Condition": "D"},
        "E": {"Fn::If": ["F", {"Ref": "G"}, 1]},
        "H": {"Fn::X": {"i": 1}},
    }


def test_what_is_no_template_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("- 1")

    with pytest.raises(TemplateError, match="is not a CloudFormation template"):
        routes.load_template(path)


def test_a_missing_template_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_PACKAGE", tmp_path / "a" / "b" / "c")

    with pytest.raises(TemplateError, match=r"no template\.yaml at"):
        routes.find_template()


def test_the_tables_schema_is_the_templates() -> None:
    schema = deployment._table_schema()

    assert [key["AttributeName"] for key in schema["KeySchema"]] == ["pk", "sk"]


def test_a_template_without_a_table_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    monkeypatch.setattr(deployment, "find_template", lambda: path)

    with pytest.raises(TemplateError, match="no table"):
        deployment._table_schema()


# --- the gateway --------------------------------------------------------------------------------


class Exchange:
    """One ASGI request with its chunks of body, and what is sent in answer."""

    def __init__(
        self,
        *chunks: bytes,
        method: str = "POST",
        path: str = "/x%20y",
        address: str = "192.0.2.1",
        **headers: str,
    ) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "https",
            "method": method,
            "raw_path": path.encode(),
            "query_string": b"token=secret",
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "client": (address, 1234),
        }
        self._chunks = list(chunks) or [b""]
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
    """The gateway with one route and a function of the test's."""

    def __init__(
        self, respond: server.Function, key: str = "$default", function: str = "F"
    ) -> None:
        self.log = io.StringIO()
        table = RouteTable([GatewayRoute(key, function)])
        self.app = server.Gateway(table, {function: respond}, server.Log(self.log))

    def answer(self, exchange: Exchange) -> Exchange:
        asyncio.run(self.send(exchange))
        return exchange

    async def send(self, exchange: Exchange) -> None:
        await self.app(exchange.scope, exchange.receive, exchange.send)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def echo(event: Mapping[str, Any]) -> Mapping[str, Any]:
    body = read_event(event).body.decode()
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": body}


def test_a_request_goes_to_its_function_and_the_result_comes_back() -> None:
    gateway = Gateway(echo)

    answered = gateway.answer(Exchange(b"one ", b"two"))

    assert answered.status == 200
    assert answered.body == b"one two"
    assert answered.headers == {b"content-type": b"text/plain", b"content-length": b"7"}


def test_a_request_is_logged_by_its_path_alone() -> None:
    gateway = Gateway(echo)

    gateway.answer(Exchange(b"secret", authorization="secret"))

    [line] = gateway.lines
    assert (line["event"], line["method"], line["path"], line["status"]) == (
        "request",
        "POST",
        "/x y",
        200,
    )
    assert "secret" not in gateway.log.getvalue()


def test_no_route_is_a_404() -> None:
    answered = Gateway(echo, "GET /elsewhere").answer(Exchange())

    assert answered.status == 404
    assert json.loads(answered.body)["errors"][0]["code"] == "not-found"


def test_an_unexpected_exception_is_a_500_and_its_text_is_not_logged() -> None:
    def fail(_event: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            raise KeyError("secret")
        except KeyError:
            raise ValueError("secret") from None

    gateway = Gateway(fail)

    answered = gateway.answer(Exchange(b"secret"))

    assert answered.status == 500
    assert answered.headers[b"content-type"] == b"application/problem+json"
    assert json.loads(answered.body)["errors"][0]["code"] == "internal-error"
    fault = gateway.lines[0]
    assert (fault["event"], fault["error"]) == ("fault", "ValueError")
    assert any(" fail" in frame for frame in fault["traceback"])
    assert "secret" not in gateway.log.getvalue() + answered.body.decode()


LEGACY = "/acme/legacy/"


@pytest.mark.parametrize(
    ("function", "path", "limit"),
    [
        ("UploadFunction", LEGACY, server.MAX_BODY_BYTES),
        ("UploadFunction", "/nothing", server.MAX_SMALL_BODY_BYTES),
        ("F", "/x", server.MAX_SMALL_BODY_BYTES),
    ],
)
@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_over_the_limit_is_a_413(
    function: str, path: str, limit: int, *, is_announced: bool
) -> None:
    announced = Exchange(path=path, content_length=str(limit + 1))
    sent = Exchange(bytes(limit), b"x", b"never read", path=path)

    answered = Gateway(echo, function=function).answer(announced if is_announced else sent)

    assert answered.status == PayloadTooLarge.status
    assert json.loads(answered.body)["errors"][0]["code"] == PayloadTooLarge.code


@pytest.mark.parametrize(
    ("function", "path", "limit"),
    [
        ("UploadFunction", LEGACY, server.MAX_BODY_BYTES),
        ("F", "/x", server.MAX_SMALL_BODY_BYTES),
    ],
)
def test_a_body_of_just_the_limit_is_read(function: str, path: str, limit: int) -> None:
    answered = Gateway(echo, function=function).answer(Exchange(bytes(limit), path=path))

    assert answered.status == 200


@pytest.mark.parametrize(
    ("function", "path", "is_upload"),
    [
        ("UploadFunction", "/legacy", True),
        ("UploadFunction", "/legacy/", True),
        ("UploadFunction", "/acme/legacy", True),
        ("UploadFunction", "/acme%2Flegacy/", True),
        ("UploadFunction", "/acme/legacy/x", False),
        ("UploadFunction", "/acme/mylegacy/", False),
        ("UploadFunction", "/nothing", False),
        ("SimpleFunction", "/simple/legacy/", False),
    ],
)
def test_only_what_is_sent_to_legacy_is_an_upload(
    function: str, path: str, *, is_upload: bool
) -> None:
    exchange = Exchange(path=path, content_length=str(server.MAX_SMALL_BODY_BYTES + 1))

    answered = Gateway(echo, function=function).answer(exchange)

    assert answered.status == (200 if is_upload else 413)


class Waiting(Exchange):
    """A request that comes to a halt, until the test lets it go on."""

    def __init__(self, *chunks: bytes, **parts: str) -> None:
        super().__init__(*chunks, **parts)
        self.halted, self.go_on = asyncio.Event(), asyncio.Event()

    async def halt(self) -> None:
        self.halted.set()
        await self.go_on.wait()


class Stalled(Waiting):
    """A request whose body stops after its first chunk."""

    async def receive(self) -> MutableMapping[str, Any]:
        if len(self._chunks) == 1:
            await self.halt()
        return await super().receive()


class Unread(Waiting):
    """A request whose answer is read no further than its head."""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.sent:
            await self.halt()
        await super().send(message)


LANES = pytest.mark.parametrize(
    ("function", "path"), [("UploadFunction", LEGACY), ("UploadFunction", "/nothing"), ("F", "/x")]
)


@pytest.mark.parametrize(
    ("function", "path", "limit"),
    [
        ("UploadFunction", LEGACY, "_UPLOAD_SECONDS"),
        ("UploadFunction", "/nothing", "_SMALL_BODY_SECONDS"),
        ("F", "/x", "_SMALL_BODY_SECONDS"),
    ],
)
def test_a_body_that_does_not_arrive_in_time_is_refused(
    monkeypatch: pytest.MonkeyPatch, function: str, path: str, limit: str
) -> None:
    monkeypatch.setattr(server, limit, 0)

    answered = Gateway(echo, function=function).answer(Stalled(b"one ", b"two", path=path))

    assert answered.status == 400
    assert answered.headers[b"connection"] == b"close"
    assert json.loads(answered.body)["errors"][0]["code"] == "invalid-request"


def in_turn(
    gateway: Gateway, waiting: Sequence[Waiting], now: Sequence[Exchange], late: Exchange
) -> list[int]:
    """Return the statuses of requests while others wait, of those, and of one after them."""

    async def act() -> None:
        tasks = [asyncio.create_task(gateway.send(exchange)) for exchange in waiting]
        for each in waiting:
            await each.halted.wait()
        for exchange in now:
            await gateway.send(exchange)
        for each in waiting:
            each.go_on.set()
        await asyncio.gather(*tasks)
        await gateway.send(late)

    asyncio.run(act())
    return [exchange.status for exchange in (*now, *waiting, late)]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each lane four places."""
    monkeypatch.setattr(server, "_MAX_UPLOADS", 4)
    monkeypatch.setattr(server, "_MAX_REQUESTS", 4)


@LANES
@pytest.mark.usefixtures("narrow")
def test_requests_beyond_what_the_server_takes_at_a_time_are_told_to_wait(
    function: str, path: str
) -> None:
    gateway = Gateway(echo, function=function)
    addresses = [f"192.0.2.{number}" for number in range(6)]
    stalled = [Stalled(b"one ", b"two", path=path, address=each) for each in addresses[:4]]
    fifth, late = (Exchange(path=path, address=each) for each in addresses[4:])

    assert in_turn(gateway, stalled, [fifth], late) == [503, 200, 200, 200, 200, 200]
    assert fifth.headers[b"retry-after"] == b"1"
    assert json.loads(fifth.body)["errors"][0]["code"] == "unavailable"


@LANES
@pytest.mark.parametrize(
    ("own", "other"),
    [
        (["192.0.2.1"] * 3, "192.0.2.2"),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3"], "2001:db8:0:1::1"),
    ],
    ids=["IPv4", "IPv6"],
)
@pytest.mark.usefixtures("narrow")
def test_one_address_takes_at_most_half_of_a_lane(
    function: str, path: str, own: list[str], other: str
) -> None:
    gateway = Gateway(echo, function=function)
    stalled = [Stalled(b"one ", b"two", path=path, address=each) for each in own[:2]]
    now = [Exchange(path=path, address=each) for each in (own[2], other)]
    late = Exchange(path=path, address=own[2])

    assert in_turn(gateway, stalled, now, late) == [503, 200, 200, 200, 200]
    assert now[0].headers[b"retry-after"] == b"1"


@pytest.mark.usefixtures("narrow")
def test_a_lane_keeps_no_address_that_has_nothing_in_it() -> None:
    gateway = Gateway(echo)

    in_turn(gateway, [Stalled(b"one ", b"two")], [Exchange(address="192.0.2.2")], Exchange())

    assert gateway.app._others.requests == {}


@LANES
@pytest.mark.usefixtures("narrow")
def test_a_place_is_kept_until_the_answer_is_sent(function: str, path: str) -> None:
    gateway = Gateway(echo, function=function)
    unread = [Unread(b"one", path=path) for _ in range(2)]

    statuses = in_turn(gateway, unread, [Exchange(path=path)], Exchange(path=path))

    assert statuses == [503, 200, 200, 200]


# --- answers ------------------------------------------------------------------------------------


def answering(body: bytes, status: int = 200, **headers: str) -> server.Function:
    """Return a function that answers so, as ours do: in base64."""
    encoded = base64.b64encode(body).decode()
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    result = {"statusCode": status, "headers": named, "body": encoded, "isBase64Encoded": True}
    return lambda _event: result


@pytest.mark.parametrize("size", [0, 1, 49_151, 49_152, 49_153, 65_536, 1_000_000])
def test_an_answer_of_any_size_is_what_the_function_said(size: int) -> None:
    body = bytes(number % 251 for number in range(size))

    answered = Gateway(answering(body)).answer(Exchange())

    assert answered.body == body
    assert answered.headers[b"content-length"] == str(size).encode()


def test_an_answer_is_sent_in_chunks_and_an_end_that_waits_for_the_last() -> None:
    answered = Gateway(answering(bytes(150_000))).answer(Exchange())

    chunks = [(len(m.get("body", b"")), m.get("more_body", False)) for m in answered.sent[1:]]
    assert chunks == [(65_536, True), (65_536, True), (18_928, True), (0, False)]


@pytest.mark.parametrize(("size", "status"), [(200_000, 200), (300_000, 500)])
def test_only_a_large_answer_waits_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, status: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    gateway = Gateway(answering(bytes(size)))

    answered = gateway.answer(Exchange())

    assert answered.status == status
    assert [line["error"] for line in gateway.lines if line["event"] == "fault"] == (
        [] if status == 200 else ["FileNotFoundError"]
    )


@pytest.mark.parametrize(
    ("method", "status", "body", "said", "sent"),
    [
        ("HEAD", 200, b"", "9900000", b"9900000"),
        ("HEAD", 200, b"", None, b"0"),
        ("HEAD", 404, b"{}", None, b"2"),
        ("HEAD", 200, b"{}", "3", b"2"),
        ("GET", 304, b"", "9900000", b"9900000"),
        ("GET", 304, b"", None, None),
        ("HEAD", 304, b"", "9900000", b"9900000"),
        ("GET", 200, b"", "3", b"0"),
        ("GET", 200, b"{}", "3", b"2"),
        ("POST", 200, b"", "3", b"0"),
    ],
)
def test_the_length_is_the_functions_where_the_body_is_left_out(
    method: str, status: int, body: bytes, said: str | None, sent: bytes | None
) -> None:
    headers = {} if said is None else {"content_length": said}

    answered = Gateway(answering(body, status, **headers)).answer(Exchange(method=method))

    assert answered.headers.get(b"content-length") == sent


def test_a_request_that_breaks_off_goes_nowhere() -> None:
    exchange = Exchange()
    messages = [{"type": "http.request", "body": b"half", "more_body": True}]
    messages += [{"type": "http.disconnect"}]

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    exchange.receive = receive  # type: ignore[method-assign]
    gateway = Gateway(echo)

    assert gateway.answer(exchange).sent == []
    assert gateway.lines == []


def test_a_function_that_is_not_here_stops_the_start() -> None:
    table = RouteTable([GatewayRoute("$default", "NoSuchFunction")])

    with pytest.raises(TemplateError, match="NoSuchFunction"):
        server.Gateway(table, {}, server.Log())


def test_an_audit_record_is_one_line_that_its_facts_cannot_forge() -> None:
    stream = io.StringIO()
    facts = {"event": "burn", "outcome": "accepted\n", "x": 1}
    record = AuditRecord("exchange", "refused", "invalid-token", facts)

    server.Log(stream).audit(record)

    [line] = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (line["event"], line["outcome"], line["reason"], line["x"]) == (
        "exchange",
        "refused",
        "invalid-token",
        1,
    )


# --- the wire ------------------------------------------------------------------------------------


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    config = tmp_path / "broker.toml"
    config.write_text('[[registries]]\nname = "acme"\n')
    with ServerProcess(config, tmp_path / "log", "--no-tls") as running:
        yield running


def exchange_bytes(process: ServerProcess, *sent: bytes) -> bytes:
    """Send these bytes, each part after something has come back for the last one; return all."""
    address = urlsplit(process.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        received = b""
        for octets in sent:
            connection.sendall(octets)
            received += connection.recv(65536)
        while octets := connection.recv(65536):
            received += octets
    return received


@pytest.mark.parametrize(
    "sent",
    [
        b"no http\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /acme/legacy/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nno\r\n",
    ],
    ids=["garbage", "no host", "impossible length", "malformed chunk"],
)
def test_what_is_no_http_gets_the_one_error_object(process: ServerProcess, sent: bytes) -> None:
    head, _, body = exchange_bytes(process, sent).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json\r\n" in head.lower()
    assert json.loads(body)["errors"][0]["code"] == "invalid-request"
    [warning] = [json.loads(line) for line in process.log.read_text().splitlines()]
    assert (warning["event"], warning["by"]) == ("warning", "uvicorn.error")


def test_what_is_no_http_after_the_answer_ends_the_connection(process: ServerProcess) -> None:
    head = b"POST /acme/simple/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    size = server.MAX_SMALL_BODY_BYTES + 1
    chunk = b"%x\r\n%s\r\n" % (size, bytes(size))

    received = exchange_bytes(process, head + chunk, b"no\r\n")

    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.count(b"HTTP/1.1") == 1
    assert process.events("fault") == []


def test_what_a_library_logs_of_an_exception_is_not_its_text() -> None:
    stream = io.StringIO()
    handler = server._Warnings(server.Log(stream))
    try:
        raise ValueError("secret")
    except ValueError:
        facts = sys.exc_info()

    handler.handle(logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), facts))

    assert json.loads(stream.getvalue())["error"] == "ValueError"
    assert "secret" not in stream.getvalue()


# --- clients that do not go on ------------------------------------------------------------------

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LARGE = 9_900_000


class Client:
    """A connection to the server, with no more room for what it does not read than it has to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[bytes, bytes]:
        """Return the head and the body of one answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head.lower())
        assert found
        return head, await self.reader.readexactly(int(found[1]))

    async def rest(self) -> int:
        """Return how many bytes come before the connection ends."""
        size = 0
        with suppress(ConnectionError):
            while octets := await self.reader.read(65_536):
                size += len(octets)
        return size


class Wire:
    """A server in this event loop, whose clock the test puts forward, and its clients."""

    def __init__(self, running: uvicorn.Server, address: tuple[str, int], ca: Path | None) -> None:
        self.connections = running.server_state.connections
        self._address = address
        self._context = ssl.create_default_context(cafile=ca) if ca else None
        self._loop = asyncio.get_running_loop()
        self._clients: list[Client] = []
        self._time, self._ahead = self._loop.time, 0.0
        self._loop.time = lambda: self._time() + self._ahead  # type: ignore[method-assign]

    async def connect(self, sent: bytes = b"", *, is_tls: bool | None = None) -> Client:
        """Return a connection on which these bytes were sent; of the server's kind, if not told."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.setblocking(False)
        await self._loop.sock_connect(connection, self._address)
        context = self._context if is_tls is not False else None
        opened = await asyncio.open_connection(
            sock=connection,
            ssl=context,
            server_hostname="127.0.0.1" if context else None,
            limit=4096,
        )
        self._clients.append(Client(*opened))
        opened[1].write(sent)
        await self.pass_time(0)
        return self._clients[-1]

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and whatever is due happen."""
        self._ahead += seconds
        for _ in range(10):
            await asyncio.sleep(0)

    def close(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()


def on_the_wire(
    gateway: Gateway, act: Callable[[Wire], Awaitable[None]], folder: Path | None = None
) -> None:
    """Run a server and what the test does with it; with TLS, if there is a folder for its files."""

    async def serve() -> None:
        certificate = issue_certificate(folder, [], datetime.now(UTC)) if folder else None
        listener = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        running = server._Server(server._configure(gateway.app, certificate), ready.set)
        serving = asyncio.create_task(running.serve([listener]))
        await ready.wait()
        ca = certificate.ca if certificate else None
        wire = Wire(running, listener.getsockname(), ca)
        try:
            await asyncio.wait_for(act(wire), 200)  # most of which the test lets pass
        finally:
            wire.close()
            running.should_exit = True
            await serving

    with asyncio.Runner(loop_factory=server._Loop) as runner:
        runner.run(serve())


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Return a folder for certificates, where there is to be TLS."""
    return tmp_path if request.param else None


def test_whoever_reads_nothing_is_given_up_and_leaves_its_place(folder: Path | None) -> None:
    gateway = Gateway(answering(bytes(LARGE)))

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        while not gateway.lines:
            await wire.pass_time(0)
        await wire.pass_time(1)
        assert gateway.app._others.requests == {"127.0.0.1": 1}

        for _ in range(5):  # some bytes may have been on their way
            await wire.pass_time(31)

        assert gateway.app._others.requests == {}
        assert await client.rest() < LARGE / 10

    on_the_wire(gateway, act, folder)


def test_whoever_leaves_the_end_unread_is_given_up_too(folder: Path | None) -> None:
    def respond(event: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"statusCode": 200, "body": "x" * int(event["rawPath"][1:])}

    gateway = Gateway(respond)

    async def act(wire: Wire) -> None:
        # In one of these the end is behind what the kernel takes, and in front of what it has not
        # room for at all.
        for size in range(100_000, 400_000, 25_000):
            await wire.connect(HEAD.replace(b"/", b"/%d" % size, 1))
        while len(gateway.lines) < 12:
            await wire.pass_time(0)

        for _ in range(15):
            await wire.pass_time(6)

        assert wire.connections == set()

    on_the_wire(gateway, act, folder)


def test_whoever_reads_slowly_gets_everything(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        await client.reader.readuntil(b"\r\n\r\n")

        for _ in range(5):
            await wire.pass_time(29)
            await client.reader.readexactly(LARGE // 5)

    on_the_wire(Gateway(answering(bytes(LARGE))), act, folder)


def test_the_end_of_an_answer_may_be_read_late(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        for _ in range(5):
            await wire.pass_time(5)

        _, body = await client.answer()

        assert len(body) == 200_000

    on_the_wire(Gateway(answering(bytes(200_000))), act, folder)


@pytest.mark.parametrize("sent", [b"", HEAD[:1], HEAD[:-1]])
def test_a_connection_without_a_whole_head_is_closed_after_ten_seconds(
    folder: Path | None, sent: bytes
) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(sent[:-1])
        await wire.pass_time(9)
        assert not client.reader.at_eof()
        client.writer.write(sent[-1:])

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, folder)


def test_tls_is_agreed_upon_in_ten_seconds(tmp_path: Path) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(is_tls=False)
        await wire.pass_time(9)
        assert not client.reader.at_eof()

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, tmp_path)


def test_the_time_for_another_head_begins_with_the_end_of_the_answer(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect()
        for _ in range(3):
            await wire.pass_time(4)
            client.writer.write(HEAD[:9])
            await wire.pass_time(4)
            client.writer.write(HEAD[9:])
            assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")
        client.writer.write(HEAD[:-1])
        await wire.pass_time(9)
        assert not client.reader.at_eof()

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, folder)


def test_a_connection_is_kept_for_five_seconds_after_an_answer(folder: Path | None) -> None:
    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        await client.answer()
        await wire.pass_time(4)
        assert not client.reader.at_eof()

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, folder)


def test_a_whole_head_is_answered_however_long_that_takes(folder: Path | None) -> None:
    go_on = threading.Event()

    def respond(event: Mapping[str, Any]) -> Mapping[str, Any]:
        go_on.wait(10)
        return echo(event)

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD)
        await wire.pass_time(100)
        go_on.set()

        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")

    on_the_wire(Gateway(respond), act, folder)


def test_a_body_that_was_refused_may_still_be_sent_for_a_minute(folder: Path | None) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n"

    async def act(wire: Wire) -> None:
        client = await wire.connect(head)
        assert (await client.answer())[0].startswith(b"HTTP/1.1 413 ")
        client.writer.write(b"x")
        await wire.pass_time(59)
        assert not client.reader.at_eof()
        client.writer.write(b"x")

        await wire.pass_time(2)

        assert await client.rest() == 0

    on_the_wire(Gateway(echo), act, folder)


def test_what_turns_out_to_be_no_http_leaves_its_place_at_once(folder: Path | None) -> None:
    gateway = Gateway(echo)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"

    async def act(wire: Wire) -> None:
        client = await wire.connect(head)
        assert gateway.app._others.requests == {"127.0.0.1": 1}
        client.writer.write(b"no\r\n")

        assert (await client.answer())[0].startswith(b"HTTP/1.1 400 ")

        assert gateway.app._others.requests == {}
        await wire.pass_time(100)
        assert gateway.lines == []

    on_the_wire(gateway, act, folder)


def test_a_client_is_at_the_address_that_it_connects_from(folder: Path | None) -> None:
    def respond(event: Mapping[str, Any]) -> Mapping[str, Any]:
        request = read_event(event)
        return {"statusCode": 200, "body": f"{request.source_ip} {request.scheme}"}

    other = "http" if folder else "https"
    forged = f"x-forwarded-for: 192.0.2.9\r\nx-forwarded-proto: {other}\r\n\r\n".encode()

    async def act(wire: Wire) -> None:
        client = await wire.connect(HEAD[:-2] + forged)

        _, body = await client.answer()

        assert body.decode() == f"127.0.0.1 {'https' if folder else 'http'}"

    on_the_wire(Gateway(respond), act, folder)


def test_an_answer_to_head_has_its_length_and_no_body() -> None:
    head = HEAD.replace(b"GET", b"HEAD")

    async def act(wire: Wire) -> None:
        client = await wire.connect(head + head)

        for _ in range(2):
            answered = await client.reader.readuntil(b"\r\n\r\n")
            assert b"\r\ncontent-length: 9900000\r\n" in answered

    on_the_wire(Gateway(answering(b"", content_length=str(LARGE))), act)


# --- certificates -------------------------------------------------------------------------------


def names_in(certificate: Path) -> set[str]:
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def test_a_certificate_is_for_loopback_and_every_name_given(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path / "tls", ["192.0.2.1", "acme.example.com"], NOW)

    assert names_in(files.certificate) == {
        *("127.0.0.1", "::1", "localhost", "192.0.2.1", "acme.example.com")
    }


def test_private_keys_are_their_owners_alone(tmp_path: Path) -> None:
    issue_certificate(tmp_path / "tls", [], NOW)
    files = issue_certificate(tmp_path / "tls", [], NOW)

    places = [tmp_path / "tls", files.private_key, tmp_path / "tls" / "ca.key"]
    assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [0o700, 0o600, 0o600]


def test_the_authority_is_kept_and_the_certificate_is_not(tmp_path: Path) -> None:
    files = issue_certificate(tmp_path, [], NOW)
    first = files.ca.read_bytes(), files.certificate.read_bytes()

    issue_certificate(tmp_path, ["new.example.com"], NOW)

    assert files.ca.read_bytes() == first[0]
    assert files.certificate.read_bytes() != first[1]
    assert "new.example.com" in names_in(files.certificate)


@pytest.mark.parametrize("spoil", ["ca.key", "ca.pem", "time"])
def test_an_authority_that_is_no_good_is_replaced(tmp_path: Path, spoil: str) -> None:
    files = issue_certificate(tmp_path, [], NOW)
    first = files.ca.read_bytes()
    if spoil != "time":
        (tmp_path / spoil).write_text("spoilt")

    issue_certificate(tmp_path, [], datetime(2999, 6, 1, tzinfo=UTC) if spoil == "time" else NOW)

    assert files.ca.read_bytes() != first


# --- the issuer for local use -------------------------------------------------------------------


def get(url: str, authorization: str = "") -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers={"Authorization": authorization}, timeout=5)


def verified(issuer: Issuer, token: str) -> dict[str, Any]:
    keys = jwt.PyJWKSet.from_dict(get(f"{issuer.url}/.well-known/jwks").json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience="pytp")
    return claims


def test_the_issuers_tokens_verify_by_what_it_publishes() -> None:
    with Issuer() as issuer:
        discovery = get(f"{issuer.url}/.well-known/openid-configuration").json()
        claims = verified(issuer, issuer.token(repository="octo-org/other", actor=None))

    assert discovery["issuer"] == claims["iss"] == issuer.url
    assert discovery["jwks_uri"] == f"{issuer.url}/.well-known/jwks"
    assert claims["repository"] == "octo-org/other"
    assert "actor" not in claims


def test_a_job_gets_its_own_token_and_nobody_else_does() -> None:
    with Issuer() as issuer:
        job = issuer.start_job(run_id="7")
        url = job["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=pytp"

        granted = get(url, f"bearer {job['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}")
        refused = [get(url, other) for other in ("", "bearer x", "basic x")]

        assert verified(issuer, granted.json()["value"])["run_id"] == "7"
        assert {answer.status_code for answer in refused} == {401}
        assert get(f"{issuer.url}/nothing").status_code == 404
    assert issuer.requests[0] == "GET /actions/idtoken?api-version=2.0&audience=pytp"


def test_a_rotated_key_stays_published_for_a_while() -> None:
    with Issuer() as issuer:
        old = issuer.token()
        issuer.rotate()
        verified(issuer, old)
        verified(issuer, issuer.token())
        issuer.rotate(keep=0)
        with pytest.raises(KeyError):
            verified(issuer, old)


def test_an_issuer_has_no_url_before_it_listens() -> None:
    with pytest.raises(RuntimeError, match="only while it is entered"):
        _ = Issuer().url


def test_a_branchs_job_says_so() -> None:
    claims = github_job(environment=None, ref="refs/heads/main")

    assert claims["sub"] == "repo:octo-org/widgets:ref:refs/heads/main"
    assert claims["ref_type"] == "branch"
    assert "environment" not in claims
