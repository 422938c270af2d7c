"""Events as the local gateway builds them: those of API Gateway."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from pytp_broker.content import Held
from pytp_broker.endpoints.events import read_event
from pytp_broker.local.gateway_events import HttpRequest, build_event
from pytp_broker.local.routes import GatewayRoute, Selected

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROUTE = GatewayRoute("ANY /{registry}/legacy", "UploadFunction")
DEFAULT = GatewayRoute("$default", "BrokerFunction")


def event_of(route: GatewayRoute = DEFAULT, **parts: Any) -> dict[str, Any]:
    body = Held(parts.pop("body", b""))
    request = HttpRequest(**{"method": "GET", "raw_path": "/", "body": body, **parts})
    variables = route.match(request.method, request.path)
    assert variables is not None
    return build_event(request, Selected(route, variables), NOW)


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


def test_a_large_body_is_one_base64_text() -> None:
    body = bytes(range(256)) * 1000

    event = event_of(body=body)

    assert event["body"] == base64.b64encode(body).decode()


def test_bytes_that_are_no_text_are_lost_in_a_text_body() -> None:
    event = event_of(headers=[("content-type", "application/json")], body=b"\xff")

    assert event["body"] == "\N{REPLACEMENT CHARACTER}"


def test_cookies_are_apart() -> None:
    event = event_of(headers=[("Cookie", "a=1; b=2")])

    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
