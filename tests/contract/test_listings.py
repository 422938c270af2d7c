"""Listings in DynamoDB: one round trip, the same as the rows after every crash, and large ones."""

from collections.abc import Callable
from typing import Any

import pytest

from pytp_broker.aws.api.errors import UnansweredError
from pytp_broker.aws.dynamodb import listing_rows
from pytp_broker.aws.dynamodb.listings import ABANDONED_SECONDS
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.s3_listings import RETIRED, S3Listings
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sessions import Session
from tests.contract.test_dynamodb import CrashError, Watched, crash_at
from tests.contract.test_project_files import PLACE, SDIST, STEPS, WHEEL, recorded
from tests.contract.test_races import race
from tests.contract.test_session_publish import BOTH, begin, records
from tests.support.emulator import Emulator, create_bucket
from tests.support.samples import NOW, Table, file, tombstone

NEXT = file("widgets-3.0.tar.gz", version="3.0")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dynamo(table: Table, clock: Clock) -> DynamoStore:
    return DynamoStore(table.client, table.name, now=clock)


@pytest.fixture
def calls(table: Table) -> list[str]:
    return note_calls(table.client)


def note_calls(*clients: Any) -> list[str]:
    """Return the list in which the name of every further call is noted."""
    noted: list[str] = []

    def note(model: Any, **_: Any) -> None:
        noted.append(model.name)

    for client in clients:
        client.meta.events.register("before-call", note)
    return noted


def reads_of(store: Store, calls: list[str]) -> list[str]:
    """Return the calls of a page, which must show what the records have."""
    expected = recorded(store)
    calls.clear()
    assert store.find_files(*PLACE) == expected
    return [*calls]


FROM_LISTING = ["BatchGetItem"]
FROM_ROWS = ["BatchGetItem", "Query", "Query"]
# The listing, and the rows of the files that marks name.
WITH_NAMED = ["BatchGetItem", "BatchGetItem"]


def test_a_page_is_one_round_trip_after_every_change(dynamo: DynamoStore, calls: list[str]) -> None:
    for step in STEPS:
        step(dynamo)

        assert reads_of(dynamo, calls) == FROM_LISTING


def test_a_further_file_is_six_round_trips(dynamo: DynamoStore, calls: list[str]) -> None:
    dynamo.add_file(file(SDIST))
    calls.clear()

    dynamo.add_file(file(WHEEL))

    # The mark, the project, the file; then the listing, the file and its tombstone, and the marks.
    assert calls == [
        *("UpdateItem", "PutItem", "PutItem"),
        *("BatchGetItem", "BatchGetItem", "PutItem", "UpdateItem"),
    ]


def announce_and_add(store: Store) -> None:
    store.add_file(file(WHEEL), store.announce_file(*PLACE, WHEEL))


def test_an_announced_file_is_three_round_trips_after_its_announcement(
    dynamo: DynamoStore, calls: list[str]
) -> None:
    dynamo.add_file(file(SDIST))
    calls.clear()

    announcement = dynamo.announce_file(*PLACE, WHEEL)

    assert announcement.files == [file(SDIST)]
    assert calls == ["UpdateItem", "PutItem", "BatchGetItem"]
    calls.clear()
    dynamo.add_file(file(WHEEL), announcement)
    # The file, the listing with it, and the marks.
    assert calls == ["PutItem", "PutItem", "UpdateItem"]
    assert reads_of(dynamo, calls) == FROM_LISTING


def test_an_announced_file_that_is_not_added_leaves_its_mark(
    dynamo: DynamoStore, calls: list[str]
) -> None:
    dynamo.add_file(file(SDIST))
    dynamo.announce_file(*PLACE, WHEEL)

    assert reads_of(dynamo, calls) == WITH_NAMED


def test_an_announced_file_that_was_added_and_deleted_before_is_not_shown(
    dynamo: DynamoStore, calls: list[str]
) -> None:
    dynamo.add_file(file(SDIST))
    dynamo.add_file(file(WHEEL))
    dynamo.delete_file(*PLACE, WHEEL, tombstone())

    announce_and_add(dynamo)

    assert reads_of(dynamo, calls) == FROM_LISTING


def _others_publish(store: DynamoStore) -> None:
    store.add_file(NEXT)


def _others_yank(store: DynamoStore) -> None:
    store.yank_release(*PLACE, "1", "breaks")


def _others_announce(store: DynamoStore) -> None:
    store.add_file(NEXT, store.announce_file(*PLACE, NEXT.filename))


@pytest.mark.parametrize("others", [_others_publish, _others_yank, _others_announce])
def test_what_others_change_between_an_announcement_and_its_file_is_shown(
    dynamo: DynamoStore, calls: list[str], others: Callable[[DynamoStore], None]
) -> None:
    dynamo.add_file(file(SDIST))
    announcement = dynamo.announce_file(*PLACE, WHEEL)
    others(dynamo)

    dynamo.add_file(file(WHEEL), announcement)

    assert reads_of(dynamo, calls) == FROM_LISTING


