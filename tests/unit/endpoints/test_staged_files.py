"""Files of a publishing session: announced, delivered, completed, deleted, replaced."""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pytp_broker.index.sessions.transitions import LIFETIME
from pytp_broker.storage.file_store import Stored
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.sessions import (
    MAX_FILES,
    Session,
    SessionTooLargeError,
    StagedFile,
    UploadStatus,
)
from tests.support.deployment import HOST
from tests.support.distributions import (
    SDIST_NAME,
    WHEEL_NAME,
    Distribution,
    metadata,
    sdist,
    wheel,
)
from tests.support.samples import tombstone
from tests.support.shelf import IDENTITY
from tests.support.signing import GITHUB, NOW
from tests.support.uploading import PUT, Document, Uploader, problem_of

WHEEL = wheel()


@pytest.fixture
def session(client: Uploader) -> Document:
    return client.begin()


def stored(client: Uploader, session: Document) -> Session:
    return client.shelf.store.sessions[session["session-token"]]


def set_file(client: Uploader, session: Document, **changes: Any) -> StagedFile:
    """Change the one file of a session in the store, as another request does."""
    present = stored(client, session)
    (file,) = present.files.values()
    changed = replace(file, **changes)
    saved = present.changed(files={file.filename: changed})
    client.shelf.store.sessions[present.token] = saved
    return changed


# --- announced


@pytest.mark.pep694("announcement")
@pytest.mark.pep694("retry-after")
@pytest.mark.pep694("links")
def test_a_file_is_announced(client: Uploader, session: Document) -> None:
    answer = client.announce(session, WHEEL)

    assert answer.status == 202
    assert answer.headers["Retry-After"] == "1"
    (file,) = stored(client, session).files.values()
    place = f"{session['links']['upload']}/{WHEEL_NAME}/{file.upload_id}"
    assert answer.headers["Location"] == place
    assert answer.json == {
        "meta": {"api-version": "2.0"},
        "links": {
            "file-upload-session": place,
            "complete": f"{place}/complete",
            "extend": f"{place}/extend",
        },
        "status": "pending",
        "expires-at": session["expires-at"],
        "mechanism": {
            "identifier": "http-post-bytes",
            "file_url": f"{place}/bytes",
            "attestations_url": f"{place}/attestations",
        },
    }


@pytest.mark.pep694("file-entry")
def test_the_session_lists_the_file(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)

    link = upload["links"]["file-upload-session"]
    assert client.see(session)["files"] == {WHEEL_NAME: {"status": "pending", "link": link}}


@pytest.mark.pep694("own-mechanism")
@pytest.mark.pep694("mechanism-identifier")
def test_the_bytes_may_go_straight_to_the_store(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL, PUT)

    mechanism = upload["mechanism"]
    assert mechanism.keys() == {"identifier", "url", "method", "headers", "attestations_url"}
    assert (mechanism["identifier"], mechanism["method"]) == (PUT, "PUT")
    assert mechanism["url"].startswith(f"https://{HOST}/_/objects/staged/acme/")
    assert mechanism["headers"]["If-None-Match"] == "*"


def test_a_new_address_of_the_store_comes_with_the_status(
    client: Uploader, session: Document
) -> None:
    upload = client.add(session, WHEEL, PUT)
    client.shelf.now += timedelta(minutes=1)

    seen = client.see_file(upload)

    assert seen["mechanism"]["url"] != upload["mechanism"]["url"]
    assert seen["status"] == "pending"


def test_a_completed_file_has_no_address_of_the_store(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL, PUT)
    put_bytes(client, session, WHEEL.content)

    mechanism = client.complete(upload).json["mechanism"]
    assert mechanism.keys() == {"identifier", "attestations_url"}
    assert mechanism["identifier"] == PUT


def put_bytes(client: Uploader, session: Document, content: bytes) -> None:
    """Put bytes where the one file of a session has its own, as its client does."""
    (file,) = stored(client, session).files.values()
    key = f"staged/acme/{file.upload_id}/{file.filename}"
    client.shelf.files.contents[key] = content


