"""Writes that must not wait: when they are durable, and what they do when others write."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.protocols import AlreadyExchangedError
from pytp_broker.storage.sqlite import SqliteStore, at_once
from pytp_broker.storage.sqlite.at_once import NotOurTurnError, WouldWaitError, WritesAtOnce
from pytp_broker.storage.sqlite.batches import Batch
from tests.support.samples import record

PATIENCE = 60.0


class Desk:
    """A store, the writes of one thread that must not wait, and a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ticks = 0.0
        self.store = SqliteStore(path)
        self.writes = WritesAtOnce(self.store.writer, lambda: self.ticks)
        self.at_once = self.store.writing_by(self.writes)
        self.calls: list[str] = []

    def add(self, name: str) -> None:
        self.at_once.add_token(record(name, lookup_id=name))

    def added(self) -> list[str]:
        """Return what another process sees."""
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT lookup_id FROM tokens ORDER BY lookup_id")
            return [name for (name,) in rows]

    def is_in_file(self, name: str) -> bool:
        """Say whether what was added has left the log for its place in the file."""
        return name.encode() in self.path.read_bytes()

    def call(self) -> None:
        self.calls.append("our turn")

    @contextmanager
    def others_writing(self) -> Iterator[None]:
        """Let another thread have the turn."""
        self.store.writer._turns.take(PATIENCE)
        yield
        self.store.writer._turns.end()

    def let_a_thread_leave_its_batch(self, pool: ThreadPoolExecutor) -> "Future[None]":
        """Let a thread write and find us waiting, so that it leaves the commit to us."""
        with self.others_writing():
            thread = pool.submit(self.store.add_token, record(lookup_id="thread"))
            wait_until(lambda: len(self.store.writer._turns._waiting) == 1)
            self.writes.ask(self.call)
        wait_until(lambda: bool(self.calls))
        return thread

    @contextmanager
    def another_process_writing(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield


@pytest.fixture
def desk(quick_path: Path) -> Iterator[Desk]:
    desk = Desk(quick_path / "broker.db")
    yield desk
    desk.store.close()


def test_nothing_is_durable_before_the_commit(desk: Desk) -> None:
    desk.add("a")

    assert desk.added() == []


def test_one_commit_makes_all_writes_durable(desk: Desk) -> None:
    desk.add("a")
    desk.add("b")

    assert desk.writes.commit()
    assert desk.added() == ["a", "b"]


def test_a_commit_of_nothing_is_durable(desk: Desk) -> None:
    assert desk.writes.commit()


def test_writes_are_counted_from_the_start_on(desk: Desk) -> None:
    desk.add("a")
    desk.writes.commit()
    desk.add("b")

    assert desk.writes.writes == 2


def test_a_write_that_fails_is_undone_alone(desk: Desk) -> None:
    desk.add("a")
    with pytest.raises(AlreadyExchangedError):
        desk.at_once.add_token(record("another", lookup_id="a"))

    assert desk.writes.commit()
    assert desk.added() == ["a"]


def test_writes_that_are_given_up_leave_nothing(desk: Desk) -> None:
    desk.add("a")
    desk.writes.spoil()

    assert not desk.writes.commit()
    assert desk.added() == []


def test_to_give_up_nothing_spoils_no_later_write(desk: Desk) -> None:
    desk.writes.spoil()
    desk.add("a")

    assert desk.writes.commit()


def test_a_commit_that_the_disk_refuses_leaves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add("a")
    assert desk.writes._open
    desk.writes._open.connection.execute("ROLLBACK")  # as SQLite does itself when a disk fails

    assert not desk.writes.commit()
    assert desk.added() == []


def test_the_next_write_after_a_commit_that_failed_is_durable(desk: Desk) -> None:
    desk.add("a")
    desk.writes.spoil()
    desk.writes.commit()
    desk.add("b")

    assert desk.writes.commit()
    assert desk.added() == ["b"]


def test_a_long_write_is_left_to_another_thread(desk: Desk) -> None:
    with pytest.raises(WouldWaitError), desk.writes.writing(0, is_alone=True):
        pass


@pytest.mark.parametrize(
    ("took", "rest"), [(at_once.SLOW_SECONDS, 0), (0.025, 1.25), (0.5, 25), (4, 60)]
)
def test_after_a_slow_commit_other_threads_wait_for_the_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, took: float, rest: float
) -> None:
    desk.add("a")
    end_now = desk.store.writer.end_now

    def end_slowly(batch: Batch) -> None:
        end_now(batch)
        desk.ticks += took

    monkeypatch.setattr(desk.store.writer, "end_now", end_slowly)
    assert desk.writes.commit()

    if rest:
        desk.ticks += rest * 0.99
        with pytest.raises(WouldWaitError):
            desk.add("b")
        desk.ticks += rest * 0.01
    desk.add("b")


def test_while_another_thread_writes_it_is_not_our_turn(desk: Desk) -> None:
    with desk.others_writing(), pytest.raises(NotOurTurnError):
        desk.add("a")

    assert desk.writes.writes == 0


def test_who_asks_for_a_turn_is_called_when_the_other_write_ends(desk: Desk) -> None:
    with desk.others_writing():
        desk.writes.ask(desk.call)
        assert desk.calls == []

    assert desk.calls == ["our turn"]


