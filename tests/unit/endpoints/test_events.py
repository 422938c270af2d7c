"""Events of the gateway, and results for it: text as text, and other bytes as base64."""

import base64
import json
from typing import Any

import pytest

from pytp_broker.endpoints import read
from pytp_broker.endpoints.events import handle, handle_here, write_result
from pytp_broker.errors import NotFound
from pytp_broker.http.messages import Response, json_response, problem_response
from pytp_broker.http.negotiation import HTML, JSON, PLAIN_HTML
from tests.support.deployment import HOST
from tests.support.distributions import wheel
from tests.support.gateways import body_of
from tests.support.shelf import Shelf
from tests.support.world import World


def mint_event(body: str) -> dict[str, Any]:
    """Return the event of a POST with this body in base64 to the mint endpoint."""
    path = "/acme/_/oidc/mint-token"
    return {
        "rawPath": path,
        "headers": {"host": HOST},
        "requestContext": {"domainName": HOST, "http": {"method": "POST", "path": path}},
        "body": body,
        "isBase64Encoded": True,
    }


@pytest.mark.row("A095")
def test_a_body_in_base64_is_decoded_once() -> None:
    world = World()
    body = base64.b64encode(json.dumps({"token": world.token()}).encode())
    twice = base64.b64encode(body)

    assert world.hand("broker", mint_event(body.decode())).status == 200
    for text in ("{}", "%%%", "a", "é"):
        assert world.hand("broker", mint_event(text)).status == 400
    assert world.hand("broker", mint_event(twice.decode())).status == 422


def test_json_is_text() -> None:
    result = write_result(json_response({"audience": "acme"}))

    assert result["body"] == '{"audience":"acme"}'
    assert result["isBase64Encoded"] is False


def test_an_error_is_text() -> None:
    result = write_result(problem_response(NotFound("nothing"), "/x"))

    assert json.loads(result["body"])["status"] == 404
    assert result["isBase64Encoded"] is False


@pytest.mark.parametrize("accept", [JSON, HTML, PLAIN_HTML])
def test_a_page_is_text(accept: str) -> None:
    shelf = Shelf()
    shelf.publish(wheel())
    answer = shelf.get("/acme/simple/widgets/", accept)

    result = write_result(Response(answer.status, answer.body, answer.headers))

    assert answer.status == 200
    assert result["isBase64Encoded"] is False
    assert body_of(result) == answer.body


def test_a_body_that_is_not_ascii_stays_what_it_is() -> None:
    result = write_result(Response(200, "né \u2603".encode(), {"Content-Type": "text/plain; x=y"}))

    assert result["body"] == "né \u2603"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"PK\x03\x04", {"Content-Type": "application/octet-stream"}),
        (b"text", {"Content-Type": "application/octet-stream"}),
        (b"text", {}),
        (b"\xff", {"Content-Type": "text/html"}),
        (b"\xed\xa0\x80", {"content-type": "application/json"}),
        (b"\x1f\x8b", {"Content-Type": "text/html", "Content-Encoding": "gzip"}),
        (b"text", {"Content-Type": "text/html", "content-encoding": "identity"}),
    ],
)
def test_other_bytes_are_base64(body: bytes, headers: dict[str, str]) -> None:
    result = write_result(Response(200, body, headers))

    assert result["isBase64Encoded"] is True
    assert base64.b64decode(result["body"], validate=True) == body


def test_an_empty_body_is_empty_text() -> None:
    result = write_result(Response(304))

    assert (result["body"], result["isBase64Encoded"]) == ("", False)


@pytest.mark.parametrize("status", [200, 304, 401, 404])
def test_no_answer_may_be_embedded_by_another_site(status: int) -> None:
    result = write_result(Response(status))

    assert result["headers"]["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/acme/simple/", "/acme/nothing"])
def test_the_local_gateway_gets_the_same_answer_as_bytes(path: str) -> None:
    shelf = Shelf()
    context = {"domainName": HOST, "http": {"method": "GET", "path": path}}
    event = {"rawPath": path, "headers": {"host": HOST}, "requestContext": context}

    here = handle_here(event, read.ROUTES, shelf.index)
    there = handle(event, read.ROUTES, shelf.index)

    assert (here["statusCode"], here["headers"]) == (there["statusCode"], there["headers"])
    assert body_of(here) == body_of(there)