@pytest.mark.pep694("filename")
@pytest.mark.parametrize(
    ("filename", "words"),
    [
        ("widgets.whl", "neither the name of a wheel"),
        ("../widgets-1.0.tar.gz", "is not the name of a distribution"),
        ("widgets-1.0.zip", "the file name must be"),
        ("widgets-1.0.tar.bz2", "neither the name of a wheel"),
        ("Widgets-1.0.tar.gz", "the file name must be `widgets-1.0.tar.gz`"),
        ("gadgets-1.0.tar.gz", "for the project `gadgets`, the session is for `widgets`"),
        ("widgets-1.1.tar.gz", "has the version `1.1`, the session has `1.0`"),
        ("w" * 3000 + "-1.0.tar.gz", "is not the name of a distribution"),
        ("widgets-1.0.tar.gz\x00", "is not the name of a distribution"),
    ],
)
def test_a_file_name_is_checked_before_any_byte_is_sent(
    client: Uploader, session: Document, filename: str, words: str
) -> None:
    answer = client.announce(session, WHEEL, filename=filename)

    assert answer.status == 400
    assert words in problem_of(answer)["detail"]
    assert not stored(client, session).files


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filename": None}, "`filename` must be a non-empty string"),
        ({"size": "858"}, "`size` must be a whole number"),
        ({"size": True}, "`size` must be a whole number"),
        ({"size": 1.5}, "`size` must be a whole number"),
        ({"size": 0}, "the file is empty"),
        ({"size": -1}, "the file is empty"),
        ({"mechanism": ""}, "`mechanism` must be a non-empty string"),
        ({"hashes": None}, "`hashes` must be an object"),
        ({"hashes": []}, "`hashes` must be an object"),
    ],
)
def test_a_malformed_announcement_is_refused(
    client: Uploader, session: Document, changes: dict[str, Any], words: str
) -> None:
    answer = client.announce(session, WHEEL, **changes)

    assert answer.status == 400
    assert words in problem_of(answer)["detail"]


@pytest.mark.pep694("hashes")
@pytest.mark.parametrize(
    ("hashes", "words"),
    [
        ({}, "must have the file's `sha256`"),
        ({"sha512": "0" * 128}, "must have the file's `sha256`"),
        ({"sha256": "0" * 63}, "must have 64 hexadecimal digits"),
        ({"sha256": "g" * 64}, "must have 64 hexadecimal digits"),
        ({"sha256": 0}, "must have 64 hexadecimal digits"),
        ({"sha256": "0" * 64, "blake2_256": "0" * 64}, "`blake2_256` is not one of"),
        ({"sha256": "0" * 64, "shake_128": "0" * 64}, "`shake_128` is not one of"),
        ({"sha256": "0" * 64, "\x1b[31m": "0"}, "is not one of"),
        (dict.fromkeys("abcdef", "0"), "at most 5 digests"),
    ],
)
def test_the_digests_are_checked_before_any_byte_is_sent(
    client: Uploader, session: Document, hashes: dict[str, Any], words: str
) -> None:
    answer = client.announce(session, WHEEL, hashes=hashes)

    assert answer.status == 400
    assert words in problem_of(answer)["detail"]


@pytest.mark.pep694("unknown-mechanism")
@pytest.mark.parametrize("mechanism", ["vnd-pypi-http-fetch", "http-post-bytes-v2", "\u202e"])
def test_a_mechanism_that_we_do_not_have_is_refused(
    client: Uploader, session: Document, mechanism: str
) -> None:
    answer = client.announce(session, WHEEL, mechanism=mechanism)

    assert answer.status == 422
    problem = problem_of(answer)
    assert problem["errors"][0]["code"] == "unsupported-mechanism"
    assert "vnd-pytp-s3-put, http-post-bytes" in problem["detail"]


@pytest.mark.parametrize("size", [858, 10**400], ids=["one more", "more than a float holds"])
def test_a_file_has_at_most_the_size_that_the_registry_takes(
    client: Uploader, session: Document, size: int
) -> None:
    client.shelf.change(max_file_size=857)

    answer = client.announce(session, WHEEL, PUT, size=size)

    assert answer.status == 413
    detail = problem_of(answer)["detail"]
    assert "takes, which is 857 bytes: ask its operator for a larger `max_file_size`" in detail


