"""Uploads, as the wire shows them: a request goes in, an answer and a published file come out."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.access import MAX_AGE
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from tests.support import distributions
from tests.support.deployment import HOST, Answer
from tests.support.distributions import (
    WHEEL_NAME,
    Distribution,
    fields,
    file_part,
    form,
    metadata,
    sdist,
    texts,
    wheel,
)
from tests.support.samples import session, staged, tombstone
from tests.support.shelf import IDENTITY, Shelf
from tests.support.signing import GITHUB, NOW

# What is published


@pytest.mark.parametrize("distribution", [wheel(), sdist()], ids=["wheel", "sdist"])
def test_a_file_is_published(shelf: Shelf, distribution: Distribution) -> None:
    answer = shelf.publish(distribution)

    assert answer.status == 200
    assert shelf.filenames == [distribution.filename]


def test_success_is_an_empty_answer(shelf: Shelf) -> None:
    answer = shelf.publish(wheel())

    assert answer.body == b""
    assert answer.headers["Content-Length"] == "0"


def test_the_record_keeps_what_is_in_the_file_and_who_published_it(shelf: Shelf) -> None:
    distribution = wheel(text=metadata("Widgets", "1.0", "Requires-Python: >=3.9,\n <4"))

    shelf.publish(distribution)

    assert shelf.store.files["acme", WHEEL_NAME] == PublishedFile(
        registry="acme",
        project="widgets",
        version="1.0",
        filename=WHEEL_NAME,
        sha256=distribution.sha256,
        size=len(distribution.content),
        metadata_sha256=hashlib.sha256(
            metadata("Widgets", "1.0", "Requires-Python: >=3.9,\n <4").encode()
        ).hexdigest(),
        requires_python=">=3.9, <4",
        uploaded_at=NOW,
        published_by={
            "issuer": GITHUB,
            **IDENTITY,
            "publishers": "p-widgets",
            "token_hash": shelf.token.hash[:12],
        },
        receipt_sha256=shelf.store.files["acme", WHEEL_NAME].receipt_sha256,
    )


@pytest.mark.parametrize("distribution", [wheel(), sdist()], ids=["wheel", "sdist"])
def test_content_and_metadata_are_kept_under_the_hash(
    shelf: Shelf, distribution: Distribution
) -> None:
    shelf.publish(distribution)

    key = f"files/acme/{distribution.sha256}/{distribution.filename}"
    kept = {name: octets for name, octets in shelf.files.contents.items() if name.startswith(key)}
    assert kept == {key: distribution.content, f"{key}.metadata": metadata().encode()}


def asked_by(shelf: Shelf, distribution: Distribution) -> list[str]:
    """Return what an upload asks the store."""
    shelf.store.calls.clear()
    assert shelf.publish(distribution).status == 200
    return [call for call in shelf.store.calls if call != "load_configuration"]


def test_an_upload_asks_the_store_five_times(shelf: Shelf) -> None:
    shelf.publish(wheel())

    asked = asked_by(shelf, sdist())

    assert asked == ["find_token", "find_entry", "find_release", "announce_file", "add_file"]


def test_the_first_file_of_a_release_begins_its_record(shelf: Shelf) -> None:
    asked = asked_by(shelf, wheel())

    release = ["find_release", "list_files", "announce_file", "save_release"]
    assert asked == ["find_token", "find_entry", *release, "add_file"]


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/acme/legacy/", HOST, 200),
        ("/acme/legacy", HOST, 200),
        ("/legacy/", "acme.example.com", 200),
        ("/legacy/", HOST, 404),
        ("/nobody/legacy/", HOST, 404),
    ],
)
def test_the_upload_url_works_with_and_without_its_last_slash(
    shelf: Shelf, path: str, host: str, status: int
) -> None:
    shelf.change(hosts=("acme.example.com",))

    assert shelf.post(form(wheel()), path=path, host=host).status == status


def test_the_upload_url_takes_nothing_but_post(shelf: Shelf) -> None:
    answer = shelf.call("GET", "/acme/legacy/")

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"


def test_bytes_that_cannot_be_stored_make_nothing_visible(shelf: Shelf) -> None:
    shelf.files.fail_next("save")

    answer = shelf.publish(wheel())

    assert answer.status == 503
    assert shelf.filenames == []


def test_an_upload_whose_last_write_failed_may_be_repeated(shelf: Shelf) -> None:
    shelf.store.fail_next("add_file")

    statuses = [shelf.publish(wheel()).status for _ in range(2)]

    assert statuses == [503, 200]
    assert shelf.filenames == [WHEEL_NAME]


@pytest.mark.parametrize("method", ["find_token", "find_entry", "add_file"])
def test_a_store_that_is_down_is_our_fault(shelf: Shelf, method: str) -> None:
    shelf.store.fail_next(method)

    answer = shelf.publish(wheel())

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"


# Closed projects


@pytest.mark.parametrize("status", ["archived", "quarantined"])
@pytest.mark.parametrize("file", [wheel(), sdist()], ids=["published", "new"])
def test_a_closed_project_takes_no_file_and_says_why(
    shelf: Shelf, status: str, file: Distribution
) -> None:
    shelf.publish(wheel())
    shelf.store.set_status("acme", "widgets", ProjectStatus(status, "use gadgets"))

    answer = shelf.publish(file)

    assert (answer.status, answer.code) == (400, "project-closed")
    assert answer.json["detail"] == (
        f"the project `widgets` is {status} and takes no files: use gadgets; ask the registry's "
        "operator to make it active again"
    )
    assert "already exist" not in answer.text.lower()
    assert shelf.filenames == [WHEEL_NAME]


@pytest.mark.parametrize("status", [ACTIVE, ProjectStatus("deprecated", "use gadgets")])
def test_an_active_or_deprecated_project_takes_files(shelf: Shelf, status: ProjectStatus) -> None:
    shelf.store.set_status("acme", "widgets", ProjectStatus("archived", "use gadgets"))
    shelf.store.set_status("acme", "widgets", status)

    assert shelf.publish(wheel()).status == 200


def test_the_status_of_one_project_closes_no_other(shelf: Shelf) -> None:
    for place in (("other", "widgets"), ("acme", "my-widgets")):
        shelf.store.set_status(*place, ProjectStatus("archived", "use gadgets"))

    assert shelf.publish(wheel()).status == 200


@pytest.mark.promise("slow-upload")
def test_a_slow_upload_finds_the_project_closed(shelf: Shelf) -> None:
    save = shelf.files.save

    def save_slowly(*arguments: Any) -> None:
        shelf.now += MAX_AGE
        shelf.store.set_status("acme", "widgets", ProjectStatus("archived", "use gadgets"))
        save(*arguments)

    shelf.files.save = save_slowly  # type: ignore[method-assign,assignment]

    assert shelf.publish(wheel()).code == "project-closed"
    assert shelf.filenames == []


@pytest.mark.promise("slow-upload")
def test_a_right_that_ends_at_the_last_look_at_the_project_publishes_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_release, find_entry = shelf.store.save_release, shelf.store.find_entry

    def find_late(*arguments: Any) -> Any:
        shelf.store.burn_token(shelf.token.lookup_id, shelf.token.hash, None, shelf.now)
        return find_entry(*arguments)

    def save_slowly(*arguments: Any) -> bool:
        shelf.advance(seconds=10)
        monkeypatch.setattr(shelf.store, "find_entry", find_late)
        return save_release(*arguments)

    monkeypatch.setattr(shelf.store, "save_release", save_slowly)

    assert shelf.publish(wheel()).status == 401
    assert shelf.filenames == []


@pytest.mark.promise("switched-off")
def test_what_is_switched_off_while_a_right_is_confirmed_publishes_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_token, asked = shelf.store.find_token, list[str]()

    def find_slowly(*arguments: Any) -> Any:
        found = find_token(*arguments)
        asked.append("find_token")
        if len(asked) == 2:
            shelf.switch_off()
        shelf.advance(seconds=10 if len(asked) < 3 else 0)
        return found

    monkeypatch.setattr(shelf.store, "find_token", find_slowly)

    assert shelf.publish(wheel()).status == 403
    assert shelf.filenames == []


def test_a_store_that_is_always_slow_is_not_asked_again_and_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_token, asked = shelf.store.find_token, list[str]()

    def find_slowly(*arguments: Any) -> Any:
        asked.append("find_token")
        shelf.advance(seconds=10)
        return find_token(*arguments)

    monkeypatch.setattr(shelf.store, "find_token", find_slowly)

    assert shelf.publish(wheel()).status == 200
    assert len(asked) == 4


# Deleted files


@pytest.mark.promise("deleted-file")
@pytest.mark.parametrize("extra", [(), ("Summary: evil",)], ids=["same bytes", "other bytes"])
def test_the_name_of_a_deleted_file_is_never_used_again(
    shelf: Shelf, extra: tuple[str, ...]
) -> None:
    shelf.publish(wheel())
    shelf.store.delete_file("acme", "widgets", WHEEL_NAME, tombstone())
    before = dict(shelf.files.contents)

    answer = shelf.publish(wheel(text=distributions.metadata("widgets", "1.0", *extra)))

    assert (answer.status, answer.code) == (400, "file-deleted")
    assert answer.json["detail"] == (
        f"the registry's operator has deleted `{WHEEL_NAME}` (contains a password), and the name "
        "of a deleted file is never used again: publish a new version"
    )
    assert "already" not in answer.text.lower()
    assert shelf.files.contents == before


def test_a_release_whose_sdist_is_deleted_takes_no_sdist_and_still_takes_wheels(
    shelf: Shelf,
) -> None:
    shelf.publish(sdist())
    shelf.store.delete_file("acme", "widgets", sdist().filename, tombstone())

    assert shelf.publish(sdist()).code == "file-deleted"
    assert shelf.publish(wheel(version="1.0.0")).code == "invalid-release"
    assert shelf.publish(wheel()).status == 200


def test_an_upload_that_loses_to_a_deletion_is_refused(shelf: Shelf) -> None:
    """Another upload of the file is first, and an operator deletes the file at once."""
    add = shelf.store.add_file

    def add_late(file: PublishedFile, announcement: Any) -> None:
        add(replace(file, uploaded_at=file.uploaded_at - timedelta(seconds=1)))
        shelf.store.delete_file("acme", "widgets", file.filename, tombstone())
        add(file, announcement)

    shelf.store.add_file = add_late  # type: ignore[method-assign,assignment]

    assert shelf.publish(wheel()).code == "file-deleted"


# Duplicates


def test_the_same_file_again_is_a_success_that_writes_nothing(shelf: Shelf) -> None:
    shelf.publish(wheel())
    stored = dict(shelf.store.files)
    shelf.now += timedelta(seconds=60)
    shelf.store.calls.clear()
    shelf.files.calls.clear()

    answer = shelf.publish(wheel())

    assert answer.status == 200
    assert shelf.store.files == stored
    assert "add_file" not in shelf.store.calls
    assert shelf.files.calls == []


def other_wheel() -> Distribution:
    return wheel(text=metadata("widgets", "1.0", "Summary: other"))


@pytest.mark.promise("immutable-file")
def test_other_content_under_a_name_that_is_taken_is_refused(shelf: Shelf) -> None:
    shelf.publish(wheel())

    answer = shelf.publish(other_wheel())

    assert answer.status == 400
    assert answer.detail.startswith("`widgets-1.0-py3-none-any.whl` is published")
    assert answer.text.count("already exist") == 2  # once in each of `title` and `message`
    assert answer.json["type"].endswith("#file-exists")
    assert shelf.store.files["acme", WHEEL_NAME].sha256 == wheel().sha256


def test_poetry_is_not_told_to_register_the_project(shelf: Shelf) -> None:
    shelf.publish(wheel())

    assert "was ever registered" not in shelf.publish(other_wheel()).text


def test_registries_do_not_share_names(shelf: Shelf) -> None:
    shelf.publish(wheel())
    shelf.publishers.append(replace(shelf.publishers[0], publisher_id="p-o", registry="other"))
    shelf.apply()
    token = shelf.mint(("other", "widgets", "p-o"))

    answer = shelf.post(form(other_wheel()), shelf.basic(token), path="/other/legacy/")

    assert answer.status == 200


@pytest.mark.parametrize(
    ("first", "status"), [(wheel(), 200), (other_wheel(), 400)], ids=["the same", "another"]
)
def test_of_two_uploads_at_once_the_second_meets_the_first(
    shelf: Shelf, first: Distribution, status: int
) -> None:
    published = published_file(shelf, first)
    shelf.between(lambda: shelf.store.add_file(published))

    answer = shelf.publish(wheel())

    assert answer.status == status
    assert shelf.store.files["acme", WHEEL_NAME] == published


def test_a_name_that_a_session_publishes_right_now_is_refused(shelf: Shelf) -> None:
    """PEP 694: such an upload gets 409 through every API."""
    present = session(staged(WHEEL_NAME), created_at=shelf.now)
    processing = present.processing(shelf.now)
    shelf.store.add_session(present)
    shelf.store.save_session(processing, present)
    shelf.store.reserve(processing, [published_file(shelf, wheel())])

    answer = shelf.publish(wheel())

    assert (answer.status, answer.code) == (409, "file-reserved")
    assert shelf.store.files == {}


def published_file(shelf: Shelf, distribution: Distribution) -> PublishedFile:
    elsewhere = Shelf()
    elsewhere.publish(distribution)
    return elsewhere.store.files["acme", distribution.filename]


# Audit


def test_an_accepted_upload_leaves_one_audit_record(shelf: Shelf) -> None:
    shelf.publish(wheel())

    assert shelf.record.event == "upload"
    assert shelf.record.outcome == "accepted"
    assert shelf.record.facts == {
        "host": HOST,
        "path": "/acme/legacy/",
        "source_ip": "192.0.2.1",
        "registry": "acme",
        "project": "widgets",
        "filename": WHEEL_NAME,
        "sha256": wheel().sha256,
        "token_hash": shelf.token.hash[:12],
        "publishers": ["p-widgets"],
        "nonce": shelf.record.facts["nonce"],
    }


def test_an_upload_of_what_is_there_says_so_in_its_audit_record(shelf: Shelf) -> None:
    shelf.publish(wheel())
    shelf.publish(wheel())

    assert shelf.records[-1].outcome == "accepted"
    assert shelf.records[-1].facts["unchanged"] is True


@pytest.mark.parametrize(
    ("send", "reason"),
    [
        (lambda shelf: shelf.post(b"", ""), "unauthorized"),
        (lambda shelf: shelf.publish(wheel("gadgets")), "forbidden"),
        (lambda shelf: shelf.post(b""), "invalid-upload"),
        (lambda shelf: shelf.post(b"x" * 10_000_001), "payload-too-large"),
        (lambda shelf: shelf.post(b"", path="/legacy/"), "not-found"),
    ],
)
def test_a_refused_upload_leaves_one_audit_record(
    shelf: Shelf, send: Callable[[Shelf], Answer], reason: str
) -> None:
    answer = send(shelf)

    assert shelf.record.outcome == "refused"
    assert shelf.record.reason == reason
    assert shelf.record.facts["detail"] == answer.detail


def test_no_audit_record_holds_a_token(shelf: Shelf) -> None:
    shelf.publish(wheel())
    shelf.publish(wheel("gadgets"))
    shelf.post(b"")

    assert shelf.token.reveal() not in repr(shelf.records)


def test_text_from_outside_is_made_printable(shelf: Shelf) -> None:
    body = distributions.body([*texts(fields(wheel())), file_part("a\x1b[2J`b", b"x")])

    answer = shelf.post(body)

    shown = "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b"
    assert shelf.record.facts["filename"] == shown
    assert shown in answer.detail
