"""Uploads of the legacy API with `staged=true`: they wait in a session until it is published."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.storage.sessions import Session, UploadStatus
from pytp_broker.tokens import SINGLE_USE
from tests.support.deployment import HOST, Answer
from tests.support.distributions import Distribution, fields, form, metadata, sdist, wheel
from tests.support.shelf import Shelf

API = "application/vnd.pypi.upload.v2+json"
WHEEL, SDIST = wheel(), sdist()
OTHER_WHEEL = wheel(text=metadata("widgets", "1.0", "Summary: other"))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def stage(shelf: Shelf, distribution: Distribution = WHEEL, staged: str = "true") -> Answer:
    return shelf.publish(distribution, fields(distribution, staged=staged))


def ask(shelf: Shelf, method: str, url: str, **body: object) -> Answer:
    """Send a request of Upload API 2.0 to a link."""
    headers = {"authorization": shelf.basic(), "content-type": API}
    sent = (
        json.dumps({"meta": {"api-version": "2.0"}, **body}).encode() if method == "POST" else b""
    )
    return shelf.call(method, url.removeprefix(f"https://{HOST}"), sent, headers)


def begin(shelf: Shelf) -> Answer:
    return ask(shelf, "POST", "/acme/upload/", name="widgets", version="1.0")


def the_session(shelf: Shelf) -> Session:
    (found,) = shelf.store.list_sessions(shelf.now)
    return found


def page(shelf: Shelf, path: str = "/acme/simple/widgets/") -> list[str]:
    answer = shelf.get(path, accept="application/vnd.pypi.simple.v1+json")
    return [file["filename"] for file in answer.json["files"]] if answer.status == 200 else []


def test_the_answer_is_the_session(shelf: Shelf) -> None:
    answer = stage(shelf)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == API
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["status"] == "open"
    assert answer.json["session-token"] == the_session(shelf).token
    assert answer.json["links"]["stage"].startswith(f"https://{HOST}/acme/stage/stage_")
    (file,) = answer.json["files"].values()
    assert file["status"] == "completed"


def test_nobody_sees_a_staged_file_but_on_the_stage(shelf: Shelf) -> None:
    links = stage(shelf).json["links"]

    stage_path = links["stage"].removeprefix(f"https://{HOST}")
    assert page(shelf) == []
    assert page(shelf, f"{stage_path}widgets/") == [WHEEL.filename]


def test_further_uploads_join_the_session_and_all_are_published_at_once(shelf: Shelf) -> None:
    first = stage(shelf).json
    second = stage(shelf, SDIST).json

    assert second["session-token"] == first["session-token"]
    assert page(shelf) == []
    assert ask(shelf, "POST", second["links"]["publish"]).status == 201
    assert page(shelf) == [WHEEL.filename, SDIST.filename]


def test_a_published_file_can_be_downloaded(shelf: Shelf) -> None:
    links = stage(shelf).json["links"]
    ask(shelf, "POST", links["publish"])

    answer = shelf.get(f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}")

    assert answer.body == WHEEL.content


def test_the_session_can_be_discarded(shelf: Shelf) -> None:
    links = stage(shelf).json["links"]

    assert ask(shelf, "DELETE", links["session"]).status == 204
    assert not shelf.files.contents
    assert stage(shelf).status == 200  # in another session


def test_the_same_file_again_changes_nothing(shelf: Shelf) -> None:
    stage(shelf)
    before, stored = the_session(shelf), dict(shelf.files.contents)

    again = stage(shelf)

    assert again.status == 200
    assert (the_session(shelf), shelf.files.contents) == (before, stored)
    assert shelf.records[-1].facts["unchanged"] is True


def test_another_file_of_the_name_replaces_the_staged_one_and_its_bytes(shelf: Shelf) -> None:
    stage(shelf)

    assert stage(shelf, OTHER_WHEEL).status == 200

    (file,) = the_session(shelf).files.values()
    assert file.hashes == {"sha256": OTHER_WHEEL.sha256}
    assert WHEEL.content not in shelf.files.contents.values()
    assert len(shelf.files.contents) == 2  # the wheel, and its metadata


def test_the_record_names_the_session_and_not_its_token(shelf: Shelf) -> None:
    answer = stage(shelf)

    facts = shelf.record.facts
    assert facts["filename"] == WHEEL.filename
    assert len(str(facts["session"])) == 12
    assert answer.json["session-token"] not in repr(shelf.record)


@pytest.mark.parametrize("staged", ["false", ""])
def test_a_file_that_is_not_to_be_staged_is_published(shelf: Shelf, staged: str) -> None:
    answer = stage(shelf, staged=staged)

    assert (answer.status, answer.body) == (200, b"")
    assert page(shelf) == [WHEEL.filename]


@pytest.mark.parametrize("staged", ["True", "1", "yes", " true", "true\n"])
def test_another_value_is_refused_because_it_could_mean_either(shelf: Shelf, staged: str) -> None:
    answer = stage(shelf, staged=staged)

    assert (answer.status, answer.code) == (400, "invalid-upload")
    assert "`staged` must be `true` or `false`" in answer.detail
    assert_nothing_is_there(shelf)


def test_two_values_are_refused(shelf: Shelf) -> None:
    sent = [*fields(WHEEL, staged="true"), ("staged", "false")]

    assert shelf.publish(WHEEL, sent).code == "invalid-upload"
    assert_nothing_is_there(shelf)


def assert_nothing_is_there(shelf: Shelf) -> None:
    assert not shelf.store.files
    assert not shelf.files.contents
    assert not shelf.store.list_sessions(shelf.now)


def test_a_stranger_stages_nothing(shelf: Shelf) -> None:
    token = shelf.mint(("other", "secret-project", "p-secret"), lookup_id="0" * 31 + "2")
    sent = fields(WHEEL, staged="true")

    answer = shelf.post(form(WHEEL, sent), shelf.basic(token))

    assert answer.status == 403
    assert_nothing_is_there(shelf)


@pytest.mark.parametrize(
    "distribution",
    [
        Distribution(WHEEL.filename, b"no wheel"),
        replace(WHEEL, filename="gadgets-1.0-py3-none-any.whl"),
    ],
)
def test_a_file_that_would_not_be_published_is_not_staged(
    shelf: Shelf, distribution: Distribution
) -> None:
    sent = fields(distribution, staged="true", name="widgets", version="1.0")

    assert shelf.publish(distribution, sent).status == 400
    assert_nothing_is_there(shelf)


def test_a_file_that_is_published_is_not_staged(shelf: Shelf) -> None:
    shelf.publish(WHEEL)

    answer = stage(shelf)

    assert (answer.status, answer.code) == (400, "file-exists")
    assert not shelf.store.list_sessions(shelf.now)


# --- the two ways do not mix ----------------------------------------------------------------------


def test_a_session_of_the_upload_api_takes_no_legacy_upload(shelf: Shelf) -> None:
    begin(shelf)

    answer = stage(shelf)

    assert (answer.status, answer.code) == (409, "conflict")
    assert not the_session(shelf).files
    assert not shelf.files.contents


def test_a_session_of_legacy_uploads_takes_no_file_of_the_upload_api(shelf: Shelf) -> None:
    links = stage(shelf).json["links"]

    begun = begin(shelf)
    announced = ask(
        shelf,
        "POST",
        links["upload"],
        filename=SDIST.filename,
        size=len(SDIST.content),
        hashes={"sha256": SDIST.sha256},
        mechanism="http-post-bytes",
    )

    assert (begun.status, begun.headers["Location"]) == (409, links["session"])
    assert (announced.status, announced.code) == (409, "conflict")
    assert "staged=true" in announced.detail
    assert the_session(shelf).files.keys() == {WHEEL.filename}


def test_a_staged_file_of_a_legacy_upload_can_be_deleted_from_its_session(shelf: Shelf) -> None:
    (file,) = stage(shelf).json["files"].values()

    assert ask(shelf, "DELETE", file["link"]).status == 204
    (left,) = the_session(shelf).files.values()
    assert left.status is UploadStatus.CANCELED


def test_a_session_that_is_published_just_now_takes_no_upload(shelf: Shelf) -> None:
    stage(shelf)
    present = the_session(shelf)
    shelf.store.save_session(present.processing(shelf.now), present)

    answer = stage(shelf, SDIST)

    assert (answer.status, answer.code) == (409, "conflict")
    assert the_session(shelf).files.keys() == {WHEEL.filename}


def test_an_expired_session_is_not_joined(shelf: Shelf) -> None:
    old = stage(shelf).json["session-token"]
    shelf.advance(days=8)
    shelf.token = shelf.mint(lookup_id="0" * 31 + "3")

    assert stage(shelf).json["session-token"] != old


# --- at the same moment ---------------------------------------------------------------------------


def test_a_publish_that_begins_while_bytes_are_stored_wins_and_they_are_removed(
    shelf: Shelf,
) -> None:
    stage(shelf)

    def publish_begins() -> None:
        present = the_session(shelf)
        shelf.store.save_session(present.processing(shelf.now), present)

    shelf.between(publish_begins)
    files: Any = shelf.index.files

    answer = stage(shelf, SDIST)

    assert (answer.status, answer.code) == (409, "conflict")
    assert not files.contents


def test_of_two_uploads_of_one_file_one_keeps_its_bytes(shelf: Shelf) -> None:
    files = shelf.files

    def the_other_one() -> None:
        shelf.index = replace(shelf.index, files=files)
        assert stage(shelf).status == 200

    shelf.between(the_other_one)
    own: Any = shelf.index.files

    assert stage(shelf).status == 200
    assert not own.contents
    assert len(files.contents) == 2


def test_a_right_that_ends_while_bytes_are_stored_stages_nothing(shelf: Shelf) -> None:
    def the_right_ends() -> None:
        shelf.advance(minutes=1)
        shelf.publishers = shelf.publishers[1:]
        shelf.apply()

    shelf.between(the_right_ends)
    files: Any = shelf.index.files

    assert stage(shelf).status == 403
    assert not files.contents
    assert not the_session(shelf).files


def test_a_single_use_token_stages_and_is_used_up_by_the_publish(shelf: Shelf) -> None:
    shelf.token = shelf.mint(feature=SINGLE_USE)
    stage(shelf)
    links = stage(shelf, SDIST).json["links"]

    assert ask(shelf, "POST", links["publish"]).status == 201
    later = wheel(version="2.0")
    assert stage(shelf, later).status == 401
