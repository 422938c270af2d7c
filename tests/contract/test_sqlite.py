"""What only the embedded store promises."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker import __version__
from pytp_broker.errors import StoreUnavailable
from pytp_broker.grants import Grant, Permission
from pytp_broker.storage.project_status import ACTIVE
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Store
from pytp_broker.storage.sqlite import SqliteStore, database, layout, token_tables
from pytp_broker.storage.sqlite.token_tables import CLEARED_EVERY
from pytp_broker.storage.withdrawals import Withdrawals
from pytp_broker.trust.built_in import with_built_in
from tests.support.calls import EVERY_CALL
from tests.support.samples import (
    NOW,
    configuration,
    file,
    publisher,
    record,
    session,
    without_permissions,
)

PROCESSES = 4
# Each process opens the store when it is told to, and prints the exchanges that it wins.
EXCHANGE = """
import sys
from datetime import UTC, datetime
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.protocols import AlreadyExchangedError
from pytp_broker.tokens import TokenRecord

path, name = sys.argv[1:]
now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
print("ready", flush=True)
sys.stdin.readline()
store = SqliteStore(path)
for number in range(25):
    grants, projects, features = (), {}, ("multi-use-token",)
    try:
        store.add_token(
            TokenRecord(str(number), name, "issuer", {}, grants, projects, features, now, now, now)
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
                    env={"PYTHONPATH": str(Path(layout.__file__).parents[3])},
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
        assert store.load_configuration() == with_built_in(configuration())
        assert store.find_token(record().lookup_id, ("acme", "widgets")) == (
            record(),
            {"id-1": 0},
        )
        assert list(store.list_files("acme", "widgets")) == [file()]


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "broker.db")) as store:
        store.add_token(record())

    assert [path.name for path in tmp_path.iterdir()] == ["broker.db"]


def test_a_commit_survives_a_power_failure(sqlite_store: SqliteStore) -> None:
    with sqlite_store._read() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_connection_keeps_half_a_mebibyte_of_the_file(sqlite_store: SqliteStore) -> None:
    with sqlite_store._read() as connection:
        assert connection.execute("PRAGMA cache_size").fetchone() == (-512,)


def test_a_token_is_found_without_the_publishers_that_it_is_not_from(
    sqlite_store: SqliteStore,
) -> None:
    other = publisher("id-9", fields={**publisher().fields, "workflow": "other.yml"})
    sqlite_store.apply(configuration(), [publisher(), other])
    sqlite_store.add_token(record())

    found = sqlite_store.find_token(record().lookup_id, ("acme", "widgets"))

    assert found == (record(), {"id-1": 0})
    trust = sqlite_store.list_trust([("acme", "widgets")])
    assert trust["acme", "widgets"].keys() == {"id-1", "id-9"}


def test_a_publisher_that_has_not_changed_is_read_once(sqlite_store: SqliteStore) -> None:
    sqlite_store.apply(configuration(), [publisher()])
    key = publisher().identity_key

    (first,), (second,) = sqlite_store.list_publishers(key), sqlite_store.list_publishers(key)

    assert first is second


def test_a_publisher_that_was_read_before_has_the_pins_of_now(sqlite_store: SqliteStore) -> None:
    sqlite_store.apply(configuration(), [publisher()])
    key = publisher().identity_key
    sqlite_store.list_publishers(key)

    sqlite_store.pin_publisher(publisher(), {"repository_id": "70107786"})

    (found,) = sqlite_store.list_publishers(key)
    assert found.pins == {"repository_id": "70107786"}


def test_records_that_nobody_needs_any_more_are_removed(sqlite_store: SqliteStore) -> None:
    sqlite_store.add_token(record())

    add_tokens(sqlite_store, CLEARED_EVERY, since=record().kept_until + timedelta(seconds=1))

    assert sqlite_store.find_token(record().lookup_id, None) is None


def test_a_record_is_not_removed_in_the_last_second_of_its_time(sqlite_store: SqliteStore) -> None:
    sqlite_store.add_token(record())

    add_tokens(sqlite_store, CLEARED_EVERY, since=record().kept_until)

    assert sqlite_store.find_token(record().lookup_id, None) == (record(), {})


def test_one_token_removes_only_so_many_records(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_tables, "CLEARED_AT_ONCE", 2)
    add_tokens(sqlite_store, CLEARED_EVERY, since=NOW)

    add_tokens(sqlite_store, 1, since=NOW + timedelta(days=1))

    assert count(sqlite_store, "tokens") == CLEARED_EVERY - 2 + 1


def test_a_record_in_the_place_of_an_old_one_has_its_own_registries(
    sqlite_store: SqliteStore,
) -> None:
    sqlite_store.add_token(record())
    later = record().kept_until + timedelta(seconds=1)
    elsewhere = (Grant("elsewhere", None, Permission.UPLOAD, {"id-1": 0}),)

    sqlite_store.add_token(
        record("other secret", issued_at=later, kept_until=later, grants=elsewhere)
    )

    assert count(sqlite_store, "token_registries") == 1


def add_tokens(store: SqliteStore, number: int, since: datetime) -> None:
    """Add tokens that are needed for a minute since this time."""
    until = since + timedelta(minutes=1)
    for each in range(number):
        lookup_id = f"{int(since.timestamp()):016x}{each:016x}"
        store.add_token(record(lookup_id=lookup_id, issued_at=since, kept_until=until))


