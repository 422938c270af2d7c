"""The dispatcher: what happens to a request before a handler runs."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.audit.requests import Other
from pytp_broker.content import NOTHING
from pytp_broker.endpoints import broker, introspect, read, upload, web
from pytp_broker.endpoints.routing import READING, Context, Route, Routes, respond
from pytp_broker.grants import Permission
from pytp_broker.http import paths
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


NEEDY = Routes(Route(Path("/secret/{project}"), READING, echo, needs=Permission.UPLOAD))


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


# --- the route of a path --------------------------------------------------------------------------

TABLES: Final[dict[str, Routes[Any]]] = {
    "broker": broker.ROUTES,
    "upload": upload.ROUTES,
    "read": read.ROUTES,
    "introspect": introspect.ROUTES,
    "web": web.ROUTES,
}
WORDS: Final = sorted(
    {word for path in paths.ALL for word in path.pattern.split("/")} | {"", "a\nb"}
)


@st.composite
def near_a_path(draw: st.DrawFn) -> str:
    """Draw one of our paths with any words in it, perhaps with a word more or a slash less."""
    pattern = draw(st.sampled_from(paths.ALL)).pattern
    pattern = pattern.removesuffix("/") if draw(st.booleans()) else pattern
    words = [draw(st.sampled_from(WORDS)) if "{" in word else word for word in pattern.split("/")]
    if draw(st.booleans()):
        words.insert(draw(st.integers(0, len(words))), draw(st.sampled_from(WORDS)))
    return "/".join(words)


def find_in_order(routes: Routes[Any], method: str, path: str) -> tuple[Any, ...] | None:
    """Look at one route after the other, as a person reads the table."""
    for route in routes:
        variables = match(route.path, path)
        if variables is not None:
            same = [each for each in routes if each.path == route.path]
            chosen = next((each for each in same if method in each.methods), route)
            return chosen, variables, tuple(m for each in same for m in each.methods)
    return None


def match(path: Path, asked: str) -> dict[str, str] | None:
    """Match a path by a regular expression."""
    is_short = path.pattern.endswith("/") and not asked.endswith("/")
    expression = "".join(expressions(path.pattern.removesuffix("/") if is_short else path.pattern))
    found = re.fullmatch(expression, asked)
    return None if found is None else found.groupdict()


def expressions(pattern: str) -> Iterator[str]:
    for part in re.split(r"({\w+\+?})", pattern):
        if part.endswith("+}"):
            yield f"(?P<{part[1:-2]}>(?s:.*))"
        elif part.startswith("{"):
            yield f"(?P<{part[1:-1]}>[^/]*)"
        else:
            yield re.escape(part)


@given(path=near_a_path(), method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "PUT"]))
@pytest.mark.parametrize("routes", TABLES.values(), ids=TABLES)
def test_the_route_of_a_path_is_the_first_that_matches(
    routes: Routes[Any], path: str, method: str
) -> None:
    found = routes.find(method, path)

    expected = find_in_order(routes, method, path)
    assert (found and (found.route, found.variables, found.allowed)) == expected


@pytest.mark.parametrize("function", TABLES)
def test_every_route_is_found_by_its_own_path(function: str) -> None:
    for route in TABLES[function]:
        for method in route.methods:
            found = TABLES[function].find(method, route.path.pattern)

            assert found is not None
            assert found.route is route
