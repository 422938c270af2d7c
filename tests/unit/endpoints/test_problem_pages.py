"""Refusals: a page for a person with a browser, and the error object for everything else."""

import pytest

from tests.support.visitor import BROWSER, Page, Visited

PIP = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, "
    "text/html; q=0.01"
)
UV = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.01"
)


@pytest.fixture
def shelf() -> Visited:
    return Visited()


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "TEXT/HTML;Q=0.5, */*;q=0.1"])
def test_a_browser_gets_a_page(shelf: Visited, accept: str) -> None:
    answer = shelf.get("/acme/simpel/", accept)

    page = Page(answer)
    assert answer.status == 404
    assert "Not found There is nothing at this address." in page.text
    assert "Index URLs have the form https://packages.example.com/REGISTRY/simple/ ." in page.text
    assert "Pages for people begin at https://packages.example.com/REGISTRY/ ." in page.text


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "application/json", PIP, UV, "text/html;q=0", "text/html;q=x", ",;"]
)
def test_a_program_gets_the_error_object(shelf: Visited, accept: str | None) -> None:
    assert shelf.get("/acme/simpel/", accept).code == "not-found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_request_that_does_not_read_gets_the_error_object(shelf: Visited, method: str) -> None:
    answer = shelf.call(method, "/acme/simple/", headers={"accept": BROWSER})

    assert answer.code == "method-not-allowed"


def test_a_page_keeps_the_headers_of_the_refusal(shelf: Visited) -> None:
    answer = shelf.get("/acme/legacy/", BROWSER)

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/acme/project/<script>x</script>/", "/acme/simple/`<b>`/"])
def test_what_was_asked_for_is_not_repeated_as_html(shelf: Visited, path: str) -> None:
    page = Page(shelf.get(path, BROWSER))

    assert not {"script", "b"} & page.names


def test_the_page_is_the_same_for_a_registry_that_exists_and_for_one_that_does_not(
    shelf: Visited,
) -> None:
    assert shelf.ask("/acme/nothing/").body == shelf.ask("/ghost/nothing/").body
