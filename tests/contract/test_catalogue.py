"""The catalogue of the DynamoDB store: runs of `apply` that died or go on, and batches in parts."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pytp_broker.aws.dynamodb import applying, table
from pytp_broker.aws.dynamodb.catalogue import ABANDONED_SECONDS, Catalogue, make_runs
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.dynamodb.table import attributes, values_of
from pytp_broker.errors import StoreUnavailable
from tests.contract.test_dynamodb import watch
from tests.support.samples import NOW, Table, configuration, for_repository, publisher

START = NOW.timestamp()
KEY = ("TRUST#acme#widgets", "TRUST")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def runs_in(found: Table) -> list[dict[str, Any]]:
    rows = map(values_of, found.dump())
    return [row for row in rows if row["sk"].startswith("RUN#")]


def leave_a_run(found: Table, began_at: float = START) -> None:
    (run,) = make_runs("dead", 0, "Dana", (int(began_at), int(began_at)), [KEY])
    found.client.put_item(TableName=found.name, Item=attributes(**run.item()))


def test_a_finished_apply_leaves_no_run(moto_table: Table, clock: Clock) -> None:
    DynamoStore(moto_table.client, moto_table.name, now=clock).apply(configuration(), [publisher()])

    assert runs_in(moto_table) == []


@pytest.mark.parametrize(("seconds", "left"), [(ABANDONED_SECONDS, 1), (ABANDONED_SECONDS + 1, 0)])
def test_a_run_that_died_is_removed_when_it_can_write_no_more(
    moto_table: Table, clock: Clock, seconds: int, left: int
) -> None:
    store = DynamoStore(moto_table.client, moto_table.name, now=clock)
    store.apply(configuration(), [publisher()])
    leave_a_run(moto_table)
    clock.now += seconds

    assert store.apply(configuration(), [publisher()]).lines == ()

    assert len(runs_in(moto_table)) == left


def test_what_a_dead_run_may_have_written_is_read_and_put_right(
    moto_table: Table, clock: Clock
) -> None:
    """Its last write came after another `apply` had put everything right."""
    store = DynamoStore(moto_table.client, moto_table.name, now=clock)
    store.apply(configuration(), [publisher()])
    leave_a_run(moto_table)
    assert store.apply(configuration(), [publisher()]).lines == ()

    store._trust(("acme", "widgets"), {"id of nobody"})
    store.apply(configuration(), [publisher()])

    assert set(store.list_trust([("acme", "widgets")])[("acme", "widgets")]) == {"id-1"}


def test_a_long_run_says_that_it_goes_on(moto_table: Table, clock: Clock) -> None:
    seen: list[int] = []

    def let_time_pass(_: int) -> None:
        seen.extend(row["seen_at"] for row in runs_in(moto_table))
        clock.now += 200

    client = watch(moto_table, after=let_time_pass)
    DynamoStore(client, moto_table.name, now=clock).apply(configuration(), [publisher()])

    ages = [round(START) + 200 * number - at for number, at in enumerate(seen)]
    assert len(seen) > 5
    assert max(ages) < ABANDONED_SECONDS
    assert len(set(seen)) > 2


def test_who_gives_up_says_who_disturbs_it(
    moto_table: Table, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_back_off", lambda _: None)
    monkeypatch.setattr(applying, "MAX_APPLY_ROUNDS", 2)
    mine = DynamoStore(moto_table.client, moto_table.name, now=clock)
    mine.apply(configuration(), [])
    others = iter(range(1000))

    def intrude(_: int) -> None:
        leave_a_run(moto_table)
        disturbing = [for_repository("octo-org/other", f"id-{next(others)}")]
        DynamoStore(moto_table.client, moto_table.name, now=clock).apply(
            configuration(), disturbing
        )

    with pytest.raises(StoreUnavailable) as refused:
        DynamoStore(watch(moto_table, after=intrude), moto_table.name, now=clock).apply(
            configuration(), [publisher()]
        )

    assert refused.value.detail == (
        "Dana has been applying another configuration since 2026-11-22 12:00:00 UTC; run this one"
        " again afterwards"
    )


def test_the_keys_of_a_large_run_are_in_several_rows() -> None:
    keys = [(f"TRUST#acme#{'x' * 200}{number}", "TRUST") for number in range(4000)]

    runs = make_runs("token", 3, "Dana", (1, 2), keys)

    rows = [values_of(attributes(**run.item())) for run in runs]
    assert [run.sk for run in runs] == [f"RUN#token#{n:05}" for n in range(3, 3 + len(runs))]
    assert len(runs) > 2
    assert Catalogue.read(rows).keys_under_way() == set(keys)
    assert all(len(json.dumps(run.keys)) < 400_000 for run in runs)


# Batches that DynamoDB answers in parts


def in_parts(found: Table, operation: str, name: str, parts: int) -> None:
    """Let DynamoDB do one item of a batch at a time, so many times, and then nothing."""
    left = [parts]

    def answer(params: dict[str, Any], **_: Any) -> Any:
        if left[0] <= 0:
            rest = json.loads(params["body"])["RequestItems"]
            empty = {"Responses": {}, name: rest}
            return SimpleNamespace(status_code=200), empty
        left[0] -= 1
        return None

    found.client.meta.events.register(f"before-call.dynamodb.{operation}", answer)


@pytest.mark.parametrize(
    ("operation", "name"),
    [("BatchGetItem", "UnprocessedKeys"), ("BatchWriteItem", "UnprocessedItems")],
)
def test_a_batch_of_which_nothing_is_done_is_no_answer(
    moto_table: Table, monkeypatch: pytest.MonkeyPatch, operation: str, name: str
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    in_parts(moto_table, operation, name, 0)

    with pytest.raises(StoreUnavailable, match="whole request"):
        DynamoStore(moto_table.client, moto_table.name).apply(configuration(), [publisher()])


def test_what_is_left_of_a_batch_is_asked_for_again() -> None:
    asked: list[list[str]] = []

    def call(left: Any) -> Any:
        asked.append([each["n"] for each in left])
        return left[1:]

    table._until_done(call, [{"n": "1"}, {"n": "2"}, {"n": "3"}])

    assert asked == [["1", "2", "3"], ["2", "3"], ["3"]]


def test_many_publishers_are_written_and_read_in_batches(moto_table: Table, clock: Clock) -> None:
    store = DynamoStore(moto_table.client, moto_table.name, now=clock)
    many = [for_repository(f"octo-org/r{n}", f"id-{n}", projects=(f"p-{n}",)) for n in range(120)]
    store.apply(configuration(), many)
    calls: list[str] = []
    moto_table.client.meta.events.register(
        "before-call.dynamodb.*", lambda model, **_: calls.append(model.name)
    )

    assert store.apply(configuration(), many).lines == ()
    assert calls == ["Query"] * 3
    calls.clear()

    assert len(store.load_setup().publishers) == 120
    assert calls == ["Query", "Query", *["BatchGetItem"] * 4]
    calls.clear()

    (line,) = store.apply(configuration(), many[1:]).lines
    assert "octo-org/r0" in line
    assert len(calls) < 20