def test_an_announcement_that_is_as_old_as_a_dead_writers_is_made_anew(
    dynamo: DynamoStore, calls: list[str], clock: Clock
) -> None:
    dynamo.add_file(file(SDIST))
    announcement = dynamo.announce_file(*PLACE, WHEEL)
    clock.now += ABANDONED_SECONDS + 1
    dynamo.add_file(NEXT)

    dynamo.add_file(file(WHEEL), announcement)

    assert reads_of(dynamo, calls) == FROM_LISTING


def test_two_files_that_are_announced_together_are_both_shown(
    dynamo: DynamoStore, calls: list[str]
) -> None:
    dynamo.add_file(file(SDIST))
    announcements = [dynamo.announce_file(*PLACE, name) for name in (WHEEL, NEXT.filename)]

    dynamo.add_file(file(WHEEL), announcements[0])
    assert reads_of(dynamo, calls) == WITH_NAMED
    dynamo.add_file(NEXT, announcements[1])

    assert reads_of(dynamo, calls) == FROM_LISTING


def test_a_page_of_older_rows_is_read_from_them(
    dynamo: DynamoStore, table: Table, calls: list[str]
) -> None:
    dynamo.add_file(file(SDIST))
    remove_listing(table)

    assert reads_of(dynamo, calls) == FROM_ROWS

    dynamo.add_file(file(WHEEL))
    assert reads_of(dynamo, calls) == FROM_LISTING


def remove_listing(table: Table) -> None:
    for item in table.dump():
        if item["pk"]["S"].startswith("LISTING#"):
            table.client.delete_item(
                TableName=table.name, Key={key: item[key] for key in ("pk", "sk")}
            )