def test_what_a_function_cannot_take_goes_straight_to_the_store(
    client: Uploader, session: Document
) -> None:
    answer = client.announce(session, WHEEL, size=10_000_001)

    assert answer.status == 413
    assert "send it by vnd-pytp-s3-put" in problem_of(answer)["detail"]
    assert client.announce(session, WHEEL, PUT, size=10_000_001).status == 202


@pytest.mark.pep694("published-file")
def test_the_very_file_that_is_published_is_said_to_be(client: Uploader, session: Document) -> None:
    client.shelf.publish(WHEEL)

    answer = client.announce(session, WHEEL)

    assert answer.status == 409
    problem = problem_of(answer)
    assert problem["errors"][0]["code"] == "file-exists"
    assert f"with this very sha256, {WHEEL.sha256}: leave it out" in problem["detail"]


@pytest.mark.pep694("published-file")
def test_another_file_of_a_published_name_is_refused(client: Uploader, session: Document) -> None:
    client.shelf.publish(wheel(text=metadata("widgets", "1.0", "Summary: other")))

    answer = client.announce(session, WHEEL)

    assert answer.status == 409
    assert "a published file never changes" in problem_of(answer)["detail"]
    assert client.shelf.filenames == [WHEEL_NAME]


def test_the_name_of_a_deleted_file_is_refused(client: Uploader, session: Document) -> None:
    client.shelf.publish(WHEEL)
    client.shelf.store.delete_file("acme", "widgets", WHEEL_NAME, tombstone())

    answer = client.announce(session, WHEEL)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["code"] == "file-deleted"


def test_a_project_that_closes_takes_no_file(client: Uploader, session: Document) -> None:
    client.shelf.store.set_status("acme", "widgets", ProjectStatus("quarantined", "A doubt."))

    answer = client.announce(session, WHEEL)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["code"] == "project-closed"


def test_a_file_that_the_release_does_not_take_is_refused(
    client: Uploader, session: Document
) -> None:
    client.shelf.publish(WHEEL)
    other = replace(WHEEL, filename="widgets-1.0.0-py2-none-any.whl")

    answer = client.announce(session, other)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["code"] == "invalid-release"


def test_a_session_has_a_bounded_number_of_files(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)
    present = stored(client, session)
    (file,) = present.files.values()
    names = [f"widgets-1.0-py3-none-a{number}.whl" for number in range(MAX_FILES)]
    files = {name: replace(file, filename=name) for name in names}
    client.shelf.store.sessions[present.token] = present.changed(files=files)

    answer = client.announce(session, sdist())

    assert answer.status == 409
    detail = problem_of(answer)["detail"]
    assert f"at most {MAX_FILES} files, canceled ones included: publish it" in detail
    assert upload


def test_a_session_that_the_store_cannot_hold_takes_no_more_files(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_session: Session, _present: Session) -> bool:
        raise SessionTooLargeError

    monkeypatch.setattr(client.shelf.store, "save_session", refuse)

    answer = client.announce(session, WHEEL)

    assert answer.status == 409
    assert "no room for more" in problem_of(answer)["detail"]


# --- at the same time


def test_two_files_that_are_announced_at_the_same_time_are_both_there(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.before_next_save(monkeypatch, lambda: client.add(session, sdist()))

    client.add(session, WHEEL)

    assert client.see(session)["files"].keys() == {WHEEL_NAME, SDIST_NAME}


def test_of_two_uploads_of_one_file_at_the_same_time_one_is_refused(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.before_next_save(monkeypatch, lambda: client.add(session, WHEEL))

    assert client.announce(session, WHEEL).status == 409


def test_a_session_that_always_changes_is_not_tried_for_ever(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.shelf.store, "save_session", lambda *_: False)

    assert client.announce(session, WHEEL).status == 503


def test_a_session_that_is_gone_meanwhile_is_not_found(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.before_next_save(monkeypatch, client.shelf.store.sessions.clear)

    assert client.announce(session, WHEEL).status == 404


# --- delivered


@pytest.mark.pep694("post-bytes")
def test_the_bytes_of_a_file_are_taken(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)

    answer = client.deliver(upload, WHEEL.content)

    assert (answer.status, answer.body) == (204, b"")
    assert list(client.shelf.files.contents.values()) == [WHEEL.content]
    assert client.see_file(upload)["status"] == "pending"


def test_the_same_bytes_may_arrive_twice(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)

    assert [client.deliver(upload, WHEEL.content).status for _ in range(2)] == [204, 204]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WHEEL.content + b"x", "was announced with 858 bytes, and 859 arrived"),
        (WHEEL.content[:-1], "was announced with 858 bytes, and 857 arrived"),
        (b"", "was announced with 858 bytes, and 0 arrived"),
        (WHEEL.content[:-1] + b"x", "do not have the sha256 that was announced"),
    ],
    ids=["longer", "shorter", "none", "other"],
)
def test_other_bytes_are_refused_and_the_right_ones_taken_after(
    client: Uploader, session: Document, content: bytes, words: str
) -> None:
    upload = client.add(session, WHEEL)

    answer = client.deliver(upload, content)

    assert answer.status == 400
    assert words in problem_of(answer)["detail"]
    assert not client.shelf.files.contents
    assert client.deliver(upload, WHEEL.content).status == 204


