"""The desk of an operator, at a broker of each engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from moto import mock_aws

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.desk import NOW, TOKENS, Desk
from tests.support.emulator import REGION, create_table, make_client

ENGINES = ["sqlite", pytest.param("dynamodb", marks=pytest.mark.simulated)]


@pytest.fixture(params=ENGINES)
def desk(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    with time_machine.travel(NOW):
        options, operator, store = request.getfixturevalue(f"{request.param}_broker")
        for each in TOKENS:
            store.add_token(each)
        yield Desk(store, options, operator, capsys)


@pytest.fixture
def sqlite_broker(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, ...]]:
    monkeypatch.setenv("LOGNAME", "olive")
    store = SqliteStore(quick_path / "broker.sqlite3")
    yield f"--data {quick_path}", "user olive", store
    store.close()


@pytest.fixture
def dynamodb_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, ...]]:
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = make_client("dynamodb")
        table = create_table(client)
        arn = "arn:aws:sts::123456789012:user/moto"
        yield f"--table {table} --region {REGION}", arn, DynamoStore(client, table)
        client.close()
