"""Publishing sessions of Upload API 2.0: they begin, are asked about, extended and canceled."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pytp_broker.http.upload_api import MAX_BODY_BYTES, MEDIA_TYPE
from pytp_broker.index.sessions.transitions import LIFETIME, MAX_LIFETIME
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.sessions import (
    INTERRUPTED,
    MAX_SESSIONS,
    PUBLISH_TIME,
    Session,
    SessionStatus,
    UploadStatus,
)
from tests.support.deployment import HOST
from tests.support.distributions import sdist, wheel
from tests.support.signing import NOW
from tests.support.uploading import META, ROOT, Document, Uploader, problem_of

BASE = f"https://{HOST}/acme"


def stored(client: Uploader, session: Document) -> Session:
    return client.shelf.store.sessions[session["session-token"]]


def change(client: Uploader, session: Document, **changes: Any) -> None:
    """Change a session in the store, as another request does."""
    put(client, stored(client, session).changed(**changes))


def put(client: Uploader, session: Session) -> None:
    client.shelf.store.sessions[session.token] = session


# --- a new session


@pytest.mark.pep694("created")
@pytest.mark.pep694("answer-type")
@pytest.mark.pep694("versions")
def test_a_session_begins(client: Uploader) -> None:
    answer = client.create()

    assert answer.status == 201
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert answer.headers["Location"] == answer.json["links"]["session"]
    assert answer.json["meta"] == {"api-version": "2.0"}
    assert answer.json["status"] == "open"
    assert answer.json["files"] == {}


@pytest.mark.pep694("links")
@pytest.mark.pep694("stage-address")
@pytest.mark.pep694("unguessable")
def test_the_links_hold_the_token(client: Uploader) -> None:
    session = client.begin()

    token = session["session-token"]
    assert re.fullmatch(r"stage_[0-9A-Za-z]{43}", token)
    assert session["links"] == {
        "session": f"{BASE}/upload/{token}",
        "upload": f"{BASE}/upload/{token}/files",
        "publish": f"{BASE}/upload/{token}/publish",
        "extend": f"{BASE}/upload/{token}/extend",
        "stage": f"{BASE}/stage/{token}/simple/",
    }


@pytest.mark.pep694("mechanisms")
@pytest.mark.pep694("own-mechanism")
def test_the_mechanism_that_the_server_prefers_comes_first(client: Uploader) -> None:
    assert client.begin()["mechanisms"] == ["vnd-pytp-s3-put", "http-post-bytes"]


@pytest.mark.pep694("expiry-form")
def test_the_expiry_is_in_whole_seconds_of_utc(client: Uploader) -> None:
    client.shelf.now += timedelta(milliseconds=400)

    expires_at = client.begin()["expires-at"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expires_at)
    assert datetime.fromisoformat(expires_at) == NOW + LIFETIME


@pytest.mark.parametrize("path", ["/acme/upload", "/acme/upload/"])
def test_the_root_works_with_and_without_its_last_slash(client: Uploader, path: str) -> None:
    assert client.create(path=path).status == 201


def test_a_registry_with_a_host_of_its_own_has_links_without_a_prefix(client: Uploader) -> None:
    client.shelf.change(hosts=("acme.example.com",))
    body = json.dumps({**META, "name": "widgets", "version": "1.0"}).encode()
    headers = {"authorization": client.shelf.basic(), "content-type": MEDIA_TYPE}

    answer = client.shelf.call("POST", "/upload/", body, headers, host="acme.example.com")

    assert answer.headers["Location"].startswith("https://acme.example.com/upload/stage_")


@pytest.mark.pep694("name")
@pytest.mark.parametrize("name", ["widgets", "Widgets", "WIDGETS"])
def test_a_name_is_normalised(client: Uploader, name: str) -> None:
    session = client.begin(name=name)

    assert stored(client, session).project == "widgets"


@pytest.mark.pep694("name")
@pytest.mark.parametrize("name", ["-widgets", "wid gets", "widgets/", "\u0456", "w" * 3000])
def test_a_malformed_name_is_refused(client: Uploader, name: str) -> None:
    answer = client.create(name=name)

    assert answer.status == 400
    assert "the member `name` must" in problem_of(answer)["detail"]
    assert not client.shelf.store.sessions


@pytest.mark.pep694("version")
@pytest.mark.parametrize("version", ["one", "1.0-", "1" * 5000, "1.0/../2"])
def test_a_malformed_version_is_refused(client: Uploader, version: str) -> None:
    answer = client.create(version)

    assert answer.status == 400
    assert "must be a version (PEP 440)" in problem_of(answer)["detail"]


def test_a_version_has_room_in_the_name_of_a_file(client: Uploader) -> None:
    answer = client.create("1." + "0" * 4000)

    assert client.create("1." + "1" * 4000).status == 400
    assert answer.status == 201, "zeros are no part of a version"


@pytest.mark.pep694("index-metadata")
def test_members_that_we_do_not_know_are_ignored(client: Uploader) -> None:
    meta = {"api-version": "2.0", "_example.org": {"organization": "octo-org"}}
    members = {"name": "widgets", "version": "1.0", "meta": meta, "more": 1}

    assert client.send("POST", ROOT, members).status == 201


def test_a_closed_project_begins_no_session(client: Uploader) -> None:
    client.shelf.store.set_status("acme", "widgets", ProjectStatus("archived", "It moved."))

    answer = client.create()

    assert answer.status == 409
    assert "Location" not in answer.headers
    assert problem_of(answer)["errors"][0]["code"] == "project-closed"


def test_a_closed_release_begins_no_session(client: Uploader) -> None:
    client.shelf.publish(wheel())
    client.shelf.now += timedelta(days=14)
    client.token = client.shelf.mint()

    problem = problem_of(client.create())

    assert problem["status"] == 409
    assert "the release 1.0 closed to new files" in problem["detail"]


def test_a_version_that_the_release_spells_in_another_way_is_refused(client: Uploader) -> None:
    client.shelf.publish(wheel())

    problem = problem_of(client.create("1.0.0"))

    assert problem["errors"][0]["code"] == "invalid-release"
    assert "publish further files of it as 1.0" in problem["detail"]


def test_a_published_release_takes_a_session_for_more_files(client: Uploader) -> None:
    client.shelf.publish(wheel())

    assert client.create("1.0").status == 201


def test_a_project_has_a_bounded_number_of_live_sessions(client: Uploader) -> None:
    for number in range(MAX_SESSIONS):
        client.begin(f"1.{number}")

    answer = client.create("2.0")

    assert answer.status == 429
    assert answer.headers["Retry-After"] == "3600"
    assert "publish or cancel one of them" in problem_of(answer)["detail"]
    assert len(client.shelf.store.sessions) == MAX_SESSIONS


# --- a second one


@pytest.mark.pep694("second-session")
@pytest.mark.parametrize("version", ["1.0", "1.0.0", "v1.0"])
@pytest.mark.parametrize("status", ["open", "processing", "error"])
def test_a_live_session_is_named_instead(client: Uploader, status: str, version: str) -> None:
    session = client.begin()
    since = NOW if status == "processing" else None
    change(client, session, status=SessionStatus(status), processing_since=since)

    answer = client.create(version)

    assert answer.status == 409
    assert answer.headers["Location"] == session["links"]["session"]
    assert f"is `{status}`" in problem_of(answer)["detail"]
    assert len(client.shelf.store.sessions) == 1


@pytest.mark.pep694("next-session")
@pytest.mark.pep694("unguessable")
def test_a_version_may_have_another_session_once_one_has_ended(client: Uploader) -> None:
    first = client.begin()
    client.cancel(first)

    second = client.begin()

    for name in ("session", "stage", "upload"):
        assert first["links"][name] != second["links"][name]
    assert first["session-token"] != second["session-token"]


def test_two_versions_have_a_session_each(client: Uploader) -> None:
    assert client.begin("1.0")["session-token"] != client.begin("1.1")["session-token"]


# --- the form of a request


@pytest.mark.pep694("request-type")
@pytest.mark.parametrize("kind", ["", "application/json", "application/vnd.pypi.upload.v3+json"])
def test_a_body_of_another_type_is_refused(client: Uploader, kind: str) -> None:
    body = json.dumps({**META, "name": "widgets", "version": "1.0"}).encode()

    answer = client.send("POST", ROOT, body=body, content_type=kind)

    assert answer.status == 415
    assert MEDIA_TYPE in problem_of(answer)["detail"]


def test_a_type_may_have_a_parameter(client: Uploader) -> None:
    kind = f"{MEDIA_TYPE}; charset=utf-8"
    members = {"name": "widgets", "version": "1.0"}

    assert client.send("POST", ROOT, members, content_type=kind).status == 201


@pytest.mark.pep694("version-given")
@pytest.mark.parametrize(
    "meta", [None, {}, "2.0", [], {"api-version": "1.0"}, {"api-version": 2.0}]
)
def test_another_version_of_the_api_is_refused(client: Uploader, meta: Any) -> None:
    answer = client.send("POST", ROOT, {"name": "widgets", "version": "1.0", "meta": meta})

    assert answer.status == 400
    assert '"api-version": "2.0"' in problem_of(answer)["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"meta": {}, "meta": {}}', b"\xff", b"NaN", b"[" * 9000],
    ids=range(7),
)
def test_a_body_that_is_not_one_object_is_refused(client: Uploader, body: bytes) -> None:
    answer = client.send("POST", ROOT, body=body)

    assert answer.status == 400
    assert problem_of(answer)["errors"][0]["code"] == "invalid-request"


@pytest.mark.parametrize("value", [None, "", 1, ["widgets"], {"a": "b"}])
@pytest.mark.parametrize("member", ["name", "version"])
def test_a_member_of_another_type_is_refused(client: Uploader, member: str, value: Any) -> None:
    answer = client.send("POST", ROOT, {"name": "widgets", "version": "1.0", member: value})

    assert answer.status == 400
    assert f"`{member}` must be a non-empty string" in problem_of(answer)["detail"]


def test_a_body_is_bounded(client: Uploader) -> None:
    answer = client.send("POST", ROOT, body=b" " * (MAX_BODY_BYTES + 1))

    assert answer.status == 413
    assert problem_of(answer)["errors"][0]["code"] == "payload-too-large"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("*/*", 200),
        ("application/*", 200),
        (f"{MEDIA_TYPE}, application/problem+json", 200),
        ("application/vnd.pypi.upload.v3+json", 406),
        (f"{MEDIA_TYPE};q=0", 406),
        ("text/html", 406),
    ],
)
def test_the_type_of_an_answer_is_negotiated(client: Uploader, accept: str, status: int) -> None:
    session = client.begin()

    answer = client.send("GET", session["links"]["session"], accept=accept)

    assert answer.status == status


# --- asking


@pytest.mark.pep694("status")
def test_the_status_is_the_document_of_the_creation(client: Uploader) -> None:
    session = client.begin()

    assert client.see(session) == session


@pytest.mark.pep694("polling")
def test_asking_leaves_no_audit_record(client: Uploader) -> None:
    session = client.begin()
    before = len(client.shelf.records)

    client.see(session)

    assert len(client.shelf.records) == before


def test_an_address_of_a_session_takes_no_other_method(client: Uploader) -> None:
    answer = client.send("PUT", client.begin()["links"]["session"])

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, DELETE"
    assert problem_of(answer)


@pytest.mark.pep694("problem")
@pytest.mark.pep694("problem-members")
@pytest.mark.parametrize("path", ["/acme/upload/x/y/z", "/upload/", "/nobody/upload/"])
def test_an_address_where_nothing_is_answers_in_the_form_of_the_api(
    client: Uploader, path: str
) -> None:
    answer = client.send("POST", path, {"name": "widgets", "version": "1.0"}, accept="text/html")

    assert answer.status == 404
    assert f"https://{HOST}/REGISTRY/upload/" in problem_of(answer)["detail"]


def test_a_browser_gets_the_error_object_too(client: Uploader) -> None:
    answer = client.shelf.call("GET", "/acme/upload/x", headers={"accept": "text/html"})

    assert problem_of(answer)["status"] == 401


def test_a_store_that_is_down_is_answered_in_the_form_of_the_api(client: Uploader) -> None:
    session = client.begin()
    client.shelf.store.fail_next("find_session")

    answer = client.send("GET", session["links"]["session"])

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert problem_of(answer)


# --- time


@pytest.mark.pep694("extension")
@pytest.mark.parametrize(
    ("seconds", "longer"),
    [
        (3600, timedelta(hours=1)),
        (0, timedelta()),
        (-3600, timedelta()),
        (10**30, MAX_LIFETIME - LIFETIME),
        (60 * 24 * 3600, MAX_LIFETIME - LIFETIME),
    ],
)
@pytest.mark.pep694("expiry-kept")
def test_a_session_gets_as_much_time_as_it_may_have(
    client: Uploader, seconds: int, longer: timedelta
) -> None:
    session = client.begin()

    answer = client.send("POST", session["links"]["extend"], {"extend-for": seconds})

    assert answer.status == 200
    assert datetime.fromisoformat(answer.json["expires-at"]) == NOW + LIFETIME + longer
    assert client.see(session) == answer.json


def test_further_extensions_end_a_month_after_the_creation(client: Uploader) -> None:
    session = client.begin()
    for _ in range(5):
        client.send("POST", session["links"]["extend"], {"extend-for": 7 * 24 * 3600})

    assert datetime.fromisoformat(client.see(session)["expires-at"]) == NOW + MAX_LIFETIME


@pytest.mark.parametrize("value", [None, "3600", 1.5, True, [1]])
def test_an_extension_is_a_whole_number_of_seconds(client: Uploader, value: Any) -> None:
    answer = client.send("POST", client.begin()["links"]["extend"], {"extend-for": value})

    assert answer.status == 400
    assert "`extend-for` must be a whole number" in problem_of(answer)["detail"]


@pytest.mark.pep694("expiry-kept")
def test_a_session_lives_until_it_expires(client: Uploader) -> None:
    session = client.begin()
    client.stage(session, wheel())
    client.shelf.now += LIFETIME - timedelta(seconds=1)
    client.token = client.shelf.mint()
    assert client.see(session)["status"] == "open"

    client.shelf.now += timedelta(seconds=1)

    expired = client.see(session)
    assert expired["status"] == "canceled"
    assert "expired" in expired["notices"][0]
    assert not client.shelf.files.contents


def test_an_expired_session_takes_no_changes(client: Uploader) -> None:
    session = client.begin()
    client.shelf.now += LIFETIME
    client.token = client.shelf.mint()

    assert client.publish(session).status == 409
    assert client.announce(session, wheel()).status == 409
    assert client.create().status == 201


def test_of_two_requests_that_find_a_session_expired_one_cancels_it(
    client: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = client.begin()
    client.shelf.now += LIFETIME
    client.token = client.shelf.mint()
    other = stored(client, session).changed(status=SessionStatus.CANCELED, ended_at=NOW)
    client.before_next_save(monkeypatch, lambda: put(client, other))

    assert client.see(session)["status"] == "canceled"
    assert stored(client, session) == other


# --- the end


@pytest.mark.pep694("canceled")
@pytest.mark.pep694("retention")
def test_a_canceled_session_reports_it_and_its_data_is_gone(client: Uploader) -> None:
    session = client.begin()
    client.stage(session, wheel(), sdist())

    assert client.cancel(session).status == 204

    seen = client.see(session)
    assert (seen["status"], seen["files"]) == ("canceled", {})
    assert not client.shelf.files.contents
    assert client.shelf.get(session["links"]["stage"].removeprefix(f"https://{HOST}")).status == 404


def test_a_session_may_be_canceled_twice(client: Uploader) -> None:
    session = client.begin()

    assert [client.cancel(session).status for _ in range(2)] == [204, 204]


def test_a_store_of_files_that_is_down_keeps_nobody_from_canceling(client: Uploader) -> None:
    session = client.begin()
    client.stage(session, wheel())
    client.shelf.files.fail_next("drop")

    assert client.cancel(session).status == 204
    assert client.see(session)["status"] == "canceled"


@pytest.mark.pep694("no-cancel-while-processing")
def test_a_session_that_is_published_right_now_cannot_be_canceled(client: Uploader) -> None:
    session = client.begin()
    change(client, session, status=SessionStatus.PROCESSING, processing_since=NOW)

    answer = client.cancel(session)

    assert answer.status == 409
    assert "is `processing`" in problem_of(answer)["detail"]


@pytest.mark.pep694("cancel-whatever-files")
@pytest.mark.parametrize("status", [*UploadStatus])
def test_a_session_is_canceled_whatever_its_files_do(
    client: Uploader, status: UploadStatus
) -> None:
    session = client.begin()
    client.add(session, wheel())
    (file,) = stored(client, session).files.values()
    change(client, session, files={file.filename: replace(file, status=status)})

    assert client.cancel(session).status == 204
    assert client.see(session)["status"] == "canceled"


@pytest.mark.pep694("after-the-end")
@pytest.mark.parametrize("end", ["publish", "cancel"])
def test_a_session_that_has_ended_takes_no_changes(client: Uploader, end: str) -> None:
    session = client.begin()
    (upload,) = client.stage(session, wheel())
    (client.publish if end == "publish" else client.cancel)(session)

    answers = [
        client.announce(session, sdist()),
        client.deliver(upload, wheel().content),
        client.complete(upload),
        client.send("POST", session["links"]["extend"], {"extend-for": 60}),
        client.send("POST", upload["links"]["extend"], {"extend-for": 60}),
    ]

    assert {answer.status for answer in answers} == {409}
    assert all("begin a new session" in problem_of(answer)["detail"] for answer in answers)


# --- a publish that was interrupted


@pytest.mark.pep694("error-editable")
@pytest.mark.pep694("released")
@pytest.mark.pep694("session-notices")
def test_a_publish_that_did_not_end_is_rolled_back_after_a_minute(client: Uploader) -> None:
    session = client.begin()
    (upload,) = client.stage(session, wheel())
    begun = stored(client, session).processing(NOW)
    put(client, begun)
    client.shelf.store.reserve(begun, [f.file for f in begun.files.values() if f.file])
    client.shelf.now += PUBLISH_TIME - timedelta(seconds=1)
    assert client.see(session)["status"] == "processing"

    client.shelf.now += timedelta(seconds=1)

    seen = client.see(session)
    assert (seen["status"], seen["notices"]) == ("error", [INTERRUPTED])
    assert not client.shelf.store.reserved
    assert client.delete_file(upload).status == 204
    client.stage(session, sdist())
    assert client.publish(session).status == 201


def test_of_two_requests_that_find_a_publish_interrupted_one_rolls_it_back(
    client: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = client.begin()
    begun = stored(client, session).processing(NOW)
    put(client, begun)
    client.shelf.now += PUBLISH_TIME
    finished = begun.published(client.shelf.now)
    client.before_next_save(monkeypatch, lambda: put(client, finished))

    assert client.see(session)["status"] == "published"
