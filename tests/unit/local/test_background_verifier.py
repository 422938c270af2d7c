"""The threads of `serve` that verify large files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from threading import Event
from typing import Any

import pytest

from pytp_broker.audit.record import AuditRecord
from pytp_broker.index.sessions.verifying import MAX_ATTEMPTS
from pytp_broker.local import background_verifier
from pytp_broker.local.background_verifier import BackgroundVerifier
from pytp_broker.local.log import Log
from tests.support import distributions, samples
from tests.support.attesting import VERIFIED, attest
from tests.support.processing import Bench

# No test waits for so long, unless it fails or the machine is busy.
SECONDS = 30


class Server:
    """A bench whose uploads are verified by threads; ``verified`` is set with each record."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.verified = Event()
        self.stream = StringIO()
        self.verifier = BackgroundVerifier(Log(self.stream))
        self.index = replace(bench.index, verifier=self.verifier, audit=self._audit)
        self.verifier.attach(bench.store, self.index)

    def _audit(self, record: AuditRecord) -> None:
        self.bench.records.append(record)
        self.verified.set()

    def attach(self, **changes: Any) -> None:
        self.verifier.attach(self.bench.store, replace(self.index, **changes))

    @contextmanager
    def running(self, *, is_beside_functions: bool = False) -> Iterator[None]:
        self.verifier.start(is_beside_functions=is_beside_functions)
        try:
            yield
        finally:
            self.verifier.stop()

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_verifier, "_RETRY_SECONDS", 0)


@pytest.fixture
def server() -> Server:
    return Server(Bench())


def test_a_requested_file_is_verified(server: Server) -> None:
    server.bench.change_upload(attempts=MAX_ATTEMPTS)  # so that it is not taken up first
    with server.running():
        server.bench.change_upload(attempts=0)
        server.verifier.request(server.bench.place)
        assert server.verified.wait(SECONDS)

    assert server.bench.status == "completed"


def test_a_server_takes_up_what_another_one_has_left(server: Server) -> None:
    with server.running():
        assert server.verified.wait(SECONDS)

    assert server.bench.status == "completed"


def test_a_server_beside_functions_verifies_only_what_it_is_asked_for(server: Server) -> None:
    with server.running(is_beside_functions=True):
        server.verifier.request(server.bench.place)
        assert server.verified.wait(SECONDS)

    assert "list_sessions" not in server.bench.store.calls
    assert server.bench.status == "completed"


def test_a_server_verifies_attestations_that_another_one_has_left_pending(server: Server) -> None:
    server.bench.change_session(files={})
    wheel, store = distributions.wheel(), server.bench.store
    server.bench.publish(wheel, distributions.fields(wheel, attestations=attest(wheel)))
    server.bench.publish(distributions.sdist())
    assert server.bench.verifier.requests  # and the server that would verify them has ended

    with server.running():
        assert server.verified.wait(SECONDS)

    found = {name: file.attestation_state for (_, name), file in store.files.items()}
    assert found == {wheel.filename: VERIFIED, distributions.sdist().filename: None}


def test_a_server_takes_up_nothing_that_does_not_wait(server: Server) -> None:
    present = server.bench.session
    server.bench.change_session(
        files={**present.files, "widgets-1.0.tar.gz": samples.staged("widgets-1.0.tar.gz")}
    )

    with server.running():
        assert server.verified.wait(SECONDS)

    assert server.bench.store.calls.count("save_session") == 2


def test_a_store_that_does_not_answer_at_the_start_is_asked_again(server: Server) -> None:
    server.bench.store.fail_next("list_sessions")

    with server.running():
        assert server.verified.wait(SECONDS)

    assert server.bench.status == "completed"
    assert server.log[0]["message"] == "the store does not answer"


def test_a_check_that_fails_is_tried_again(server: Server) -> None:
    server.bench.files.fail_next("open")
    completed = Event()

    def audit(record: AuditRecord) -> None:
        server.bench.records.append(record)
        if record.outcome == "accepted":
            completed.set()

    server.attach(audit=audit)

    with server.running():
        assert completed.wait(SECONDS)

    assert [record.outcome for record in server.bench.records] == ["refused", "accepted"]
    assert server.bench.status == "completed"


class BrokenFiles:
    """A file store with a mistake of ours in it."""

    def __init__(self) -> None:
        self.calls = 0
        self.was_asked_often = Event()

    def find(self, _key: str) -> None:
        self.calls += 1
        if self.calls == MAX_ATTEMPTS:
            self.was_asked_often.set()
        raise ZeroDivisionError("stage_secret")


def test_a_mistake_of_ours_is_logged_and_ends_in_a_failed_file(server: Server) -> None:
    files: Any = BrokenFiles()
    server.attach(files=files)

    with server.running():
        assert files.was_asked_often.wait(SECONDS)
        assert server.verified.wait(SECONDS)

    assert server.bench.status == "error"
    assert [line["error"] for line in server.log] == ["ZeroDivisionError"] * MAX_ATTEMPTS
    assert "stage_secret" not in server.stream.getvalue()


def test_a_server_that_ends_stops_in_the_middle_of_a_file(server: Server) -> None:
    """The attempt does not count, and another server verifies the file."""
    begun, go_on = Event(), Event()
    original = server.bench.files.open

    def slow_open(key: str) -> Any:
        begun.set()
        assert go_on.wait(SECONDS)
        return original(key)

    server.bench.files.open = slow_open  # type: ignore[method-assign]
    server.verifier.start()
    assert begun.wait(SECONDS)
    server.verifier._over.set()
    go_on.set()
    server.verifier.stop()

    assert server.bench.status == "processing"
    assert server.bench.upload.attempts == 0


def test_what_waits_when_a_server_ends_is_left_to_another_one(server: Server) -> None:
    server.verifier.request(server.bench.place)
    server.verifier._over.set()

    with server.running():
        pass

    assert server.bench.status == "processing"
    assert not server.bench.records


def test_too_many_waiting_files_are_left_for_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_verifier, "MAX_WAITING", 1)

    server.verifier.request(server.bench.place)
    server.verifier.request(server.bench.place)

    assert [line["message"] for line in server.log] == ["too many files wait to be checked"]
