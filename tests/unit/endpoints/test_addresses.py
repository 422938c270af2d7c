"""The advice to a client that asks at an address where there is no endpoint."""

import pytest

from tests.support.deployment import HOST
from tests.support.shelf import Shelf
from tests.support.world import World

UPLOADS = f"Upload URLs have the form https://{HOST}/REGISTRY/legacy/"
INDEX = f"Index URLs have the form https://{HOST}/REGISTRY/simple/"
PAGES = f"Pages for people begin at https://{HOST}/REGISTRY/"


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.mark.parametrize(
    "path",
    ["/acme", "/acme/", "/legacy/", "/amce/legacy/", "/acme/legcay/", "/acme/legacy/widgets", "/"],
)
def test_a_post_at_a_wrong_address_is_told_the_form_of_an_upload_url(
    shelf: Shelf, path: str
) -> None:
    answer = shelf.call("POST", path)

    assert (answer.status, answer.code) == (404, "not-found")
    assert answer.detail.endswith(UPLOADS)


def test_an_upload_to_the_index_is_told_the_form_of_an_upload_url(shelf: Shelf) -> None:
    answer = shelf.call("POST", "/acme/simple/")

    assert answer.status == 405
    assert answer.detail == f"use GET, HEAD instead of POST. {UPLOADS}"


@pytest.mark.parametrize("path", ["/simple/", "/amce/simple/", "/simple/widgets/", "/files/x"])
def test_a_reader_at_a_wrong_address_is_told_the_form_of_an_index_url(
    shelf: Shelf, path: str
) -> None:
    answer = shelf.get(path)

    assert answer.status == 404
    assert answer.detail.endswith(INDEX)


def test_a_reader_at_a_wrong_page_is_told_where_pages_begin(shelf: Shelf) -> None:
    assert shelf.get("/ghost/project/widgets/").detail.endswith(PAGES)


@pytest.mark.parametrize("path", ["/", "/acme/", "/acme", "/index.html"])
def test_a_reader_who_shows_no_aim_is_told_every_form(shelf: Shelf, path: str) -> None:
    answer = shelf.get(path)

    assert answer.status == 404
    assert answer.detail == f"there is nothing at this address. {INDEX}. {UPLOADS}. {PAGES}"


def test_the_advice_is_the_same_for_a_registry_that_exists_and_for_one_that_does_not(
    shelf: Shelf,
) -> None:
    known, unknown = shelf.call("POST", "/acme/uploads"), shelf.call("POST", "/ghost/uploads")

    assert known.detail == unknown.detail


def test_a_host_of_its_own_has_no_prefix_in_the_advice(shelf: Shelf) -> None:
    answer = shelf.call("POST", "/other/legacy/", host="other.example.com")

    assert answer.detail.endswith("Upload URLs have the form https://other.example.com/legacy/")


@pytest.mark.parametrize(
    "path", ["/amce/_/oidc/mint-token", "/acme/oidc/audience", "/acme/legacy/_/oidc/mint-token"]
)
def test_an_exchange_at_a_wrong_address_is_told_where_identity_tokens_are_exchanged(
    world: World, path: str
) -> None:
    answer = world.call("POST", path)

    assert answer.status == 404
    assert f"https://{HOST}/_/oidc/mint-token" in answer.detail
    assert f"https://{HOST}/REGISTRY" in answer.detail


def test_discovery_at_a_wrong_address_is_told_what_to_ask(world: World) -> None:
    answer = world.call("GET", "/.well-known/pytp", query={"discover": "/acme/"})

    assert answer.status == 404
    assert f"https://{HOST}/.well-known/pytp?discover=/REGISTRY/legacy/" in answer.detail


@pytest.mark.parametrize("path", ["/acme/_/introspect", "/ghost/_/token/verify"])
def test_an_index_at_a_wrong_address_is_told_where_to_ask_about_tokens(
    world: World, path: str
) -> None:
    answer = world.call("POST", path)

    assert answer.detail.endswith(f"https://{HOST}/REGISTRY/_/token/introspect")


def test_a_host_that_is_not_a_host_name_is_not_repeated(shelf: Shelf) -> None:
    answer = shelf.call("POST", "/acme/legacy", host="evil host\r\n")

    assert answer.status == 404
    assert "evil" not in answer.detail
