"""A publishing session is published: all of its files at once, or none."""

from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.sessions import PUBLISH_TIME, Session, SessionStatus, UploadStatus
from pytp_broker.tokens import SINGLE_USE
from tests.support.deployment import HOST, Answer
from tests.support.distributions import SDIST_NAME, WHEEL_NAME, metadata, sdist, wheel
from tests.support.samples import tombstone
from tests.support.signing import NOW
from tests.support.stock import JSON
from tests.support.uploading import Document, Uploader, problem_of

WHEEL, SDIST = wheel(), sdist()
OTHER_WHEEL = wheel(text=metadata("widgets", "1.0", "Summary: other"))


@pytest.fixture
def session(client: Uploader) -> Document:
    """Return a session with a wheel and an sdist, both completed."""
    session = client.begin()
    client.stage(session, WHEEL, SDIST)
    return session


def stored(client: Uploader, session: Document) -> Session:
    return client.shelf.store.sessions[session["session-token"]]


def set_wheel(client: Uploader, session: Document, **changes: Any) -> None:
    present = stored(client, session)
    file = replace(present.files[WHEEL_NAME], **changes)
    changed = present.changed(files={**present.files, WHEEL_NAME: file})
    client.shelf.store.sessions[present.token] = changed


def during(client: Uploader, monkeypatch: pytest.MonkeyPatch, act: Any) -> list[Answer]:
    """Let something happen once, while a publish holds the names of its files."""
    keep, answers = client.shelf.files.keep, list[Answer]()

    def keep_later(key: str) -> None:
        monkeypatch.setattr(client.shelf.files, "keep", keep)
        answers.append(act())
        keep(key)

    monkeypatch.setattr(client.shelf.files, "keep", keep_later)
    return answers


# --- success


@pytest.mark.pep694("publish")
def test_all_files_become_visible(client: Uploader, session: Document) -> None:
    answer = client.publish(session)

    assert answer.status == 201
    assert answer.headers["Location"] == session["links"]["session"]
    assert answer.json["status"] == "published"
    assert sorted(client.shelf.filenames) == [WHEEL_NAME, SDIST_NAME]
    page = client.shelf.get("/acme/simple/widgets/", JSON).json
    assert [file["filename"] for file in page["files"]] == [WHEEL_NAME, SDIST_NAME]


def test_the_bytes_are_served_as_they_were_sent(client: Uploader, session: Document) -> None:
    client.publish(session)

    page = client.shelf.get("/acme/simple/widgets/", JSON).json
    urls = [file["url"] for file in page["files"]]
    assert [client.shelf.get(url).body for url in urls] == [WHEEL.content, SDIST.content]
    assert client.shelf.get(f"{urls[0]}.metadata").body == metadata().encode()


def test_a_file_is_dated_by_its_publish(client: Uploader, session: Document) -> None:
    client.shelf.now += PUBLISH_TIME

    client.publish(session)

    assert client.shelf.store.files["acme", WHEEL_NAME].uploaded_at == NOW + PUBLISH_TIME


def test_the_release_has_its_record(client: Uploader, session: Document) -> None:
    client.publish(session)

    release = client.shelf.store.releases["acme", "widgets", "1"]
    assert (release.spellings, release.filename) == (("1.0",), SDIST_NAME)


def test_deleted_files_are_not_published(client: Uploader, session: Document) -> None:
    client.send("DELETE", client.see(session)["files"][SDIST_NAME]["link"])

    assert client.publish(session).status == 201
    assert client.shelf.filenames == [WHEEL_NAME]


@pytest.mark.pep694("published-terminal")
@pytest.mark.pep694("retention")
def test_a_second_publish_answers_like_the_first(client: Uploader, session: Document) -> None:
    first = client.publish(session)
    client.shelf.now += PUBLISH_TIME

    assert client.publish(session).json == first.json
    assert client.see(session) == first.json
    assert client.cancel(session).status == 409


@pytest.mark.pep694("next-session")
def test_a_second_publish_lets_the_store_tidy_up(client: Uploader, session: Document) -> None:
    client.publish(session)
    client.shelf.store.calls.clear()

    client.publish(session)

    assert client.shelf.store.calls.count("publish_session") == 1
    assert "save_session" not in client.shelf.store.calls


def test_a_further_session_adds_files_to_a_published_release(
    client: Uploader, session: Document
) -> None:
    client.send("DELETE", client.see(session)["files"][SDIST_NAME]["link"])
    assert client.publish(session).status == 201
    more = client.begin()
    client.stage(more, SDIST)

    assert client.publish(more).status == 201
    assert sorted(client.shelf.filenames) == [WHEEL_NAME, SDIST_NAME]


