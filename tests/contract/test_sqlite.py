"""What only the embedded store promises."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.embedded import store as embedded
from pytp_broker.embedded.store import SqliteStore
from pytp_broker.errors import StoreUnavailable
from pytp_broker.store import Store
from tests.contract.calls import EVERY_CALL
from tests.contract.samples import configuration, file, publisher, record

PROCESSES = 4
# Each process opens the store when it is told to, and prints the exchanges that it wins.
EXCHANGE = """
import sys
from datetime import UTC, datetime
from pytp_broker.embedded.store import SqliteStore
from pytp_broker.store import AlreadyExchangedError
from pytp_broker.tokens import TokenRecord

path, name = sys.argv[1:]
now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
print("ready", flush=True)
sys.stdin.readline()
store = SqliteStore(path)
for number in range(25):
    scope, features = (), ("multi-use-token",)
    try:
        store.add_token(
            TokenRecord(str(number), name, "issuer", {}, scope, features, now, now, now)
        )
    except AlreadyExchangedError:
        continue
    print(number)
store.close()
"""


def test_several_processes_share_one_new_file(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-c", EXCHANGE, path, f"process {n}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={"PYTHONPATH": str(Path(embedded.__file__).parents[2])},
                )
            )
            for n in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * PROCESSES
    won = Counter(number for output in outputs for number in output.split())
    assert won == {str(number): 1 for number in range(25)}


def test_what_was_stored_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "broker.db")) as store:
        store.apply(configuration(), [publisher()])
        store.add_token(record())
        store.add_file(file())

    with closing(SqliteStore(tmp_path / "broker.db")) as store:
        assert store.load_configuration() == configuration()
        assert store.find_token(record().lookup_id, "acme", "widgets") == (
            record(),
            frozenset({"id-1"}),
        )
        assert list(store.list_files("acme", "widgets")) == [file()]


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "broker.db")) as store:
        store.add_token(record())

    assert [path.name for path in tmp_path.iterdir()] == ["broker.db"]


def test_a_commit_survives_a_power_failure(sqlite_store: SqliteStore) -> None:
    with sqlite_store._transaction("DEFERRED") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_records_that_nobody_needs_any_more_are_removed(sqlite_store: SqliteStore) -> None:
    sqlite_store.add_token(record())
    later = record().kept_until + timedelta(seconds=1)

    sqlite_store.add_token(record(lookup_id="f" * 32, issued_at=later, kept_until=later))

    assert sqlite_store.find_token(record().lookup_id, "acme", "widgets") is None


@pytest.mark.parametrize("call", EVERY_CALL)
def test_a_closed_store_does_not_answer(
    sqlite_store: SqliteStore, call: Callable[[Store], Any]
) -> None:
    sqlite_store.close()
    sqlite_store.close()

    with pytest.raises(StoreUnavailable):
        call(sqlite_store)


@pytest.mark.parametrize("call", EVERY_CALL)
def test_a_broken_store_does_not_answer_and_says_nothing_of_itself(
    sqlite_store: SqliteStore, call: Callable[[Store], Any]
) -> None:
    with sqlite_store._transaction("IMMEDIATE") as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for (name,) in tables.fetchall():
            connection.execute(f"DROP TABLE {name}")

    with pytest.raises(StoreUnavailable) as refused:
        call(sqlite_store)

    assert refused.value.detail == "the store did not answer"
    assert refused.value.operator_detail == "SQLITE_ERROR"


def test_a_writer_that_waits_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BUSY_SECONDS", 0.0)
    path = tmp_path / "broker.db"
    with closing(SqliteStore(path)) as store, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable):
            store.add_token(record())
        assert store.load_configuration() is not None, "a reader does not wait"

        other.rollback()
        store.add_token(record())


def test_a_call_at_work_ends_after_the_store_is_closed(sqlite_store: SqliteStore) -> None:
    with sqlite_store._transaction("DEFERRED") as connection:
        sqlite_store.close()

        assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (0,)

    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")


def test_text_that_is_no_unicode_is_no_error_of_ours(sqlite_store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable):
        sqlite_store.find_file("acme", "\ud800")


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {embedded.SCHEMA_VERSION + 1}")

    with pytest.raises(StoreUnavailable, match="version"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    path.write_text("what the operator wrote in the wrong place " * 100)

    with pytest.raises(StoreUnavailable):
        SqliteStore(path)

    assert path.read_text().startswith("what the operator wrote")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        SqliteStore(tmp_path / "no such folder" / "broker.db")

    assert "no such folder" not in refused.value.detail


def test_a_connection_that_cannot_be_set_up_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(sqlite3.Connection):
        def execute(self, *_: Any) -> sqlite3.Cursor:
            raise sqlite3.OperationalError

    SqliteStore(tmp_path / "broker.db").close()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Refusing))

    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "broker.db")