def count(store: SqliteStore, table: str) -> int:
    with store._read() as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - ours
    return int(rows)


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
    with sqlite_store._write() as connection:
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
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    path = tmp_path / "broker.db"
    with closing(SqliteStore(path)) as store, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable):
            store.add_token(record())
        assert store.load_configuration() is not None, "a reader does not wait"

        other.rollback()
        store.add_token(record())


def test_a_call_at_work_ends_after_the_store_is_closed(sqlite_store: SqliteStore) -> None:
    with sqlite_store._read() as connection:
        sqlite_store.close()

        assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (0,)

    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")


def test_text_that_is_no_unicode_is_no_error_of_ours(sqlite_store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable):
        sqlite_store.find_entry("acme", "widgets", "\ud800")


# What `token.document()` wrote before there were grants.
EARLIER_TOKEN = {
    **{name: record().document()[name] for name in ("lookup_id", "token_hash", "issuer")},
    **{name: record().document()[name] for name in ("identity", "features", "issued_at")},
    **{name: record().document()[name] for name in ("expires_at", "kept_until")},
    "scope": [["acme", "widgets", ["id-1"]]],
}


def make_version_1(path: Path) -> None:
    """Turn a file into one that the first version wrote, with a token in it."""
    with closing(SqliteStore(path)) as store:
        store.apply(configuration(), [publisher()])
        store.add_token(record())
        store.add_file(file())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM trust WHERE project = ''")
        for name in triggers_of(connection):
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DROP TABLE project_editions")
        connection.execute("ALTER TABLE trust DROP COLUMN generation")
        connection.execute("DROP TABLE releases")
        connection.execute("DROP TABLE reopened_releases")
        connection.execute("DROP TABLE yanked_releases")
        connection.execute("DROP TABLE project_statuses")
        connection.execute("DROP TABLE deleted_files")
        connection.execute("DROP TABLE sessions")
        connection.execute("DROP TABLE reserved_files")
        connection.execute("DROP TABLE timestamping")
        connection.execute("ALTER TABLE files DROP COLUMN attestation_state")
        connection.execute("DROP TABLE receipt_keys")
        connection.execute("DROP TABLE written_by")
        connection.execute("UPDATE tokens SET document = ?", (json.dumps(EARLIER_TOKEN),))
        connection.execute("PRAGMA user_version = 1")


def triggers_of(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    return [name for (name,) in found]


def test_a_file_of_an_earlier_version_is_migrated_with_its_tokens(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    make_version_1(path)

    with closing(SqliteStore(path)) as store:
        found = store.find_token(record().lookup_id, ("acme", "widgets"))
        assert found is not None
        token, trusted = found
        assert token.publishers_for(Permission.UPLOAD, "acme", "widgets", trusted) == ("id-1",)
        assert store.list_tokens(NOW) == [token]
        store.apply(configuration(), [publisher(projects=("widgets", "gadgets"))])
    with closing(SqliteStore(path)) as store:
        assert store.list_trust([("acme", "gadgets")]) == {("acme", "gadgets"): {"id-1": 1}}
        whole = ("acme", WHOLE_REGISTRY)
        assert store.list_trust([whole]) == {whole: {"id-1": 0}}
        assert store.find_release("acme", "widgets", "1") == (None, None)
        assert store.list_withdrawn("acme", "widgets") == Withdrawals({}, {})
        assert store.find_status("acme", "widgets") == ACTIVE
        assert list(store.list_files("acme", "widgets")) == [file()]
        assert store.add_session(session()) == session()
        assert store.list_receipt_keys() == []
        assert store.load_configuration().timestamping is None


def test_a_token_that_was_stored_without_permissions_may_upload(sqlite_store: SqliteStore) -> None:
    sqlite_store.add_token(record())
    with sqlite_store._write() as connection:
        connection.execute("UPDATE tokens SET document = ?", (without_permissions(record()),))

    assert sqlite_store.find_token(record().lookup_id, None) == (record(), {})


def test_two_that_open_a_file_of_an_earlier_version_migrate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    make_version_1(path)

    with ThreadPoolExecutor(8) as pool:
        for store in pool.map(lambda _: SqliteStore(path), range(8)):
            assert store.list_trust([("acme", "widgets")]) == {("acme", "widgets"): {"id-1": 0}}
            store.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE written_by SET version = '0.9.0'", "use pytp-broker 0.9.0 or later"),
        ("DROP TABLE written_by", "use a later pytp-broker"),
        ("DELETE FROM written_by", "use a later pytp-broker"),
    ],
)
def test_a_file_of_a_later_version_is_refused_with_the_version_to_use(
    tmp_path: Path, statement: str, named: str
) -> None:
    path = tmp_path / "broker.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {layout.SCHEMA_VERSION + 1}")
    before = path.read_bytes()

    with pytest.raises(StoreUnavailable) as refused:
        SqliteStore(path)

    assert named in refused.value.detail
    assert refused.value.detail.endswith("nothing was changed")
    assert path.read_bytes() == before


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders (id TEXT)")

    with pytest.raises(StoreUnavailable, match="not one of pytp-broker"):
        SqliteStore(path)


def test_a_file_that_does_not_say_its_version_is_signed(tmp_path: Path) -> None:
    """Version 0.1.0 has the same layout, and opens a file that is signed."""
    path = tmp_path / "broker.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE written_by")

    SqliteStore(path).close()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM written_by").fetchall() == [(__version__,)]


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
