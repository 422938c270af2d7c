"""The local server: events as API Gateway builds them, its choice of routes, the answers."""

import asyncio
import base64
import io
import json
import logging
import socket
import stat
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests
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

    def __init__(self, *chunks: bytes, method: str = "POST", **headers: str) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "https",
            "method": method,
            "raw_path": b"/x%20y",
            "query_string": b"token=secret",
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "client": ("192.0.2.1", 1234),
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
        body: bytes = self.sent[1]["body"]
        return body


class Gateway:
    """The gateway with one route and a function of the test's."""

    def __init__(
        self, respond: server.Function, key: str = "$default", function: str = "F"
    ) -> None:
        self.log = io.StringIO()
        table = RouteTable([GatewayRoute(key, function)])
        self._gateway = server.Gateway(table, {function: respond}, server.Log(self.log))

    def answer(self, exchange: Exchange) -> Exchange:
        asyncio.run(self.send(exchange))
        return exchange

    async def send(self, exchange: Exchange) -> None:
        await self._gateway(exchange.scope, exchange.receive, exchange.send)

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


@pytest.mark.parametrize(
    ("function", "limit"),
    [("UploadFunction", server.MAX_BODY_BYTES), ("F", server.MAX_SMALL_BODY_BYTES)],
)
@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_over_the_limit_is_a_413(function: str, limit: int, *, is_announced: bool) -> None:
    announced = Exchange(content_length=str(limit + 1))
    sent = Exchange(bytes(limit), b"x", b"never read")

    answered = Gateway(echo, function=function).answer(announced if is_announced else sent)

    assert answered.status == PayloadTooLarge.status
    assert json.loads(answered.body)["errors"][0]["code"] == PayloadTooLarge.code


@pytest.mark.parametrize(
    ("function", "limit"),
    [("UploadFunction", server.MAX_BODY_BYTES), ("F", server.MAX_SMALL_BODY_BYTES)],
)
def test_a_body_of_just_the_limit_is_read(function: str, limit: int) -> None:
    answered = Gateway(echo, function=function).answer(Exchange(bytes(limit)))

    assert answered.status == 200


class Stalled(Exchange):
    """A request whose body stops after its first chunk, until the test lets it go on."""

    async def receive(self) -> MutableMapping[str, Any]:
        if len(self._chunks) == 1:
            await self.go_on.wait()
        return await super().receive()

    def __init__(self, *chunks: bytes) -> None:
        super().__init__(*chunks)
        self.go_on = asyncio.Event()


@pytest.mark.parametrize(
    ("function", "limit"), [("UploadFunction", "_UPLOAD_SECONDS"), ("F", "_SMALL_BODY_SECONDS")]
)
def test_a_body_that_does_not_arrive_in_time_is_refused(
    monkeypatch: pytest.MonkeyPatch, function: str, limit: str
) -> None:
    monkeypatch.setattr(server, limit, 0)

    answered = Gateway(echo, function=function).answer(Stalled(b"one ", b"two"))

    assert answered.status == 400
    assert answered.headers[b"connection"] == b"close"
    assert json.loads(answered.body)["errors"][0]["code"] == "invalid-request"


@pytest.mark.parametrize("function", ["UploadFunction", "F"])
def test_requests_beyond_what_the_server_takes_at_a_time_are_told_to_wait(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.setattr(server, "_MAX_UPLOADS", 2)
    monkeypatch.setattr(server, "_MAX_REQUESTS", 2)
    gateway = Gateway(echo, function=function)
    stalled = [Stalled(b"one ", b"two") for _ in range(2)]
    third, fourth = Exchange(), Exchange()

    async def act() -> None:
        tasks = [asyncio.create_task(gateway.send(exchange)) for exchange in stalled]
        await asyncio.sleep(0)
        await gateway.send(third)
        for exchange in stalled:
            exchange.go_on.set()
        await asyncio.gather(*tasks)
        await gateway.send(fourth)

    asyncio.run(act())

    assert [exchange.status for exchange in (*stalled, third, fourth)] == [200, 200, 503, 200]
    assert third.headers[b"retry-after"] == b"1"
    assert json.loads(third.body)["errors"][0]["code"] == "unavailable"


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
