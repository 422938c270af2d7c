"""How large the body of an upload may be: the local gateway asks before it reads any of it."""

from datetime import timedelta

import pytest

from pytp_broker.endpoints.admission import MAX_FIELDS_BYTES, max_body_bytes
from pytp_broker.local.gateway_events import HttpRequest, build_event
from pytp_broker.local.routes import GatewayRoute, Selected
from tests.support.deployment import HOST
from tests.support.shelf import Shelf
from tests.support.signing import NOW

ROUTE = GatewayRoute("$default", "UploadFunction")


def admitted(shelf: Shelf, authorization: str | None = None, path: str = "/acme/legacy/") -> int:
    given = shelf.basic() if authorization is None else authorization
    headers = [("host", HOST), ("authorization", given)]
    request = HttpRequest("POST", path, headers=headers)
    return max_body_bytes(build_event(request, Selected(ROUTE, {}), NOW), shelf.index)


def test_an_upload_may_be_as_large_as_the_registrys_files_and_a_form_around_one(
    shelf: Shelf,
) -> None:
    shelf.change(max_file_size=1000)

    assert admitted(shelf) == 1000 + MAX_FIELDS_BYTES


def test_no_upload_is_larger_than_the_deployment_takes(shelf: Shelf) -> None:
    assert admitted(shelf) == shelf.index.max_upload_bytes


@pytest.mark.promise("unread-body")
@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic x"])
def test_nothing_is_read_of_an_upload_without_a_token(shelf: Shelf, authorization: str) -> None:
    assert admitted(shelf, authorization) == 0


def test_nothing_is_read_once_the_token_has_expired(shelf: Shelf) -> None:
    shelf.now += timedelta(seconds=3600)

    assert admitted(shelf) == 0


@pytest.mark.promise("unread-body")
def test_nothing_is_read_for_a_registry_that_the_token_is_not_good_for(shelf: Shelf) -> None:
    token = shelf.mint(("acme", "widgets", "p-widgets"))

    assert admitted(shelf, shelf.basic(token)) > 0
    assert admitted(shelf, shelf.basic(token), "/other/legacy/") == 0
    assert admitted(shelf, path="/nowhere/legacy/") == 0


def test_nothing_is_read_once_everything_is_switched_off(shelf: Shelf) -> None:
    shelf.switch_off()

    assert admitted(shelf) == 0


def test_nothing_is_read_while_the_store_does_not_answer(shelf: Shelf) -> None:
    shelf.store.fail_next("find_token")

    assert admitted(shelf) == 0
