"""What only the DynamoDB store promises of sessions: crashes at every write, rows that end."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from pytp_broker.aws.dynamodb import file_rows, parallel, reservations, session_rows
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import (
    AlreadyPublishedError,
    ReservedError,
    TooManySessionsError,
)
from pytp_broker.storage.sessions import PUBLISH_TIME, RETENTION, Session, SessionStatus
from tests.contract.test_dynamodb import CrashError, crash_at, watch
from tests.contract.test_session_publish import BOTH, RIVAL, SDIST, WHEEL, begin, records, visible
from tests.support.samples import NOW, Table, file, session

ALL, NONE = sorted([SDIST, WHEEL]), list[str]()
AFTER = NOW + PUBLISH_TIME
# A reservation and a publish of two files write: two files, the mark of the listing, the list of
# projects, the session, two files again, the session again, the row that finds the session, the
# listing, and its mark again.
WRITES = range(11)
FLIP = 4


@pytest.fixture
def dynamo(table: Table) -> DynamoStore:
    return DynamoStore(table.client, table.name)


def publish(store: DynamoStore, processing: Session) -> bool:
    assert store.reserve(processing, records(BOTH)) == []
    return store.publish_session(processing.published(NOW))


def publish_again(store: DynamoStore) -> None:
    """Do what the next request does after a publish that was interrupted."""
    present = store.find_session(BOTH.token)
    assert present is not None
    if present.status is SessionStatus.PUBLISHED:
        assert store.publish_session(present)
        return
    failed = present.failed("interrupted")
    assert store.save_session(failed, present)
    store.release(present)
    processing = failed.processing(AFTER)
    assert store.save_session(processing, failed)
    assert store.reserve(processing, records(BOTH)) == []
    assert store.publish_session(processing.published(AFTER))


def rows(table: Table, pk: str) -> list[dict[str, Any]]:
    return [item for item in table.dump() if item["pk"]["S"].startswith(pk)]


def ends_at(item: dict[str, Any]) -> datetime | None:
    return datetime.fromtimestamp(int(item["ttl"]["N"]), NOW.tzinfo) if "ttl" in item else None


def assert_settled(table: Table) -> None:
    """Check that nothing is left of a publish but what it published."""
    files = rows(table, "PROJECT#")
    assert [item["sk"]["S"] for item in files] == [f"FILE#{name}" for name in ALL]
    assert not any("reserved_by" in item or "ttl" in item for item in files)
    assert BOTH.token not in repr(files)
    assert all(ends_at(item) is not None for item in rows(table, "SESSION#"))
    assert not any("session_token" in item for item in rows(table, "LIVE#"))


def test_a_publish_makes_these_writes(table: Table, dynamo: DynamoStore) -> None:
    watched = watch(table)

    assert publish(DynamoStore(watched, table.name), begin(dynamo))

    assert len(watched.writes) == len(WRITES)
    assert watched.writes[FLIP][1]["Item"]["status"] == {"S": "published"}
    assert_settled(table)


@pytest.mark.promise("begun-write")
def test_a_reader_sees_nothing_before_the_decisive_write_and_all_after_it(
    table: Table, dynamo: DynamoStore
) -> None:
    processing, seen = begin(dynamo), list[tuple[int, list[str]]]()

    def look(number: int) -> None:
        seen.append((number, list(visible(dynamo))))

    publish(DynamoStore(watch(table, before=look, after=look), table.name), processing)

    before = [names for number, names in seen[: 2 * FLIP + 1]]
    after = [names for number, names in seen[2 * FLIP + 1 :]]
    assert before == [NONE] * len(before)
    assert after == [ALL] * len(after)


@pytest.mark.promise("begun-write")
@pytest.mark.parametrize("hook", ["before", "after"])
@pytest.mark.parametrize("number", WRITES)
def test_a_publish_that_crashed_at_a_write_is_whole_or_absent_and_may_be_repeated(
    table: Table, dynamo: DynamoStore, number: int, hook: str
) -> None:
    processing = begin(dynamo)
    crashing = DynamoStore(watch(table, **{hook: crash_at(number)}), table.name)
    with pytest.raises(CrashError):
        publish(crashing, processing)
    is_over = number > FLIP or (number == FLIP and hook == "after")
    assert visible(dynamo) == (ALL if is_over else NONE)

    publish_again(dynamo)

    assert visible(dynamo) == ALL
    assert_settled(table)


@pytest.mark.promise("immutable-file")
@pytest.mark.parametrize("hook", ["before", "after"])
@pytest.mark.parametrize("number", WRITES)
def test_an_upload_at_any_write_of_a_publish_wins_or_loses_as_a_whole(
    table: Table, dynamo: DynamoStore, number: int, hook: str
) -> None:
    processing, told = begin(dynamo), list[type[Exception] | None]()

    def upload(write: int) -> None:
        if write == number:
            try:
                dynamo.add_file(RIVAL)
            except (AlreadyPublishedError, ReservedError) as refusal:
                told.append(type(refusal))
            else:
                told.append(None)

    store = DynamoStore(watch(table, **{hook: upload}), table.name)
    taken = store.reserve(processing, records(BOTH))
    if not taken:
        assert store.publish_session(processing.published(NOW))

    if told == [None]:
        assert (taken, visible(dynamo)) == ([SDIST], [SDIST])
    else:
        is_over = number > FLIP or (number == FLIP and hook == "after")
        assert told == [AlreadyPublishedError if is_over else ReservedError]
        assert visible(dynamo) == ALL


@pytest.mark.parametrize("number", WRITES)
def test_an_interrupted_publish_never_loses_a_file_to_the_upload_that_ended_it(
    table: Table, dynamo: DynamoStore, number: int
) -> None:
    """The publish is slow: an upload takes it for interrupted, and then it goes on."""
    processing = begin(dynamo)
    later = file(SDIST, sha256="2" * 64, uploaded_at=AFTER)

    def upload(write: int) -> None:
        if write == number:
            try:
                dynamo.add_file(later)
            except AlreadyPublishedError:
                assert visible(dynamo) == ALL

    store = DynamoStore(watch(table, before=upload), table.name)
    is_published = not store.reserve(processing, records(BOTH)) and store.publish_session(
        processing.published(NOW)
    )

    assert visible(dynamo) == (ALL if is_published else [SDIST])


def test_a_publish_that_was_rolled_back_leaves_no_reservation(
    table: Table, dynamo: DynamoStore
) -> None:
    processing = begin(dynamo)
    dynamo.save_session(processing.failed("interrupted"), processing)
    dynamo.reserve(processing, records(BOTH))

    assert not dynamo.publish_session(processing.published(NOW))

    assert not any("document" in item for item in rows(table, "PROJECT#"))


def test_a_settled_publish_is_not_settled_again(table: Table, dynamo: DynamoStore) -> None:
    processing = begin(dynamo)
    publish(dynamo, processing)
    watched = watch(table)

    assert DynamoStore(watched, table.name).publish_session(processing.published(NOW))

    # The listing's marks, the list of projects, the session, and the row that finds it.
    names = [name for name, _ in watched.writes]
    assert names == ["update_item", *["put_item"] * 3, "update_item"]


def test_many_rows_are_written_by_several_threads(
    table: Table, dynamo: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_FEW", 1)

    publish(dynamo, begin(dynamo))

    assert visible(dynamo) == ALL
    assert_settled(table)


def test_a_session_ends_by_its_time_to_live(table: Table, dynamo: DynamoStore) -> None:
    dynamo.add_session(BOTH)
    (item,) = rows(table, "SESSION#")
    (pointer,) = rows(table, "LIVE#")
    assert ends_at(item) == BOTH.expires_at + RETENTION
    assert ends_at(pointer) == BOTH.expires_at

    canceled = BOTH.changed(status=SessionStatus.CANCELED, ended_at=NOW + timedelta(hours=1))
    dynamo.save_session(canceled, BOTH)

    (item,) = rows(table, "SESSION#")
    assert ends_at(item) == NOW + timedelta(hours=1) + RETENTION


def test_the_row_of_a_published_session_stays_while_its_files_need_it(
    table: Table, dynamo: DynamoStore
) -> None:
    processing = begin(dynamo)
    crashing = DynamoStore(watch(table, after=crash_at(FLIP)), table.name)
    with pytest.raises(CrashError):
        publish(crashing, processing)
    (item,) = rows(table, "SESSION#")
    assert ends_at(item) is None

    dynamo.publish_session(processing.published(NOW))

    (item,) = rows(table, "SESSION#")
    assert ends_at(item) == NOW + RETENTION


def test_the_next_session_of_a_version_settles_what_the_last_one_published(
    table: Table, dynamo: DynamoStore
) -> None:
    crashing = DynamoStore(watch(table, after=crash_at(FLIP)), table.name)
    with pytest.raises(CrashError):
        publish(crashing, begin(dynamo))

    second = session(number=2)
    assert dynamo.add_session(second) == second

    files = rows(table, "PROJECT#")
    assert not any("reserved_by" in item for item in files)
    assert visible(dynamo) == ALL


def test_settling_makes_no_row_of_a_session_that_is_gone(table: Table, dynamo: DynamoStore) -> None:
    published = begin(dynamo).published(NOW)
    dynamo.reserve(BOTH.processing(NOW), records(BOTH))
    dynamo.publish_session(published)
    key = {"pk": {"S": f"SESSION#{BOTH.token}"}, "sk": {"S": "SESSION"}}
    table.client.delete_item(TableName=table.name, Key=key)

    dynamo._finish(published)

    assert dynamo.find_session(BOTH.token) is None
    assert visible(dynamo) == ALL


def test_a_released_name_leaves_a_row_that_goes(table: Table, dynamo: DynamoStore) -> None:
    processing = begin(dynamo)
    dynamo.reserve(processing, records(BOTH))
    dynamo.save_session(processing.failed("a file is damaged"), processing)

    dynamo.release(processing)

    for item in rows(table, "PROJECT#"):
        assert set(item) == {"pk", "sk", "ttl"}
        assert ends_at(item) == NOW


@pytest.mark.parametrize("hook", ["before", "after"])
@pytest.mark.parametrize("number", range(2))
def test_a_session_whose_creation_crashed_is_not_in_the_way(
    table: Table, dynamo: DynamoStore, number: int, hook: str
) -> None:
    crashing = DynamoStore(watch(table, **{hook: crash_at(number)}), table.name)
    with pytest.raises(CrashError):
        crashing.add_session(BOTH)

    in_force = dynamo.add_session(session(number=2))

    assert in_force == (BOTH if (number, hook) == (1, "after") else session(number=2))
    assert dynamo.find_session(in_force.token) == in_force


def test_a_session_that_loses_against_another_is_withdrawn(
    table: Table, dynamo: DynamoStore
) -> None:
    def be_faster(number: int) -> None:
        if number == 1:
            dynamo.add_session(session(number=2))

    store = DynamoStore(watch(table, before=be_faster), table.name)

    assert store.add_session(BOTH) == session(number=2)

    assert list(dynamo.list_sessions(NOW)) == [session(number=2)]


def test_two_last_sessions_at_once_are_not_one_too_many(
    table: Table, dynamo: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_rows, "MAX_SESSIONS", 1)

    def be_faster(number: int) -> None:
        if number == 1:
            dynamo.add_session(session(number=2, key="2"))

    store = DynamoStore(watch(table, before=be_faster), table.name)
    with pytest.raises(TooManySessionsError):
        store.add_session(BOTH)

    assert list(dynamo.list_sessions(NOW)) == [session(number=2, key="2")]


def test_a_list_that_crosses_a_publish_is_asked_again(
    dynamo: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(dynamo, begin(dynamo))
    query, answers = dynamo._query, list[int]()

    def miss_one(pk: str, prefix: str = "") -> list[dict[str, Any]]:
        found = list(query(pk, prefix))
        answers.append(len(found))
        return found[len(answers) == 1 :]

    monkeypatch.setattr(dynamo, "_query", miss_one)

    assert [each.filename for each in dynamo.list_files("acme", "widgets")] == ALL
    assert answers == [2, 2]


def test_a_survey_that_crosses_a_publish_is_asked_again(
    dynamo: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(dynamo, begin(dynamo))
    query, answers = dynamo._query, list[int]()

    def miss_one(pk: str, prefix: str = "") -> list[dict[str, Any]]:
        found = list(query(pk, prefix))
        if prefix != "FILE#":
            return found
        answers.append(len(found))
        return found[len(answers) == 1 :]

    monkeypatch.setattr(dynamo, "_query", miss_one)

    found = [piece for piece in dynamo.survey("acme") if isinstance(piece, PublishedFile)]

    assert sorted(each.filename for each in found) == ALL
    assert answers == [2, 2]


def test_half_a_batch_is_no_answer(table: Table, dynamo: DynamoStore) -> None:
    publish(dynamo, begin(dynamo))
    key = {"pk": {"S": "PROJECT#acme#widgets"}, "sk": {"S": f"FILE#{SDIST}"}}
    table.client.delete_item(TableName=table.name, Key=key)

    with pytest.raises(StoreUnavailable):
        dynamo.list_files("acme", "widgets")


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.add_session(BOTH),
        lambda store: store.list_files("acme", "widgets"),
        lambda store: store.add_file(RIVAL),
    ],
    ids=["add_session", "list_files", "add_file"],
)
def test_a_call_that_is_disturbed_for_ever_says_so(
    dynamo: DynamoStore, monkeypatch: pytest.MonkeyPatch, call: Callable[[DynamoStore], Any]
) -> None:
    for module in (file_rows, reservations, session_rows):
        monkeypatch.setattr(module, "ATTEMPTS", 0)

    with pytest.raises(StoreUnavailable, match="try again"):
        call(dynamo)