def test_the_record_names_the_files(client: Uploader, session: Document) -> None:
    client.shelf.records.clear()

    client.publish(session)

    facts = client.shelf.record.document()
    assert (facts["event"], facts["action"], facts["outcome"]) == ("session", "publish", "accepted")
    assert facts["filenames"] == [WHEEL_NAME, SDIST_NAME]
    assert facts["file_count"] == 2
    assert (facts["project"], facts["version"]) == ("widgets", "1.0")
    assert facts["publishers"] == ["p-widgets"]


def test_many_files_are_published_together(client: Uploader) -> None:
    session = client.begin()
    names = [f"widgets-1.0-py3-none-plat{number}.whl" for number in range(12)]
    client.stage(session, SDIST)
    present = stored(client, session)
    sample = present.files[SDIST_NAME]
    files = dict(present.files)
    for number, name in enumerate(names):
        upload_id = f"{number:032x}"
        assert sample.file is not None
        record = replace(sample.file, filename=name, upload_id=upload_id)
        files[name] = replace(sample, filename=name, upload_id=upload_id, file=record)
        for ending in ("", ".metadata"):
            key = f"staged/acme/{upload_id}/{name}{ending}"
            client.shelf.files.contents[key] = b"x"
    client.shelf.store.sessions[present.token] = present.changed(files=files)

    assert client.publish(session).status == 201
    assert len(client.shelf.filenames) == 13


# --- refused


@pytest.mark.pep694("unready")
@pytest.mark.pep694("refused-publish")
@pytest.mark.parametrize("status", ["pending", "processing", "error"])
def test_a_file_that_is_not_completed_stands_in_the_way(
    client: Uploader, session: Document, status: str
) -> None:
    set_wheel(client, session, status=UploadStatus(status))

    answer = client.publish(session)

    assert answer.status == 409
    (error,) = problem_of(answer)["errors"]
    assert error["source"] == WHEEL_NAME
    assert error["message"] == f"`{WHEEL_NAME}` is `{status}`"
    assert client.see(session)["status"] == "open"
    assert not client.shelf.filenames


def test_an_empty_session_is_not_published(client: Uploader) -> None:
    answer = client.publish(client.begin())

    assert answer.status == 409
    assert "no files" in problem_of(answer)["detail"]


@pytest.mark.pep694("conflict-named")
@pytest.mark.promise("all-or-none")
@pytest.mark.pep694("no-second-file")
@pytest.mark.parametrize(
    ("published", "words"),
    [(WHEEL, "with this very sha256"), (OTHER_WHEEL, "publish a new version")],
    ids=["the same", "another"],
)
def test_a_file_that_was_published_meanwhile_stands_in_the_way(
    client: Uploader, session: Document, published: Any, words: str
) -> None:
    assert client.shelf.publish(published).status == 200

    answer = client.publish(session)

    assert answer.status == 409
    problem = problem_of(answer)
    assert f"file names of this session are taken: `{WHEEL_NAME}`" in problem["detail"]
    (error,) = problem["errors"]
    assert error["source"] == WHEEL_NAME
    assert words in error["message"]
    assert client.shelf.filenames == [WHEEL_NAME]
    assert client.shelf.store.files["acme", WHEEL_NAME].sha256 == published.sha256


@pytest.mark.pep694("refused-publish")
@pytest.mark.pep694("released")
def test_after_a_conflict_the_session_is_as_before_and_can_go_on(
    client: Uploader, session: Document
) -> None:
    client.shelf.publish(WHEEL)
    before = client.see(session)
    client.publish(session)

    assert client.see(session) == before
    assert not client.shelf.store.reserved
    client.send("DELETE", before["files"][WHEEL_NAME]["link"])
    assert client.publish(session).status == 201
    assert sorted(client.shelf.filenames) == [WHEEL_NAME, SDIST_NAME]


def test_the_name_of_a_deleted_file_stands_in_the_way(client: Uploader, session: Document) -> None:
    client.shelf.publish(WHEEL)
    client.shelf.store.delete_file("acme", "widgets", WHEEL_NAME, tombstone())

    assert client.publish(session).status == 409


