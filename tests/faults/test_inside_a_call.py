"""Faults inside a call of a store: between statements of SQLite, between attempts of a client."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.config import Config

from pytp_broker.aws.boto import SERVER_CONFIG
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.s3 import S3Files
from pytp_broker.errors import StoreUnavailable
from tests.faults.engines import DynamoEngines, SqliteEngines
from tests.faults.injection import Fault, Line
from tests.faults.operations import (
    WRITING_OPERATIONS,
    Operation,
    mint,
)
from tests.faults.session_operations import WRITING_SESSION_OPERATIONS
from tests.faults.stage import Engine
from tests.faults.statements import StoreOnLine, make_line
from tests.faults.trials import Lay, try_every_call
from tests.faults.turns import find_commit
from tests.faults.wire import Wire, WireOfFunctions, deliver_to_moto, make_client
from tests.support.quick_clients import quick_clients
from tests.support.samples import record

# The settings of `serve` with longer timeouts. These tests put the delays on the wire
# themselves, and a slow emulator on a busy machine must not add to them.
PATIENT_CONFIG = SERVER_CONFIG.merge(Config(connect_timeout=60, read_timeout=60))
# An emulator has no subdomain for each bucket.
S3_CONFIG = PATIENT_CONFIG.merge(Config(s3={"addressing_style": "path"}, signature_version="s3v4"))

every_fault = pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
every_operation = pytest.mark.parametrize(
    "operation",
    [*WRITING_OPERATIONS, *WRITING_SESSION_OPERATIONS],
    ids=lambda operation: operation.__name__,
)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@every_fault
@every_operation
def test_a_fault_at_any_statement_does_no_harm_and_a_retry_heals_it(
    sqlite_engines: SqliteEngines, closing: ExitStack, operation: Operation, fault: Fault
) -> None:
    def behind_a_line(engine: Engine) -> Engine:
        line = make_line()
        store = StoreOnLine(engine.store._path, line)  # type: ignore[attr-defined] # SQLite's
        closing.callback(store.close)
        return replace(engine, store=store, line=line)

    calls = try_every_call(sqlite_engines, operation, fault, behind_a_line)

    assert "COMMIT" in calls


def test_a_commit_without_memory_is_told_as_unavailable_and_leaves_nothing(
    quick_path: Path, closing: ExitStack
) -> None:
    line = Line(MemoryError)  # Python raises it if SQLite has no memory
    store = StoreOnLine(quick_path / "broker.db", line)
    closing.callback(store.close)
    store.add_token(record(lookup_id="first"))  # it also clears
    line.repair()
    store.add_token(record(lookup_id="second"))
    line.break_at(find_commit(line.calls), Fault.BEFORE)

    with pytest.raises(StoreUnavailable):
        store.add_token(record(lookup_id="third"))

    assert line.was_hit
    line.repair()
    assert store.find_token("third", None) is None
    store.add_token(record(lookup_id="third"))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 retry at once: it waits up to a second before it does."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))


def on_the_wire(engines: DynamoEngines, closing: ExitStack, *, for_good: bool) -> Lay:
    """Return the same storage, reached over one wire with the functions' own clients."""
    wire = WireOfFunctions(for_good=for_good)
    url = engines.dynamodb.meta.endpoint_url
    quick = closing.enter_context(quick_clients(url, wire.connect))
    return lambda engine: reached_by(engine, quick.dynamodb, quick.s3, wire)


def reached_by(engine: Engine, dynamodb: Any, s3: Any, line: Line) -> Engine:
    """Return the same storage, reached with these clients."""
    table = engine.store._table_name  # type: ignore[attr-defined] # DynamoDB's
    bucket = engine.files._bucket  # type: ignore[attr-defined] # S3's
    store, files = DynamoStore(dynamodb, table), S3Files(s3, bucket)
    return replace(engine, store=store, files=files, line=line)


@pytest.mark.ministack
@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER], ids=["before", "after"])
@every_operation
def test_one_fault_on_the_wire_is_healed_by_the_clients_own_retry(
    ministack_engines: DynamoEngines, closing: ExitStack, operation: Operation, fault: Fault
) -> None:
    """This holds even if the first attempt was applied: the second one recognises it."""
    wire = on_the_wire(ministack_engines, closing, for_good=False)

    try_every_call(ministack_engines, operation, fault, wire, is_healed_inside=True)


@pytest.mark.usefixtures("no_pauses")
def test_a_lost_answer_on_the_wire_is_healed_by_boto3s_own_retry(
    moto_engines: DynamoEngines, closing: ExitStack
) -> None:
    wire = Wire(deliver_to_moto, for_good=False)
    dynamodb, s3 = make_client("dynamodb", PATIENT_CONFIG), make_client("s3", S3_CONFIG)
    for client in (dynamodb, s3):
        closing.callback(client.close)
        wire.lay(client)

    def lay(engine: Engine) -> Engine:
        return reached_by(engine, dynamodb, s3, wire)

    try_every_call(moto_engines, mint, Fault.AFTER, lay, is_healed_inside=True)


@pytest.mark.ministack
@every_fault
@every_operation
def test_a_lasting_fault_on_the_wire_does_no_harm_and_a_retry_heals_it(
    ministack_engines: DynamoEngines, closing: ExitStack, operation: Operation, fault: Fault
) -> None:
    wire = on_the_wire(ministack_engines, closing, for_good=True)

    try_every_call(ministack_engines, operation, fault, wire)