def test_who_asks_for_a_free_turn_is_called_at_once(desk: Desk) -> None:
    desk.writes.ask(desk.call)

    assert desk.calls == ["our turn"]


def test_in_its_turn_it_writes(desk: Desk) -> None:
    desk.writes.ask(desk.call)

    assert desk.writes.begin()
    desk.add("a")
    desk.writes.commit()
    assert desk.added() == ["a"]


def test_a_turn_ends_with_the_commit(desk: Desk) -> None:
    desk.writes.ask(desk.call)
    desk.writes.begin()
    desk.writes.commit()
    desk.store.add_token(record(lookup_id="b"))

    assert desk.added() == ["b"]


def test_who_asks_no_longer_is_not_called(desk: Desk) -> None:
    with desk.others_writing():
        desk.writes.ask(desk.call)
        desk.writes.withdraw(desk.call)

    assert desk.calls == []
    desk.add("a")


def test_a_turn_that_came_too_late_is_given_to_the_next(desk: Desk) -> None:
    desk.writes.ask(desk.call)
    desk.writes.withdraw(desk.call)

    desk.store.add_token(record(lookup_id="a"))
    assert desk.added() == ["a"]


def test_what_threads_had_begun_is_ended_if_our_turn_came_too_late(desk: Desk) -> None:
    with ThreadPoolExecutor(1) as pool:
        thread = desk.let_a_thread_leave_its_batch(pool)
        desk.writes.withdraw(desk.call)
        thread.result(PATIENCE)

    assert desk.added() == ["thread"]
    desk.add("ours")


def test_a_loop_that_has_ended_takes_no_turn(desk: Desk) -> None:
    def gone() -> NoReturn:
        raise RuntimeError("Event loop is closed")

    with desk.others_writing():
        desk.writes.ask(gone)
        desk.writes.ask(desk.call)

    assert desk.calls == ["our turn"]


def test_what_threads_have_begun_is_committed_for_them(desk: Desk) -> None:
    """A thread that finds us waiting leaves its batch to us, and waits for our commit."""
    with ThreadPoolExecutor(1) as pool:
        thread = desk.let_a_thread_leave_its_batch(pool)
        assert desk.writes.begin()
        desk.add("ours")
        assert not thread.done()
        assert desk.writes.commit()
        thread.result(PATIENCE)

    assert desk.added() == ["ours", "thread"]


def test_while_another_process_writes_it_is_not_our_turn(desk: Desk) -> None:
    with desk.another_process_writing(), pytest.raises(NotOurTurnError):
        desk.add("a")


def test_while_another_process_writes_a_turn_begins_nothing_and_ends(desk: Desk) -> None:
    with desk.another_process_writing():
        desk.writes.ask(desk.call)
        assert not desk.writes.begin()

    desk.add("a")


def test_in_a_closed_store_a_turn_begins_nothing(desk: Desk) -> None:
    desk.writes.ask(desk.call)
    desk.store.close()

    assert not desk.writes.begin()


def test_an_error_that_is_not_of_the_store_ends_the_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(desk.store.writer, "_begin", fail)
        with pytest.raises(NotOurTurnError):
            desk.add("a")

    desk.add("b")


def test_a_full_batch_waits_for_another_turn(desk: Desk) -> None:
    for number in range(64):
        desk.add(f"{number:02}")
    desk.writes.has_written = False  # another request is next
    with pytest.raises(NotOurTurnError):
        desk.add("more")

    desk.writes.commit()
    desk.add("more")


def test_a_commit_leaves_everything_in_the_log(desk: Desk) -> None:
    for number in range(300):  # more than the thousand pages after which other commits empty it
        desk.add(f"token {number}")
        desk.writes.commit()

    assert not desk.is_in_file("token 1")


def test_another_thread_empties_the_log(desk: Desk) -> None:
    desk.add("token 1")
    desk.writes.commit()

    desk.store.empty_log()

    assert desk.is_in_file("token 1")


def test_the_log_is_emptied_in_a_turn(desk: Desk) -> None:
    with desk.others_writing(), ThreadPoolExecutor(1) as pool:
        thread = pool.submit(desk.store.empty_log)
        wait_until(lambda: len(desk.store.writer._turns._waiting) == 1)

        assert not thread.done()


def test_a_log_that_is_emptied_now_and_then_stays_small(desk: Desk) -> None:
    sizes = set()
    for number in range(2000):
        desk.add(f"token {number}")
        desk.writes.commit()
        if number % 200 == 199:
            desk.store.empty_log()
            sizes.add(Path(f"{desk.path}-wal").stat().st_size)

    assert max(sizes) < 2 * min(sizes)


def test_a_reader_may_wait_with_a_connection_that_wrote_without_waiting(desk: Desk) -> None:
    desk.add("a")
    desk.writes.commit()

    with desk.store._read() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (4000,)


def test_a_closed_store_empties_no_log(desk: Desk) -> None:
    desk.store.close()

    with pytest.raises(StoreUnavailable):
        desk.store.empty_log()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for another thread to come so far."""
    while not is_so():
        pass