def test_bytes_of_a_file_that_goes_straight_to_the_store_are_refused(
    client: Uploader, session: Document
) -> None:
    upload = client.add(session, WHEEL, PUT)
    url = upload["links"]["complete"].replace("/complete", "/bytes")

    answer = client.send("POST", url, body=WHEEL.content)

    assert answer.status == 409
    assert f"was announced for {PUT}" in problem_of(answer)["detail"]


@pytest.mark.parametrize("status", ["processing", "completed", "error", "canceled"])
def test_an_upload_that_is_not_pending_takes_no_bytes(
    client: Uploader, session: Document, status: str
) -> None:
    upload = client.add(session, WHEEL)
    set_file(client, session, status=UploadStatus(status))

    answer = client.deliver(upload, WHEEL.content)

    assert answer.status == 409
    assert f"is `{status}`" in problem_of(answer)["detail"]
    assert not client.shelf.files.contents


def test_bytes_that_arrive_while_the_upload_is_canceled_are_removed(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = client.add(session, WHEEL)
    save = client.shelf.files.save

    def cancel_and_save(*arguments: Any) -> None:
        assert client.delete_file(upload).status == 204
        save(*arguments)

    monkeypatch.setattr(client.shelf.files, "save", cancel_and_save)

    answer = client.deliver(upload, WHEEL.content)

    assert answer.status == 409
    assert "was canceled while its bytes arrived" in problem_of(answer)["detail"]
    assert not client.shelf.files.contents


# --- completed


@pytest.mark.pep694("completion")
@pytest.mark.pep694("polling")
def test_a_file_is_completed(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)
    client.deliver(upload, WHEEL.content)

    answer = client.complete(upload)

    assert answer.status == 201
    assert answer.headers["Location"] == upload["links"]["file-upload-session"]
    assert answer.headers["Retry-After"] == "1"
    assert answer.json["status"] == "completed"
    assert client.see_file(upload) == answer.json
    assert client.see(session)["files"][WHEEL_NAME]["status"] == "completed"
    assert not client.shelf.filenames


def test_the_record_says_who_completed_the_file(client: Uploader, session: Document) -> None:
    client.stage(session, WHEEL)

    file = stored(client, session).files[WHEEL_NAME].file

    assert file is not None
    assert file.published_by == {
        "issuer": GITHUB,
        **IDENTITY,
        "publishers": "p-widgets",
        "token_hash": client.shelf.token.hash[:12],
    }
    assert file.metadata_sha256 == hashlib.sha256(metadata().encode()).hexdigest()


def test_a_second_completion_answers_like_the_first(client: Uploader, session: Document) -> None:
    (upload,) = client.stage(session, WHEEL)

    assert client.complete(upload).status == 201


def test_of_two_completions_at_the_same_time_both_succeed(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = client.add(session, WHEEL)
    client.deliver(upload, WHEEL.content)

    def complete_later() -> None:
        client.shelf.now += timedelta(seconds=1)
        assert client.complete(upload).status == 201

    client.before_next_save(monkeypatch, complete_later)

    assert client.complete(upload).status == 201


@pytest.mark.pep694("failed-completion")
@pytest.mark.pep694("file-notices")
def test_a_completion_without_bytes_fails(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)

    answer = client.complete(upload)

    assert answer.status == 400
    assert "no bytes of" in problem_of(answer)["detail"]
    seen = client.see(session)["files"][WHEEL_NAME]
    assert seen["status"] == "error"
    assert "no bytes of" in seen["notices"][0]
    assert client.see_file(upload)["notices"] == seen["notices"]


@pytest.mark.pep694("failed-completion")
def test_from_a_failed_completion_the_only_way_is_a_deletion(
    client: Uploader, session: Document
) -> None:
    upload = client.add(session, WHEEL)
    client.complete(upload)

    refused = [
        client.complete(upload),
        client.deliver(upload, WHEEL.content),
        client.announce(session, WHEEL),
    ]

    assert [answer.status for answer in refused] == [409, 409, 409]
    assert client.delete_file(upload).status == 204
    client.stage(session, WHEEL)


def test_bytes_that_are_gone_meanwhile_fail_like_none(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = client.add(session, WHEEL)
    monkeypatch.setattr(client.shelf.files, "find", lambda _key: Stored(len(WHEEL.content), None))

    assert "no bytes of" in problem_of(client.complete(upload))["detail"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WHEEL.content + b"x", "with 858 bytes, and 859 arrived"),
        (WHEEL.content[:-1] + b"x", "the sha256 that was announced"),
    ],
    ids=["longer", "other"],
)
def test_a_completion_checks_what_is_in_the_store(
    client: Uploader, session: Document, content: bytes, words: str
) -> None:
    upload = client.add(session, WHEEL, PUT)
    put_bytes(client, session, content)

    answer = client.complete(upload)

    assert answer.status == 400
    assert words in problem_of(answer)["detail"]


@pytest.mark.pep694("hashes")
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512", "sha3_256", "blake2b", "blake2s"])
@pytest.mark.parametrize("is_right", [True, False])
def test_every_digest_that_was_sent_is_checked(
    client: Uploader, session: Document, algorithm: str, *, is_right: bool
) -> None:
    digest = hashlib.new(algorithm, WHEEL.content, usedforsecurity=False).hexdigest()
    sent = digest.upper() if is_right else digest[::-1]
    hashes = {"sha256": WHEEL.sha256.upper(), algorithm: sent}
    upload = client.announce(session, WHEEL, hashes=hashes).json
    client.deliver(upload, WHEEL.content)

    answer = client.complete(upload)

    assert answer.status == (201 if is_right else 400)
    if not is_right:
        assert f"the {algorithm} that was announced" in problem_of(answer)["detail"]


def test_a_digest_that_the_store_has_compared_is_not_computed_again(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = client.add(session, WHEEL, PUT)
    put_bytes(client, session, WHEEL.content)
    known = Stored(len(WHEEL.content), WHEEL.sha256)
    monkeypatch.setattr(client.shelf.files, "find", lambda _key: known)
    computed: list[object] = []
    monkeypatch.setattr(
        "pytp_broker.index.sessions.checking.compute_digests", lambda *_: computed.append(1)
    )

    assert client.complete(upload).status == 201
    assert not computed


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (Distribution(WHEEL_NAME, b"no zip"), "zip"),
        (replace(wheel("gadgets"), filename=WHEEL_NAME), "gadgets"),
        (replace(sdist(), content=b"no tar"), "is not a valid archive"),
    ],
    ids=["a wheel", "another project inside", "an sdist"],
)
def test_a_completion_looks_inside_the_file(
    client: Uploader, session: Document, file: Distribution, words: str
) -> None:
    upload = client.add(session, file)
    client.deliver(upload, file.content)

    answer = client.complete(upload)

    assert answer.status == 400
    assert words in problem_of(answer)["detail"]
    assert client.see_file(upload)["status"] == "error"


