"""The upkeep of a running server, turn by turn."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from threading import Event
from typing import Any, NoReturn

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.local import upkeep
from pytp_broker.local.certificates import CertificateFiles, OwnCertificate
from pytp_broker.local.given_certificate import CertificateError
from pytp_broker.local.log import Log
from pytp_broker.local.upkeep import OperatorRecords, Swap, Upkeep
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.samples import NOW, operation

FILES = CertificateFiles(None, Path("new.pem"), Path("new.key"), ("it is not for x",))


class Certificate:
    """A certificate that changes when a test says so."""

    files = next_files = FILES

    def __init__(self) -> None:
        self.is_due = False
        self.error: Exception | None = None
        self.asked: list[Sequence[str]] = []
        self.was_asked = Event()

    def refresh(self, names: Sequence[str], now: datetime) -> bool:
        self.asked.append(names)
        self.was_asked.set()
        if self.error:
            raise self.error
        self.files = self.next_files
        return self.is_due


class Server:
    """The parts of a server that upkeep uses, and its log."""

    def __init__(self) -> None:
        self.stream = StringIO()
        self.names = ["packages.example.com"]
        self.store_error: Exception | None = None
        self.new: list[Mapping[str, Any]] = []
        self.certificate = Certificate()
        self.swapped: list[CertificateFiles] = []
        self.reloads = 0
        self.removals = 0
        self.upkeep = Upkeep(
            Log(self.stream),
            self.read_names,
            self.reload,
            self.take_new,
            self.remove_bytes,
            self.certificate,
        )

    def take_new(self) -> Sequence[Mapping[str, Any]]:
        taken, self.new = self.new[:1], self.new[1:]
        return taken

    def read_names(self) -> Sequence[str]:
        if self.store_error:
            raise self.store_error
        return self.names

    def reload(self) -> None:
        self.reloads += 1

    def remove_bytes(self) -> None:
        self.removals += 1

    def turn(self) -> None:
        self.upkeep.turn(self.swapped.append)

    @property
    def logged(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def server() -> Server:
    return Server()


def test_what_operators_did_is_told(server: Server) -> None:
    changes = ["+ registry beta", "+ registry gamma"]
    server.new = [{"event": "configuration", "change": each, "by": "user x"} for each in changes]

    server.turn()

    assert [f'"change": "{each}"' in server.logged for each in changes] == [True, True]


def test_the_file_is_read_again_once_for_each_time_that_it_is_asked(server: Server) -> None:
    server.turn()
    server.upkeep.ask_to_reload()
    server.turn()
    server.turn()

    assert server.reloads == 1


def test_the_names_are_read_again_when_something_changed(server: Server) -> None:
    server.turn()
    server.names = ["other.example.com"]
    server.turn()
    assert server.certificate.asked == [["packages.example.com"]] * 2

    server.new = [{"event": "apply"}]
    server.turn()

    assert server.certificate.asked[-1] == ["other.example.com"]


def test_names_that_the_store_did_not_tell_are_asked_for_again(server: Server) -> None:
    server.turn()
    server.names, server.new = ["other.example.com"], [{"event": "apply"}]
    server.store_error = StoreUnavailable("the store did not answer")
    server.turn()

    server.store_error, server.new = None, []
    server.turn()

    assert server.certificate.asked[-1] == ["other.example.com"]


def test_a_file_that_changes_while_it_is_read_is_read_again(server: Server) -> None:
    def ask_again() -> None:
        server.reloads += 1
        if server.reloads == 1:
            server.upkeep.ask_to_reload()

    server.upkeep.reload = ask_again
    server.upkeep.ask_to_reload()
    server.turn()
    server.turn()

    assert server.reloads == 2


def test_another_certificate_is_put_into_use_and_its_remarks_told(server: Server) -> None:
    server.certificate.is_due = True

    server.turn()

    assert server.swapped == [FILES]
    assert '"event": "certificate"' in server.logged
    assert "it is not for x" in server.logged


def test_what_is_new_about_the_same_certificate_is_told_once(server: Server) -> None:
    server.turn()
    assert "it is not for x" not in server.logged  # told at the start

    server.certificate.next_files = replace(FILES, remarks=(*FILES.remarks, "nor for y"))
    server.turn()
    server.turn()

    assert server.logged.count("nor for y") == 1
    assert "it is not for x" not in server.logged
    assert server.swapped == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable("the store did not answer"), "the store did not answer"),
        (CertificateError("it ended"), "it ended"),
        (OSError("the disk is full"), "the disk is full"),
    ],
)
def test_what_goes_wrong_is_told_once_and_tried_again(
    server: Server, error: Exception, said: str
) -> None:
    server.certificate.error = error
    server.turn()
    server.turn()
    assert server.logged.count(said) == 1

    server.certificate.error = None
    server.certificate.is_due = True
    server.turn()
    assert server.swapped == [FILES]

    server.certificate.error = error
    server.turn()
    assert server.logged.count(said) == 2


def test_what_nobody_expected_ends_nothing(server: Server) -> None:
    server.certificate.error = ZeroDivisionError("secret")

    server.turn()

    assert '"error": "ZeroDivisionError"' in server.logged
    assert "secret" not in server.logged


def test_a_server_without_tls_has_no_certificate(server: Server) -> None:
    def fail() -> NoReturn:
        raise AssertionError

    upkeep = Upkeep(Log(server.stream), fail, fail, list, server.remove_bytes, None)
    upkeep.turn(server.swapped.append)

    assert server.logged == ""


def test_each_turn_removes_the_bytes_of_deleted_files_that_are_due(server: Server) -> None:
    server.turn()
    server.turn()

    assert server.removals == 2


def test_the_thread_turns_until_it_is_stopped(tmp_path: Path, server: Server) -> None:
    own = OwnCertificate(tmp_path, [], datetime.now(UTC))
    server.certificate.files = own.files
    server.certificate.is_due = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def serve() -> None:
        thread = server.upkeep.start(context)
        await asyncio.to_thread(server.certificate.was_asked.wait, 10)
        server.upkeep.stop()
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()

    asyncio.run(serve())
    assert '"event": "certificate"' in server.logged


@pytest.mark.parametrize("context", [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), None])
def test_a_certificate_that_comes_after_the_end_is_not_a_fault(
    server: Server, context: ssl.SSLContext | None
) -> None:
    server.certificate.is_due = True

    async def serve() -> Swap:
        return server.upkeep.swapping(context)

    swap = asyncio.run(serve())
    server.upkeep.turn(swap)

    assert "fault" not in server.logged


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "broker.db")) as opened:
        yield opened


def add(store: SqliteStore, change: str) -> None:
    store.add_operator_record(operation(change), NOW)


def test_records_are_followed_from_where_one_began(store: SqliteStore) -> None:
    add(store, "before")
    records = OperatorRecords(store)
    assert records() == []

    add(store, "one")
    add(store, "two")

    assert [record["change"] for record in records()] == ["one", "two"]
    assert records() == []
    assert not records.was_empty


def test_very_many_records_are_followed_in_parts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_AT_ONCE", 2)
    records = OperatorRecords(store)
    for change in ("one", "two", "three"):
        add(store, change)

    parts = [[record["change"] for record in records()] for _ in range(3)]

    assert parts == [["one", "two"], ["three"], []]


def test_records_that_are_skipped_are_not_told(store: SqliteStore) -> None:
    records = OperatorRecords(store)
    add(store, "one")

    records.skip()

    assert records() == []
    assert records.was_empty