CHANGES: dict[str, Callable[[Store], Any]] = {
    "add": lambda store: store.add_file(file(WHEEL)),
    "announce and add": announce_and_add,
    "yank": lambda store: store.yank_release(*PLACE, "1", "breaks"),
    "delete": lambda store: store.delete_file(*PLACE, SDIST, tombstone()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(6))
def test_a_crash_at_a_write_never_hides_a_change(
    moto_table: Table, change: Callable[[Store], Any], when: str, number: int
) -> None:
    table, clock, calls = moto_table, Clock(), note_calls(moto_table.client)
    dynamo = DynamoStore(table.client, table.name, now=clock)
    dynamo.add_file(file(SDIST))
    hook = {when: crash_at(number)}
    client: Any = Watched(table.client, **hook)
    try:
        change(DynamoStore(client, table.name, now=clock))
    except CrashError:
        pass
    else:
        assert number >= len(client.writes)
    reads_of(dynamo, calls)

    # The next writer brings the listing up to date: at once, or when the mark is old.
    clock.now += ABANDONED_SECONDS + 1
    dynamo.add_file(NEXT)
    assert reads_of(dynamo, calls) == FROM_LISTING


@pytest.mark.parametrize(
    ("name", "page"),
    [("put_item", WITH_NAMED), ("update_item", FROM_LISTING), ("batch_get_item", WITH_NAMED)],
)
def test_a_listing_that_cannot_be_written_fails_no_upload(
    dynamo: DynamoStore, table: Table, calls: list[str], name: str, page: list[str]
) -> None:
    dynamo.add_file(file(SDIST))
    client: Any = FailingLater(table.client, name)
    DynamoStore(client, table.name).add_file(file(WHEEL))

    assert reads_of(dynamo, calls) == page


class FailingLater:
    """A client that does not answer one operation after the file is there."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        self._is_failing = False

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)

        def call(**request: Any) -> Any:
            if self._is_failing and name == self._name:
                raise StoreUnavailable("the store did not answer")
            answer = operation(**request)
            self._is_failing |= "FILE#" in str(request.get("Item"))
            return answer

        return call


def test_a_change_that_fails_leaves_its_mark(
    dynamo: DynamoStore, table: Table, calls: list[str], clock: Clock
) -> None:
    dynamo.add_file(file(SDIST))
    client: Any = Watched(table.client, before=crash_at(2))
    with pytest.raises(CrashError):
        DynamoStore(client, table.name, now=clock).add_file(file(WHEEL))
    dynamo.add_file(NEXT)

    # The writer of the mark may still be alive, and make its change.
    assert reads_of(dynamo, calls) == WITH_NAMED
    dynamo.add_file(file(WHEEL))
    assert reads_of(dynamo, calls) == FROM_LISTING


@pytest.mark.promise("many-files")
def test_a_page_is_read_from_all_rows_after_a_yank_that_was_interrupted(
    dynamo: DynamoStore, table: Table, calls: list[str], clock: Clock
) -> None:
    dynamo.add_file(file(SDIST))
    client: Any = Watched(table.client, after=crash_at(1))
    with pytest.raises(CrashError):
        DynamoStore(client, table.name, now=clock).yank_release(*PLACE, "1", "breaks")

    assert reads_of(dynamo, calls) == FROM_ROWS
    dynamo.yank_release(*PLACE, "1", "breaks")
    assert reads_of(dynamo, calls) == FROM_ROWS
    clock.now += ABANDONED_SECONDS + 1
    dynamo.add_file(file(WHEEL))
    assert reads_of(dynamo, calls) == FROM_LISTING


def test_a_writer_that_lost_its_mark_includes_its_change(
    dynamo: DynamoStore, table: Table, calls: list[str], clock: Clock
) -> None:
    dynamo.add_file(file(SDIST))

    def sleep(number: int) -> None:
        if number == 1:
            clock.now += ABANDONED_SECONDS + 1
            dynamo.add_file(NEXT)

    slow: Any = Watched(table.client, before=sleep)
    DynamoStore(slow, table.name, now=clock).add_file(file(WHEEL))

    assert reads_of(dynamo, calls) == FROM_LISTING


def test_a_listing_read_before_its_marks_is_not_taken(
    dynamo: DynamoStore, table: Table, calls: list[str]
) -> None:
    dynamo.add_file(file(SDIST))
    (old,) = (item for item in table.dump() if item["sk"]["S"] == "CONTENT")
    dynamo.add_file(file(WHEEL))
    table.client.put_item(TableName=table.name, Item=old)

    assert reads_of(dynamo, calls) == FROM_ROWS


def test_a_writer_that_loses_eight_times_leaves_its_mark(
    dynamo: DynamoStore, table: Table, calls: list[str], clock: Clock
) -> None:
    dynamo.add_file(file(SDIST))

    def intrude(number: int) -> None:
        if number > 1:
            dynamo.add_file(file(f"widgets-3.{number}.tar.gz", version=f"3.{number}"))

    client: Any = Watched(table.client, before=intrude)
    DynamoStore(client, table.name, now=clock).yank_release(*PLACE, "1", "loses")

    assert len(client.writes) == 2 + 8
    assert reads_of(dynamo, calls) == FROM_ROWS


def test_a_writer_that_is_overtaken_leaves_what_the_other_wrote(
    dynamo: DynamoStore, table: Table, calls: list[str], clock: Clock
) -> None:
    dynamo.add_file(file(SDIST))

    def overtake(number: int) -> None:
        if number == 4:
            dynamo.add_file(NEXT)

    client: Any = Watched(table.client, before=overtake)
    DynamoStore(client, table.name, now=clock).add_file(file(WHEEL))

    assert len(client.writes) == 6
    assert reads_of(dynamo, calls) == FROM_LISTING


# Publishing sessions


def publish(store: DynamoStore, processing: Session) -> None:
    assert not store.reserve(processing, records(BOTH))
    store.publish_session(processing.published(NOW))


@pytest.mark.parametrize("number", range(11))
def test_a_page_after_a_publish_that_was_interrupted_is_made_from_the_listing(
    moto_table: Table, number: int
) -> None:
    dynamo, calls = DynamoStore(moto_table.client, moto_table.name), note_calls(moto_table.client)
    dynamo.add_file(NEXT)
    processing = begin(dynamo)
    client: Any = Watched(moto_table.client, after=crash_at(number))
    store = DynamoStore(client, moto_table.name)
    with pytest.raises(CrashError):
        publish(store, processing)

    found = reads_of(dynamo, calls)

    # The session's row says whether a reserved file is published.
    assert [call for call in found if call != "GetItem"] in (FROM_LISTING, WITH_NAMED)


def test_half_of_what_was_published_together_is_looked_for_in_all_rows(
    dynamo: DynamoStore, table: Table, calls: list[str]
) -> None:
    dynamo.add_file(NEXT)
    processing = begin(dynamo)
    client: Any = Watched(table.client, after=crash_at(4))
    store = DynamoStore(client, table.name)
    with pytest.raises(CrashError):
        publish(store, processing)
    (marks,) = (item for item in table.dump() if item["sk"]["S"] == "MARKS")
    half = {**marks, "marks": {"SS": marks["marks"]["SS"][:1]}}
    table.client.put_item(TableName=table.name, Item=half)

    found = [call for call in reads_of(dynamo, calls) if call != "GetItem"]

    assert found == ["BatchGetItem", *FROM_ROWS]


# Large listings


class Large:
    """A store for whose rows every listing is too large, and the bucket."""

    def __init__(self, s3: Any, table: Table) -> None:
        self.table, self.s3, self.bucket = table, s3, create_bucket(s3)
        self.listings = S3Listings(lambda: s3, self.bucket)
        self.store = DynamoStore(table.client, table.name, self.listings)

    @property
    def keys(self) -> list[str]:
        """Return the keys of the listings that the lifecycle rule does not remove."""
        found = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [o["Key"] for o in found if not self._tags_of(o["Key"])]

    def _tags_of(self, key: str) -> list[Any]:
        tags: list[Any] = self.s3.get_object_tagging(Bucket=self.bucket, Key=key)["TagSet"]
        assert tags in ([], [RETIRED])
        return tags


@pytest.fixture
def large(moto_s3: Any, moto_table: Table, monkeypatch: pytest.MonkeyPatch) -> Large:
    monkeypatch.setattr(listing_rows, "MAX_INLINE_BYTES", 0)
    return Large(moto_s3, moto_table)


@pytest.fixture
def large_calls(large: Large) -> list[str]:
    return note_calls(large.table.client, large.s3)


def test_a_large_listing_is_in_the_bucket(large: Large, large_calls: list[str]) -> None:
    for step in STEPS:
        step(large.store)

        assert reads_of(large.store, large_calls) == ["BatchGetItem", "GetObject"]
        (key,) = large.keys
        assert key.startswith("listings/acme/widgets/")


def test_a_listing_that_lost_is_retired(large: Large) -> None:
    large.store.add_file(file(SDIST))

    def intrude(number: int) -> None:
        if number == 3:
            large.store.add_file(NEXT)

    client: Any = Watched(large.table.client, before=intrude)
    DynamoStore(client, large.table.name, large.listings).add_file(file(WHEEL))

    assert len(large.keys) == 1
    assert large.store.find_files(*PLACE) == recorded(large.store)


def test_a_listing_that_the_bucket_lost_is_read_from_the_rows(
    large: Large, large_calls: list[str]
) -> None:
    large.store.add_file(file(SDIST))
    (key,) = large.keys
    large.s3.delete_object(Bucket=large.bucket, Key=key)

    assert reads_of(large.store, large_calls) == ["BatchGetItem", "GetObject", "Query", "Query"]
    large.store.add_file(file(WHEEL))
    assert reads_of(large.store, large_calls) == ["BatchGetItem", "GetObject"]


def test_without_a_bucket_a_large_project_has_no_listing(
    large: Large, large_calls: list[str]
) -> None:
    large.store.add_file(file(SDIST))
    bare = DynamoStore(large.table.client, large.table.name)
    assert reads_of(bare, large_calls) == FROM_ROWS

    bare.add_file(file(WHEEL))

    assert reads_of(large.store, large_calls) == FROM_ROWS
    large.store.add_file(NEXT)
    assert reads_of(large.store, large_calls) == ["BatchGetItem", "GetObject"]


@pytest.mark.parametrize("name", ["put_object", "get_object", "put_object_tagging"])
def test_a_bucket_that_does_not_answer_fails_no_upload(large: Large, name: str) -> None:
    large.store.add_file(file(SDIST))
    deaf = S3Listings(lambda: DeafBucket(large.s3, name), large.bucket)  # type: ignore[arg-type, return-value]

    DynamoStore(large.table.client, large.table.name, deaf).add_file(file(WHEEL))

    assert large.store.find_files(*PLACE) == recorded(large.store)


class DeafBucket:
    """A client of S3 that does not answer one operation."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            return _fail
        return getattr(self._client, name)


def _fail(**_: Any) -> None:
    raise UnansweredError("GetObject", "ConnectionRefusedError", "refused")


def test_a_page_is_unavailable_while_the_bucket_does_not_answer(large: Large) -> None:
    large.store.add_file(file(SDIST))
    deaf = S3Listings(lambda: DeafBucket(large.s3, "get_object"), large.bucket)  # type: ignore[arg-type, return-value]

    with pytest.raises(StoreUnavailable):
        DynamoStore(large.table.client, large.table.name, deaf).find_files(*PLACE)


# Many writers


@pytest.mark.ministack
@pytest.mark.parametrize("max_inline_bytes", [listing_rows.MAX_INLINE_BYTES, 0])
def test_parallel_writers_of_one_project_leave_no_mark(
    ministack_table: Table,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    max_inline_bytes: int,
) -> None:
    monkeypatch.setattr(listing_rows, "MAX_INLINE_BYTES", max_inline_bytes)
    s3 = emulator.client("s3")
    listings = S3Listings(lambda: s3, create_bucket(s3))
    store = DynamoStore(ministack_table.client, ministack_table.name, listings)

    race(64, lambda n: store.add_file(file(f"widgets-1.{n}.tar.gz", version=f"1.{n}")))

    found = store.find_files(*PLACE)
    assert found is not None
    assert len(found.files) == 64
    assert reads_of(store, note_calls(ministack_table.client)) == FROM_LISTING
