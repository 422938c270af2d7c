"""What ``apply`` promises on SQLite, where the plan comes before the transaction."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from pytp_broker.audit.record import AuditRecord
from pytp_broker.storage.plan import Plan
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.samples import NOW, configuration, operation, publisher

OWNER = {"repository_owner_id": "9919"}
OTHER_RULES = publisher("id-2", claims={"actor": "other"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as opened:
        opened.apply(configuration(), [publisher()])
        yield opened


def test_an_id_that_a_job_pins_while_the_plan_is_made_is_handed_on(store: SqliteStore) -> None:
    plans: list[Plan] = []

    def describe(plan: Plan) -> Iterable[tuple[AuditRecord, datetime]]:
        if not plans:
            store.pin_publisher(publisher(), OWNER)
        plans.append(plan)
        return [(operation(f"plan {len(plans)}"), NOW)]

    store.apply(configuration(), [OTHER_RULES], describe=describe)

    (kept,) = store.load_setup().publishers.values()
    assert (kept.publisher_id, kept.pins) == ("id-2", OWNER)
    assert [record["change"] for record in store.list_operator_records()] == ["plan 2"]


def test_a_plan_that_was_overtaken_is_shown_again_before_it_is_executed(
    store: SqliteStore, path: Path
) -> None:
    shown: list[Plan] = []

    def describe(plan: Plan) -> Iterable[tuple[AuditRecord, datetime]]:
        if plan.present.configuration.enabled:
            with closing(SqliteStore(path)) as other:
                other.apply(configuration(enabled=False), [publisher()])
        return ()

    def refuse(plan: Plan) -> bool:
        shown.append(plan)
        return False

    store.apply(configuration(), [OTHER_RULES], refuse, describe)

    (plan,) = shown
    assert "~ trusted publishing: on" in plan.lines
    assert set(store.load_setup().publishers) == {publisher().rules_hash}


def test_nobody_waits_for_an_apply_that_changes_nothing(store: SqliteStore, path: Path) -> None:
    shown: list[Plan] = []

    def approve(plan: Plan) -> bool:
        shown.append(plan)
        return True

    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        store.apply(configuration(), [publisher()], approve)

    assert [plan.steps for plan in shown] == [()]


def test_a_plan_without_steps_hands_pins_on(store: SqliteStore) -> None:
    store.apply(configuration(), [publisher(), OTHER_RULES])
    store.pin_publisher(publisher(), OWNER)

    plan = store.apply(configuration(), [publisher(), OTHER_RULES])

    assert plan.steps == ()
    assert {p.publisher_id: p.pins for p in store.load_setup().publishers.values()} == {
        "id-1": OWNER,
        "id-2": OWNER,
    }