def test_a_store_that_is_down_does_not_fail_the_file(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)
    client.deliver(upload, WHEEL.content)
    client.shelf.files.fail_next("open")

    assert client.complete(upload).status == 503
    assert client.complete(upload).status == 201


@pytest.mark.parametrize("meanwhile", ["completed", "canceled"])
def test_a_completion_that_fails_changes_no_upload_that_is_settled(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    upload = client.add(session, WHEEL)
    status = UploadStatus(meanwhile)
    client.before_next_save(monkeypatch, lambda: set_file(client, session, status=status))

    assert client.complete(upload).status == 400
    assert client.see_file(upload)["status"] == meanwhile


def test_a_file_that_is_canceled_while_it_is_checked_is_not_completed(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = client.add(session, WHEEL)
    client.deliver(upload, WHEEL.content)
    client.before_next_save(monkeypatch, lambda: client.delete_file(upload))

    assert client.complete(upload).status == 409
    assert client.see_file(upload)["status"] == "canceled"


# --- deleted and replaced


@pytest.mark.pep694("deletion")
@pytest.mark.pep694("former-uploads")
@pytest.mark.pep694("file-entry")
@pytest.mark.parametrize("status", ["pending", "completed", "error", "canceled"])
def test_a_file_is_deleted(client: Uploader, session: Document, status: str) -> None:
    (upload,) = client.stage(session, WHEEL)
    set_file(client, session, status=UploadStatus(status))

    answer = client.delete_file(upload)

    assert (answer.status, answer.body) == (204, b"")
    assert client.see_file(upload)["status"] == "canceled"
    assert client.see(session)["files"] == {}


def test_the_bytes_of_a_deleted_file_are_removed(client: Uploader, session: Document) -> None:
    (upload,) = client.stage(session, WHEEL)

    client.delete_file(upload)

    assert not client.shelf.files.contents


@pytest.mark.pep694("no-deletion-while-processing")
def test_a_file_that_is_being_checked_cannot_be_deleted(
    client: Uploader, session: Document
) -> None:
    upload = client.add(session, WHEEL)
    set_file(client, session, status=UploadStatus.PROCESSING, processing_since=NOW)

    answer = client.delete_file(upload)

    assert answer.status == 409
    assert "is being checked" in problem_of(answer)["detail"]


@pytest.mark.pep694("no-replacement-in-progress")
@pytest.mark.parametrize("status", ["pending", "processing"])
def test_a_file_in_progress_cannot_be_replaced(
    client: Uploader, session: Document, status: str
) -> None:
    client.add(session, WHEEL)
    set_file(client, session, status=UploadStatus(status))

    answer = client.announce(session, WHEEL)

    assert answer.status == 409
    assert f"is `{status}` in this session" in problem_of(answer)["detail"]


@pytest.mark.pep694("replacement")
@pytest.mark.pep694("former-uploads")
@pytest.mark.parametrize("is_deleted_first", [True, False])
def test_a_file_is_replaced(client: Uploader, session: Document, *, is_deleted_first: bool) -> None:
    (first,) = client.stage(session, wheel(text=metadata("widgets", "1.0", "Summary: first")))
    if is_deleted_first:
        client.delete_file(first)

    (second,) = client.stage(session, WHEEL)

    assert client.see_file(first)["status"] == "canceled"
    assert client.see_file(second)["status"] == "completed"
    assert WHEEL.content in client.shelf.files.contents.values()
    assert len(client.shelf.files.contents) == 2
    assert client.delete_file(first).status == 204
    assert client.see_file(second)["status"] == "completed"


@pytest.mark.parametrize("place", ["widgets-1.0.tar.gz/" + "0" * 32, f"{WHEEL_NAME}/{'0' * 32}"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_file_that_is_not_there_is_not_found(
    client: Uploader, session: Document, method: str, place: str
) -> None:
    client.add(session, WHEEL)

    answer = client.send(method, f"{session['links']['upload']}/{place}")

    assert answer.status == 404
    assert "there is no such file upload" in problem_of(answer)["detail"]


@pytest.mark.pep694("extension")
def test_to_extend_a_file_is_to_extend_its_session(client: Uploader, session: Document) -> None:
    upload = client.add(session, WHEEL)

    answer = client.send("POST", upload["links"]["extend"], {"extend-for": 60})

    assert answer.status == 200
    longer = NOW + LIFETIME + timedelta(minutes=1)
    assert datetime.fromisoformat(answer.json["expires-at"]) == longer
    assert datetime.fromisoformat(client.see(session)["expires-at"]) == longer
