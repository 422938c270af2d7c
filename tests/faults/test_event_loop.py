"""Exchanges and burns on the event loop of `serve`: a fault meets each call of a turn.

Whatever fails, each request gets one answer, or goes the usual way once. Then the outcome is that
of requests that met no fault.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.sqlite.at_once import WouldWaitError
from tests.faults.engines import SqliteEngines, dump_sqlite
from tests.faults.injection import Fault, Line
from tests.faults.stage import Clients
from tests.faults.statements import StoreOnLine
from tests.faults.turns import Fate, Lay, StoreCalledOnLine, Turn, find_commit
from tests.unit.local.test_at_once import MINT

FAULTS_OF_CALLS = [
    (StoreCalledOnLine, partial(StoreUnavailable, "no answer"), Fault.BEFORE),
    *(
        (StoreCalledOnLine, error, fault)
        for error in (partial(KeyError, "unexpected"), WouldWaitError)
        for fault in (Fault.BEFORE, Fault.AFTER)
    ),
]
FAULTS_OF_STATEMENTS = [
    (StoreOnLine, error, fault)
    for error in (partial(sqlite3.OperationalError, "disk I/O error"), MemoryError)
    for fault in (Fault.BEFORE, Fault.AFTER, Fault.THROTTLED)
]


def name(value: Any) -> str:
    return str(getattr(getattr(value, "func", value), "__name__", value))


when_it_comes = pytest.mark.parametrize("in_line", [False, True], ids=["free", "in_line"])


@when_it_comes
@pytest.mark.parametrize(
    ("lay", "error", "fault"), [*FAULTS_OF_CALLS, *FAULTS_OF_STATEMENTS], ids=name
)
def test_a_fault_at_any_call_of_a_turn_does_no_harm_and_the_usual_way_heals_it(
    sqlite_engines: SqliteEngines,
    caplog: pytest.LogCaptureFixture,
    lay: Lay,
    error: Callable[[], Exception],
    fault: Fault,
    *,
    in_line: bool,
) -> None:
    for number in count():
        with Turn.on(sqlite_engines, lay, Line(error)) as turn:
            was_hit = turn.meet(number, fault, in_line=in_line)
            turn.check_secrets(caplog.text)
        if not was_hit:
            break


MINTS, BURNS = "list_publishers add_token", "burn_token"


@pytest.mark.parametrize(
    ("in_line", "calls"),
    [
        (False, f"{MINTS} {BURNS} {MINTS} {MINTS}"),
        (True, f"{MINTS} {MINTS} {BURNS} {MINTS} {MINTS}"),  # the first finds another writing
    ],
)
def test_the_calls_that_are_broken_are_these(
    sqlite_engines: SqliteEngines, calls: str, *, in_line: bool
) -> None:
    """Without this, a turn that answers nothing at once would pass unnoticed."""
    with Turn.on(sqlite_engines, StoreCalledOnLine, Line()) as turn:
        turn.take(in_line=in_line)

        assert turn.stage.line.calls == calls.split()
        assert [each.status for each in turn.requests] == [200, 202, 200, 422]


# --- the process dies -----------------------------------------------------------------------------


@contextmanager
def found_by_the_next(turn: Turn, folder: Path) -> Iterator[Clients]:
    """Return clients of the server that starts with what another has left in a folder."""
    with closing(SqliteStore(folder / "broker.db")) as store:
        yield Clients(store, turn.stage.engine.files, turn.stage)


def test_a_process_that_dies_before_the_commit_leaves_nothing(
    sqlite_engines: SqliteEngines, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    with Turn.on(sqlite_engines, StoreOnLine, Line()) as turn:
        turn.meanwhile = lambda: shutil.copytree(turn.folder, left)
        turn.take()

        assert dump_sqlite(left / "broker.db") == turn.before
        with found_by_the_next(turn, left) as clients:
            assert clients.introspect(turn.burned).json["active"]
            for identity in (turn.first, turn.second):
                assert [clients.mint(identity).status for _ in range(2)] == [200, 422]


def test_a_process_that_dies_after_the_commit_leaves_all_though_nobody_was_told(
    sqlite_engines: SqliteEngines, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    told: list[int] = []
    with Turn.on(sqlite_engines, StoreOnLine, Line()) as turn:

        def die() -> None:
            told.append(sum(len(each.answers) for each in turn.requests))
            shutil.copytree(turn.folder, left)

        turn.requests[0].on_delivery = die
        turn.take()

        assert told == [0]
        with found_by_the_next(turn, left) as clients:
            assert clients.introspect(turn.burned).json == {"active": False}
            for identity in (turn.first, turn.second):
                assert clients.mint(identity).code == "invalid-reuse-token"


# --- many -----------------------------------------------------------------------------------------


def take_fifty(turn: Turn) -> None:
    turn.requests = [Fate(MINT, turn.first) for _ in range(50)]
    turn.take()


def test_of_fifty_same_exchanges_in_one_turn_one_succeeds(sqlite_engines: SqliteEngines) -> None:
    with Turn.on(sqlite_engines, StoreOnLine, Line()) as turn:
        take_fifty(turn)

        turn.check()
        assert Counter(each.status for each in turn.requests) == {200: 1, 422: 49}
        turn.go_the_usual_way()
        turn.stage.check()


def test_if_the_commit_of_fifty_same_exchanges_fails_one_succeeds_the_usual_way(
    sqlite_engines: SqliteEngines,
) -> None:
    with Turn.on(sqlite_engines, StoreOnLine, Line()) as turn:
        take_fifty(turn)
        commit = find_commit(turn.stage.line.calls)
    with Turn.on(sqlite_engines, StoreOnLine, Line(sqlite3.OperationalError)) as turn:
        turn.stage.line.break_at(commit, Fault.BEFORE)
        take_fifty(turn)
        turn.stage.line.repair()

        turn.check()
        assert [each.ways for each in turn.requests] == [1] * 50
        turn.go_the_usual_way()
        assert Counter(each.status for each in turn.requests) == {200: 1, 422: 49}
        turn.stage.check()
