"""A staged release at its own address: what installers get before it is published."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.registries import PRIVATE
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.sessions import Session, SessionStatus, UploadStatus
from tests.support.distributions import metadata, sdist, wheel
from tests.support.shelf import Shelf
from tests.support.staging import STAGE, TOKEN, staged
from tests.support.stock import HTML, JSON

WHEEL = wheel(text=metadata("widgets", "1.0", "Requires-Python: >=3.9"))
SDIST = sdist()
WHEEL_PATH = f"{STAGE}/files/{WHEEL.sha256}/{WHEEL.filename}"
PAGES = (f"{STAGE}/simple/", f"{STAGE}/simple/widgets/")
ADDRESSES = (*PAGES, WHEEL_PATH, f"{WHEEL_PATH}.metadata")


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    staged(shelf, WHEEL, SDIST)
    return shelf


def change(shelf: Shelf, **changes: Any) -> Session:
    """Change the session, as one of its requests does."""
    present = shelf.store.sessions[TOKEN]
    shelf.store.sessions[TOKEN] = present.changed(**changes)
    return shelf.store.sessions[TOKEN]


def change_wheel(shelf: Shelf, **changes: Any) -> None:
    files = shelf.store.sessions[TOKEN].files
    changed = replace(files[WHEEL.filename], **changes)
    change(shelf, files={**files, WHEEL.filename: changed})


def test_the_project_is_listed_in_json(shelf: Shelf) -> None:
    answer = shelf.get(PAGES[0], JSON)

    assert answer.headers["Content-Type"] == JSON
    assert answer.json["projects"] == [{"name": "widgets"}]


def test_the_project_is_listed_in_html(shelf: Shelf) -> None:
    assert f'<a href="{STAGE}/simple/widgets/">widgets</a>' in shelf.get(PAGES[0], HTML).text


def test_the_files_are_listed_as_they_will_be_once_they_are_published(shelf: Shelf) -> None:
    page = shelf.get(PAGES[1], JSON).json

    assert page["name"] == "widgets"
    assert page["versions"] == ["1.0"]
    wheel_file, sdist_file = page["files"]
    assert wheel_file["url"] == WHEEL_PATH
    assert wheel_file["hashes"] == {"sha256": WHEEL.sha256}
    assert wheel_file["requires-python"] == ">=3.9"
    assert wheel_file["core-metadata"]
    assert sdist_file["filename"] == SDIST.filename


def test_the_page_in_html_links_to_the_staged_files(shelf: Shelf) -> None:
    assert f'href="{WHEEL_PATH}#sha256={WHEEL.sha256}"' in shelf.get(PAGES[1], HTML).text


def test_a_file_is_downloaded(shelf: Shelf) -> None:
    answer = shelf.get(WHEEL_PATH)

    assert answer.status == 200
    assert answer.body == WHEEL.content


def test_the_metadata_of_a_file_is_downloaded(shelf: Shelf) -> None:
    shown = shelf.get(PAGES[1], JSON).json["files"][0]["core-metadata"]["sha256"]

    answer = shelf.get(f"{WHEEL_PATH}.metadata")

    assert hashlib.sha256(answer.body).hexdigest() == shown


def test_where_the_bucket_sends_the_bytes_the_address_of_the_bucket_has_no_token(
    shelf: Shelf,
) -> None:
    shelf.files.elsewhere = "https://bucket.example.com"

    answer = shelf.get(WHEEL_PATH)

    assert answer.status == 302
    assert answer.headers["Location"].startswith("https://bucket.example.com/staged/acme/")
    assert TOKEN not in answer.headers["Location"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_head_answers_without_a_body(shelf: Shelf, address: str) -> None:
    answer = shelf.call("HEAD", address)

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_cache_keeps_a_preview_and_no_link_leads_its_address_away(
    shelf: Shelf, address: str
) -> None:
    headers = shelf.get(address).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        (f"{STAGE}/simple", f"{STAGE}/simple/"),
        (f"{STAGE}/simple/widgets", f"{STAGE}/simple/widgets/"),
        (f"{STAGE}/simple/Widgets/", f"{STAGE}/simple/widgets/"),
    ],
)
def test_another_spelling_of_an_address_leads_to_the_right_one(
    shelf: Shelf, asked: str, right: str
) -> None:
    answer = shelf.get(asked)

    assert (answer.status, answer.headers["Location"]) == (301, right)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.promise("staged-preview")
@pytest.mark.parametrize("address", ADDRESSES)
def test_the_token_is_all_that_a_private_registry_asks_for(shelf: Shelf, address: str) -> None:
    shelf.change(access=PRIVATE)

    assert shelf.get(address).status == 200
    assert shelf.get("/acme/simple/").status == 401


def test_another_project_is_not_in_the_preview(shelf: Shelf) -> None:
    assert shelf.get(f"{STAGE}/simple/gadgets/").code == "not-found"


def test_a_file_with_another_hash_is_not_in_the_preview(shelf: Shelf) -> None:
    assert shelf.get(f"{STAGE}/files/{'0' * 64}/{WHEEL.filename}").code == "not-found"


@pytest.mark.parametrize(
    "status", [each for each in UploadStatus if each is not UploadStatus.COMPLETED]
)
def test_only_completed_files_are_in_the_preview(shelf: Shelf, status: UploadStatus) -> None:
    change_wheel(shelf, status=status, file=None)

    page = shelf.get(PAGES[1], JSON).json

    assert [file["filename"] for file in page["files"]] == [SDIST.filename]
    assert shelf.get(WHEEL_PATH).status == 404


@pytest.mark.parametrize("status", [SessionStatus.PROCESSING, SessionStatus.ERROR])
def test_a_session_can_be_read_until_it_is_over(shelf: Shelf, status: SessionStatus) -> None:
    change(shelf, status=status)

    assert shelf.get(WHEEL_PATH).status == 200


def unknown(shelf: Shelf) -> str:
    del shelf.store.sessions[TOKEN]
    return STAGE


def published(shelf: Shelf) -> str:
    change(shelf, status=SessionStatus.PUBLISHED)
    return STAGE


def canceled(shelf: Shelf) -> str:
    change(shelf, status=SessionStatus.CANCELED)
    return STAGE


def expired(shelf: Shelf) -> str:
    shelf.now += timedelta(days=7)
    return STAGE


def quarantined(shelf: Shelf) -> str:
    shelf.store.set_status("acme", "widgets", ProjectStatus("quarantined", "malware"))
    return STAGE


def of_another_registry(_shelf: Shelf) -> str:
    return STAGE.replace("acme", "other")


def not_a_token(_shelf: Shelf) -> str:
    return "/acme/stage/stage_1"


@pytest.mark.promise("staged-preview")
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "make", [unknown, published, canceled, expired, quarantined, of_another_registry, not_a_token]
)
def test_every_token_that_is_not_good_gets_the_same_answer(
    shelf: Shelf, make: Any, address: str
) -> None:
    stage = make(shelf)

    answer = shelf.get(address.replace(STAGE, stage))

    assert answer.code == "not-found"
    assert answer.detail.startswith("there is no staged release here")
    assert "Location" not in answer.headers


def test_what_cannot_be_a_token_is_not_looked_for(shelf: Shelf) -> None:
    shelf.store.calls.clear()

    shelf.get(f"/acme/stage/{'x' * 5000}/simple/")

    assert "find_session" not in shelf.store.calls


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_preview_cannot_be_written(shelf: Shelf, address: str) -> None:
    assert shelf.call("POST", address).code == "method-not-allowed"


def test_a_registry_with_a_host_of_its_own_has_its_previews_there() -> None:
    shelf = Shelf()
    session = staged(shelf, WHEEL)
    shelf.store.sessions[TOKEN] = replace(session, registry="other")

    answer = shelf.call(
        "GET", STAGE.removeprefix("/acme") + "/simple/widgets/", host="other.example.com"
    )

    assert f'href="/stage/{TOKEN}/files/' in answer.text


def test_reading_a_preview_leaves_no_record(shelf: Shelf) -> None:
    shelf.get(WHEEL_PATH)

    assert not shelf.records