@pytest.mark.pep694("error-editable")
@pytest.mark.pep694("refused-publish")
def test_a_session_in_error_stays_in_error_after_a_refusal(
    client: Uploader, session: Document
) -> None:
    present = stored(client, session)
    failed = present.processing(NOW).failed("It failed.")
    client.shelf.store.sessions[present.token] = failed
    client.shelf.publish(WHEEL)

    assert client.publish(session).status == 409
    seen = client.see(session)
    assert (seen["status"], seen["notices"]) == ("error", ["It failed."])


def test_a_project_that_was_closed_meanwhile_publishes_nothing(
    client: Uploader, session: Document
) -> None:
    client.shelf.store.set_status("acme", "widgets", ProjectStatus("archived", "It moved."))

    answer = client.publish(session)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["code"] == "project-closed"
    assert client.see(session)["status"] == "open"
    assert not client.shelf.filenames


def test_wheels_that_spell_the_version_in_two_ways_are_not_published(client: Uploader) -> None:
    session = client.begin("1.0b2")
    for filename in ("widgets-1.0b2-py3-none-any.whl", "widgets-1.0.beta2-py2-none-any.whl"):
        client.stage(session, replace(wheel("widgets", "1.0b2"), filename=filename))

    answer = client.publish(session)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["code"] == "invalid-release"
    assert not client.shelf.filenames


def test_bytes_that_the_store_has_lost_are_not_published(
    client: Uploader, session: Document
) -> None:
    client.shelf.files.contents.clear()

    answer = client.publish(session)

    assert answer.status == 409
    assert "has lost bytes" in problem_of(answer)["detail"]
    assert client.see(session)["status"] == "open"


