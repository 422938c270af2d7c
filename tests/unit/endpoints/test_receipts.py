"""The receipt of a file, as the read function serves it."""

from dataclasses import replace
from typing import Final

import pytest

from pytp_broker.provenance.checking import Subject, check_receipt
from pytp_broker.registries import PRIVATE
from pytp_broker.storage.project_status import ProjectStatus
from tests.support.deployment import HOST
from tests.support.distributions import WHEEL_NAME
from tests.support.samples import tombstone
from tests.support.shelf import Shelf
from tests.support.stock import WHEEL, stocked_shelf

PATH: Final = f"/acme/integrity/widgets/1.0/{WHEEL_NAME}/receipt"
ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"


@pytest.fixture
def shelf() -> Shelf:
    """Return an index with a wheel of `widgets`, and other files."""
    return stocked_shelf()


def test_a_receipt_is_served_as_it_was_signed(shelf: Shelf) -> None:
    answer = shelf.get(PATH)

    subject = Subject(WHEEL_NAME, WHEEL.sha256, len(WHEEL.content), "acme")
    keys = shelf.signer.published(HOST, "acme")
    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert check_receipt(answer.body, keys, subject, shelf.now).project == "widgets"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, ENVELOPE),
        ("", ENVELOPE),
        ("*/*", ENVELOPE),
        ("application/*", ENVELOPE),
        ("text/html, */*;q=0.8", ENVELOPE),
        (ENVELOPE, ENVELOPE),
        (f"application/json, {ENVELOPE};q=0.5", "application/json"),
        ("application/json", "application/json"),
        ("application/json, */*;q=0.1", "application/json"),
        (f"{ENVELOPE};q=0, application/json", "application/json"),
    ],
)
def test_a_client_gets_the_type_that_it_likes_better(
    shelf: Shelf, accept: str | None, content_type: str
) -> None:
    answer = shelf.get(PATH, accept)

    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_client_that_takes_neither_type_is_told_which_there_are(shelf: Shelf) -> None:
    answer = shelf.get(PATH, "text/html")

    assert (answer.status, answer.code) == (406, "not-acceptable")
    assert ENVELOPE in answer.detail


def test_a_receipt_is_kept_by_the_client_alone(shelf: Shelf) -> None:
    answer = shelf.get(PATH)

    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["Vary"] == "Accept"
    assert shelf.get(PATH, if_none_match=answer.headers["ETag"]).status == 304


def test_a_head_says_how_long_the_receipt_is(shelf: Shelf) -> None:
    answer = shelf.call("HEAD", PATH)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(shelf.get(PATH).body))


@pytest.mark.parametrize(
    "path",
    [
        f"/acme/integrity/Widgets/1.0/{WHEEL_NAME}/receipt",
        f"/acme/integrity/widgets/1.0.0/{WHEEL_NAME}/receipt",
        f"/acme/integrity/widgets/v1/{WHEEL_NAME}/receipt",
    ],
)
def test_another_spelling_leads_to_the_same_receipt(shelf: Shelf, path: str) -> None:
    assert shelf.get(path).body == shelf.get(PATH).body


@pytest.mark.parametrize(
    "path",
    [
        f"/acme/integrity/widgets/2.0/{WHEEL_NAME}/receipt",
        f"/acme/integrity/widgets/one/{WHEEL_NAME}/receipt",
        f"/acme/integrity/widgets/{'9' * 5000}/{WHEEL_NAME}/receipt",
        f"/acme/integrity/gadgets/1.0/{WHEEL_NAME}/receipt",
        f"/acme/integrity/-/1.0/{WHEEL_NAME}/receipt",
        f"/other/integrity/widgets/1.0/{WHEEL_NAME}/receipt",
        "/acme/integrity/widgets/1.0/widgets-1.0-py2-none-any.whl/receipt",
        "/acme/integrity/widgets/1.0/\0/receipt",
        f"/acme/integrity/widgets/1.0/{WHEEL_NAME}.metadata/receipt",
        f"/acme/integrity/widgets/1.0/{'x' * 5000}.whl/receipt",
        f"/integrity/widgets/1.0/{WHEEL_NAME}/receipt",
    ],
)
def test_there_is_nothing_else(shelf: Shelf, path: str) -> None:
    assert shelf.get(path).status == 404


def test_an_address_that_is_nearly_right_names_the_form(shelf: Shelf) -> None:
    answer = shelf.get(f"/acme/integrity/widgets/1.0/{WHEEL_NAME}")

    assert answer.status == 404
    assert answer.detail.endswith(
        f"Receipts have the form https://{HOST}/REGISTRY/integrity/PROJECT/VERSION/FILE/receipt"
    )


def test_a_file_of_before_receipts_has_none_and_says_so(shelf: Shelf) -> None:
    place = ("acme", WHEEL_NAME)
    shelf.store.files[place] = replace(shelf.store.files[place], receipt_sha256=None)

    answer = shelf.get(PATH)

    assert answer.status == 404
    assert "published before this registry made them" in answer.detail


def test_the_receipt_of_a_deleted_file_is_gone_with_it(shelf: Shelf) -> None:
    shelf.store.delete_file("acme", "widgets", WHEEL_NAME, tombstone())

    answer = shelf.get(PATH)

    assert answer.status == 404
    assert "has deleted" in answer.detail


def test_a_quarantined_project_shows_no_receipts(shelf: Shelf) -> None:
    shelf.store.set_status("acme", "widgets", ProjectStatus("quarantined", "malware"))

    answer = shelf.get(PATH)

    assert answer.status == 404
    assert "quarantined" in answer.detail


def test_a_receipt_that_is_missing_is_our_fault(shelf: Shelf) -> None:
    shelf.files.contents.clear()

    assert shelf.get(PATH).status == 503


def test_a_registry_with_a_host_of_its_own_serves_it_at_the_root(shelf: Shelf) -> None:
    shelf.change(hosts=("acme.example.com",))

    path = f"/integrity/widgets/1.0/{WHEEL_NAME}/receipt"
    assert shelf.call("GET", path, host="acme.example.com").status == 200


@pytest.mark.promise("private-registry")
def test_a_private_registry_shows_receipts_to_readers_alone(shelf: Shelf) -> None:
    shelf.change(access=PRIVATE)

    seen = shelf.get(PATH, authorization=shelf.basic())

    assert shelf.get(PATH).status == 401
    assert shelf.get(PATH.replace("widgets/", "nothing/", 1)).status == 401
    assert (seen.status, seen.headers["Vary"]) == (200, "Accept, Authorization")


def test_the_address_changes_nothing(shelf: Shelf) -> None:
    assert shelf.call("POST", PATH).status == 405
