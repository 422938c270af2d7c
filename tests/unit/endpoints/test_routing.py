"""The dispatcher: what happens to a request before a handler runs."""

from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.audit.requests import Other
from pytp_broker.content import NOTHING
from pytp_broker.endpoints import read
from pytp_broker.endpoints.routing import READING, Context, Route, respond
from pytp_broker.grants import Permission
from pytp_broker.http.messages import Request, Response
from pytp_broker.http.paths import Path
from pytp_broker.services import Index
from tests.support.deployment import HOST, basic
from tests.support.shelf import Shelf


def echo(context: Context[Index, Other]) -> Response:
    """Answer with the values that the dispatcher passes to a handler."""
    caller = context.caller
    return Response(
        200, f"{caller.permission.value} {caller.registry.name} {caller.token.lookup_id}".encode()
    )


NEEDY = (Route(Path("/secret/{project}"), READING, echo, needs=Permission.UPLOAD),)


def ask(shelf: Shelf, path: str = "/acme/secret/widgets", authorization: str = "") -> Response:
    request = Request("GET", HOST, path, {}, {"authorization": authorization}, NOTHING, "192.0.2.1")
    return respond(request, NEEDY, shelf.index)


@pytest.mark.parametrize("authorization", ["", "Basic", "Bearer pytp_x", basic("__token__:x")])
def test_an_endpoint_that_needs_a_permission_is_not_reached_without_a_token(
    authorization: str,
) -> None:
    answer = ask(Shelf(), authorization=authorization)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_an_endpoint_is_told_who_calls_and_what_it_needs() -> None:
    shelf = Shelf()

    answer = ask(shelf, authorization=shelf.basic())

    assert answer.body.decode() == f"upload acme {shelf.token.lookup_id}"


def test_a_permission_is_one_of_a_registry() -> None:
    shelf = Shelf()

    assert ask(shelf, "/secret/widgets", shelf.basic()).status == 404


def test_a_refused_reading_leaves_no_record() -> None:
    shelf = Shelf()

    assert ask(shelf).status == 401
    assert shelf.records == []


def test_a_request_is_answered_by_one_configuration() -> None:
    """The dispatcher takes it once, even if it changes while the request is answered."""
    shelf = Shelf()
    looks = 0

    class Counting:
        def current(self) -> Any:
            nonlocal looks
            looks += 1
            return shelf.configuration

    index = replace(shelf.index, configurations=Counting())  # type: ignore[arg-type]
    request = Request("GET", HOST, "/acme/simple/", {}, {}, NOTHING, "192.0.2.1")

    assert respond(request, read.ROUTES, index).status == 200
    assert looks == 1