@pytest.mark.promise("slow-upload")
def test_a_right_that_ends_while_a_publish_is_slow_publishes_nothing(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove() -> Any:
        client.shelf.publishers = client.shelf.publishers[1:]
        client.shelf.apply()
        client.shelf.advance(seconds=10)

    during(client, monkeypatch, remove)

    assert client.publish(session).status == 403
    assert not client.shelf.filenames
    assert stored(client, session).status is SessionStatus.OPEN


# --- at the same time


@pytest.mark.pep694("reserved")
@pytest.mark.pep694("reserved-unseen")
def test_a_legacy_upload_of_a_name_that_is_published_right_now_is_refused(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = during(client, monkeypatch, lambda: client.shelf.publish(OTHER_WHEEL))

    assert client.publish(session).status == 201
    assert answers[0].status == 409
    assert answers[0].code == "file-reserved"
    assert client.shelf.store.files["acme", WHEEL_NAME].sha256 == WHEEL.sha256


@pytest.mark.pep694("reserved-unseen")
def test_nobody_sees_the_files_before_all_are_visible(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = during(client, monkeypatch, lambda: client.shelf.get("/acme/simple/widgets/", JSON))

    client.publish(session)

    assert answers[0].status == 404


@pytest.mark.pep694("no-cancel-while-processing")
@pytest.mark.parametrize("action", ["publish", "cancel", "announce", "delete"])
def test_nothing_changes_a_session_that_is_published_right_now(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    link = client.see(session)["files"][WHEEL_NAME]["link"]
    act = {
        "publish": lambda: client.publish(session),
        "cancel": lambda: client.cancel(session),
        "announce": lambda: client.announce(session, WHEEL),
        "delete": lambda: client.send("DELETE", link),
    }[action]
    answers = during(client, monkeypatch, act)

    assert client.publish(session).status == 201
    assert answers[0].status == 409
    assert "is `processing`" in problem_of(answers[0])["detail"]
    assert sorted(client.shelf.filenames) == [WHEEL_NAME, SDIST_NAME]


def test_a_file_that_is_announced_just_before_stands_in_the_way(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = replace(WHEEL, filename="widgets-1.0-py2-none-any.whl")
    client.before_next_save(monkeypatch, lambda: client.add(session, more))

    answer = client.publish(session)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["source"] == more.filename


# --- interrupted


def test_a_store_that_fails_in_between_leaves_the_session_open(
    client: Uploader, session: Document
) -> None:
    client.shelf.store.fail_next("reserve")

    assert client.publish(session).status == 503
    assert client.see(session)["status"] == "open"
    assert client.publish(session).status == 201


def test_a_store_that_is_down_for_the_way_back_too_is_rolled_back_later(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        client.shelf.store.fail_next("save_session")
        raise StoreUnavailable("the store does not answer")

    during(client, monkeypatch, fail)

    assert client.publish(session).status == 503
    assert client.see(session)["status"] == "processing"
    client.shelf.now += PUBLISH_TIME
    assert client.see(session)["status"] == "error"
    assert client.publish(session).status == 201


def test_a_publish_whose_last_answer_is_lost_is_found_published(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = client.shelf.store.publish_session

    def publish_and_fail(published: Session) -> bool:
        monkeypatch.setattr(client.shelf.store, "publish_session", publish)
        publish(published)
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(client.shelf.store, "publish_session", publish_and_fail)

    assert client.publish(session).status == 503
    assert client.publish(session).status == 201
    assert sorted(client.shelf.filenames) == [WHEEL_NAME, SDIST_NAME]


def test_a_publish_that_was_rolled_back_meanwhile_publishes_nothing(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = client.shelf.store.publish_session

    def publish_late(published: Session) -> bool:
        client.shelf.now += PUBLISH_TIME
        assert client.see(session)["status"] == "error"
        return publish(published)

    monkeypatch.setattr(client.shelf.store, "publish_session", publish_late)

    answer = client.publish(session)

    assert answer.status == 503
    assert "was rolled back" in problem_of(answer)["detail"]
    assert not client.shelf.filenames
    assert client.see(session)["status"] == "error"


@pytest.mark.pep694("no-second-file")
def test_a_file_that_is_published_at_the_last_moment_stands_in_the_way(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.before_next_save(monkeypatch, lambda: client.shelf.publish(OTHER_WHEEL))

    answer = client.publish(session)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["source"] == WHEEL_NAME
    assert client.see(session)["status"] == "open"
    assert client.shelf.filenames == [WHEEL_NAME]


@pytest.mark.parametrize("reason", ["taken", "unready", "closed"])
def test_a_publish_that_is_refused_writes_nothing(
    client: Uploader, session: Document, reason: str
) -> None:
    if reason == "taken":
        client.shelf.publish(WHEEL)
    elif reason == "unready":
        set_wheel(client, session, status=UploadStatus.PENDING)
    else:
        client.shelf.store.set_status("acme", "widgets", ProjectStatus("archived", "It moved."))
    before = (dict(client.shelf.store.sessions), dict(client.shelf.store.releases))

    assert client.publish(session).status == 409

    assert (client.shelf.store.sessions, client.shelf.store.releases) == before


def test_a_release_that_is_claimed_otherwise_at_the_last_moment_is_not_published(
    client: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = client.begin("1.0b2")
    first = replace(wheel("widgets", "1.0b2"), filename="widgets-1.0b2-py3-none-any.whl")
    client.stage(session, first)
    other = replace(wheel("widgets", "1.0b2"), filename="widgets-1.0.beta2-py2-none-any.whl")
    client.before_next_save(monkeypatch, lambda: client.shelf.publish(other))

    answer = client.publish(session)

    assert answer.status == 409
    assert problem_of(answer)["errors"][0]["code"] == "invalid-release"
    assert client.see(session)["status"] == "open"


def test_a_name_that_another_session_holds_stands_in_the_way(
    client: Uploader, session: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(_session: Session, files: list[PublishedFile]) -> list[str]:
        return [file.filename for file in files]

    monkeypatch.setattr(client.shelf.store, "reserve", taken)

    problem = problem_of(client.publish(session))

    assert [error["source"] for error in problem["errors"]] == [WHEEL_NAME, SDIST_NAME]
    assert "is being published by another request" in problem["errors"][0]["message"]


# --- a single-use token


def single_use(client: Uploader, lookup_id: str) -> Uploader:
    shelf = client.shelf
    return Uploader(shelf, shelf.mint(feature=SINGLE_USE, lookup_id=lookup_id))


@pytest.mark.promise("single-use")
def test_a_single_use_token_publishes_one_session(client: Uploader) -> None:
    once = single_use(client, "0" * 31 + "9")
    session = once.begin()
    once.stage(session, WHEEL, SDIST)

    assert once.publish(session).status == 201
    assert once.publish(session).status == 201

    assert once.create("1.1").status == 401
    assert client.shelf.post(b"", client.shelf.basic(once.token)).status == 400
    assert sorted(client.shelf.filenames) == [WHEEL_NAME, SDIST_NAME]


@pytest.mark.promise("single-use")
def test_a_single_use_token_that_was_used_works_in_no_session(client: Uploader) -> None:
    once = single_use(client, "0" * 31 + "9")
    first, second = once.begin("1.0"), once.begin("1.1")
    once.stage(first, WHEEL)
    once.publish(first)

    answer = once.announce(second, wheel("widgets", "1.1"))

    assert answer.status == 401
    assert "was for a single upload" in problem_of(answer)["detail"]
    assert f"https://{HOST}" not in problem_of(answer)["detail"]
