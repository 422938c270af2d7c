"""Group commit: what threads that write at the same time may rely on."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from pytp_broker.storage.sqlite import batches
from pytp_broker.storage.sqlite.batches import Writer
from pytp_broker.storage.sqlite.turns import Turns

PATIENCE = 60.0
Act = Callable[[], None]


class Connection(sqlite3.Connection):
    """A connection that refuses the next statement that begins with this word."""

    refused = ""
    statements: list[str]

    def execute(self, sql: str, values: object = (), /) -> sqlite3.Cursor:
        self.statements.append(sql.split(maxsplit=1)[0])
        if self.refused and sql.startswith(self.refused):
            self.refused = ""
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, values)  # type: ignore[arg-type] # as it is


class Desk:
    """A writer on a table of names, and threads that write into it at the same time."""

    def __init__(self, path: Path, pool: ThreadPoolExecutor) -> None:
        self.path = path
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE names (name TEXT PRIMARY KEY)")
        self.connection = self._open()
        self.given_back: list[sqlite3.Connection] = []
        self.writer = Writer(lambda: self.connection, self.given_back.append)
        self._pool = pool

    def _open(self) -> Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, factory=Connection
        )
        connection.statements = []
        return connection

    def add(self, name: str, *, is_alone: bool = False) -> None:
        with self.writer.writing(PATIENCE, is_alone=is_alone) as connection:
            connection.execute("INSERT INTO names VALUES (?)", (name,))

    def add_together(self, *names: str, first: Act) -> list[BaseException | None]:
        """Add names from a thread each, in the batch that ``first`` begins."""
        return self.run_together(first, *(partial(self.add, name) for name in names))

    def run_together(self, *acts: Act) -> list[BaseException | None]:
        """Run each in a thread of its own, one after the other; return what each raised."""
        futures = []
        self.writer._turns.take(PATIENCE)  # nobody else has a turn meanwhile
        for number, act in enumerate(acts):
            futures.append(self._pool.submit(act))
            self.wait_for(number + 1)
        self.writer._turns.end()
        return [future.exception(PATIENCE) for future in futures]

    def wait_for(self, count: int) -> None:
        """Wait until so many threads wait for their turn."""
        while len(self.writer._turns._waiting) < count:
            time.sleep(0.001)

    def names(self) -> list[str]:
        """Return what another process sees, in the order of its writing."""
        with closing(sqlite3.connect(self.path)) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM names ORDER BY rowid")]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ThreadPoolExecutor(16) as pool:
        opened = Desk(tmp_path / "names.db", pool)
        yield opened
        opened.connection.close()


def test_writes_that_wait_for_each_other_share_one_commit(desk: Desk) -> None:
    assert desk.add_together("b", "c", "d", first=lambda: desk.add("a")) == [None] * 4

    assert desk.connection.statements.count("COMMIT") == 1
    assert desk.names() == ["a", "b", "c", "d"], "in the order of their coming"
    assert desk.given_back == [desk.connection]


def test_a_write_has_returned_only_when_another_process_sees_it(desk: Desk) -> None:
    seen: dict[str, list[str]] = {}

    def add(name: str) -> None:
        desk.add(name)
        seen[name] = desk.names()

    desk.add_together("c", first=lambda: add("a"))
    add("b")

    assert all(name in names for name, names in seen.items())


def test_a_write_that_fails_undoes_nothing_but_itself(desk: Desk) -> None:
    desk.add("taken")

    def fail() -> None:
        with desk.writer.writing(PATIENCE) as connection:
            connection.execute("INSERT INTO names VALUES ('half')")
            connection.execute("INSERT INTO names VALUES ('taken')")

    first, *others = desk.add_together("b", "c", first=fail)

    assert isinstance(first, sqlite3.IntegrityError)
    assert others == [None, None]
    assert desk.names() == ["taken", "b", "c"]


@pytest.mark.parametrize(
    ("refused", "told", "kept"),
    [
        ("COMMIT", ["failed", "failed"], []),
        ("SAVEPOINT", ["failed", "failed"], []),
        ("RELEASE", ["failed", "written"], ["b"]),  # the second begins a batch of its own
    ],
)
def test_a_batch_that_fails_is_undone_and_all_in_it_are_told(
    desk: Desk, refused: str, told: list[str], kept: list[str]
) -> None:
    def add_and_break() -> None:
        with desk.writer.writing(PATIENCE) as connection:
            connection.execute("INSERT INTO names VALUES ('a')")
            desk.connection.refused = refused

    raised = desk.add_together("b", first=add_and_break)

    assert ["failed" if isinstance(e, sqlite3.Error) else "written" for e in raised] == told
    assert desk.names() == kept


def test_a_batch_that_cannot_undo_one_part_is_undone_whole(desk: Desk) -> None:
    def fail() -> None:
        with desk.writer.writing(PATIENCE) as connection:
            connection.execute("INSERT INTO names VALUES ('a')")
            desk.connection.refused = "ROLLBACK"
            raise ValueError

    desk.add_together(first=fail)

    assert desk.names() == []
    desk.add("later")
    assert desk.names() == ["later"]


def test_a_refusal_that_rests_on_what_was_not_committed_is_not_told(desk: Desk) -> None:
    def refuse() -> None:
        with desk.writer.writing(PATIENCE) as connection:
            taken = connection.execute("SELECT name FROM names").fetchall()
            desk.connection.refused = "COMMIT"
            raise ValueError(taken)

    [added, refused] = desk.run_together(lambda: desk.add("a"), refuse)

    assert isinstance(added, sqlite3.OperationalError)
    assert isinstance(refused, sqlite3.OperationalError)


def test_what_takes_long_shares_its_commit_with_nobody(desk: Desk) -> None:
    desk.add_together("c", first=lambda: desk.add("a", is_alone=True))
    desk.connection.statements.clear()

    desk.run_together(
        lambda: desk.add("d"), lambda: desk.add("e", is_alone=True), lambda: desk.add("f")
    )

    assert desk.connection.statements.count("COMMIT") == 3
    assert desk.names() == ["a", "c", "d", "e", "f"]


def test_a_batch_has_an_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_MAX_PARTS", 2)

    desk.add_together("b", "c", "d", first=lambda: desk.add("a"))

    assert desk.connection.statements.count("COMMIT") == 2


def test_a_thread_that_waits_too_long_leaves_the_others_their_turn(desk: Desk) -> None:
    def give_up() -> None:
        with desk.writer.writing(0):
            raise AssertionError

    desk.writer._turns.take(PATIENCE)
    with pytest.raises(TimeoutError):
        give_up()
    desk.writer._turns.end()

    desk.add("later")
    assert desk.names() == ["later"]


def test_a_turn_that_comes_at_the_last_moment_is_taken() -> None:
    turns = Turns()
    turns.take(0)
    late = turns._ask()

    assert turns.hand_on()

    assert turns._is_given(late)
    assert not turns.hand_on()


def test_who_cannot_begin_ends_its_turn(desk: Desk) -> None:
    desk.connection.refused = "BEGIN"
    with pytest.raises(sqlite3.OperationalError):
        desk.add("a")

    desk.add("b")

    assert desk.names() == ["b"]


def test_a_connection_that_stays_in_a_transaction_is_closed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "rollback", lambda _: None)
    desk.connection.refused = "COMMIT"

    with pytest.raises(sqlite3.OperationalError):
        desk.add("a")

    assert desk.given_back == []
    with pytest.raises(sqlite3.ProgrammingError):
        desk.connection.execute("SELECT 1")


def test_a_commit_that_ended_in_another_error_is_not_taken_for_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches.Batch, "commit", lambda _: None)

    with pytest.raises(sqlite3.OperationalError, match="did not happen"):
        desk.add("a")

    assert desk.names() == []
