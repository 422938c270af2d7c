"""The engines that faults are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.faults.engines import DynamoEngines, Engines, SqliteEngines
from tests.support.emulator import Emulator, make_client
from tests.support.quick_clients import quick_clients

MINISTACK = pytest.param("ministack", marks=pytest.mark.ministack)


@pytest.fixture(params=["sqlite", MINISTACK])
def racing_engines(request: pytest.FixtureRequest) -> Engines:
    """Return each engine but moto, which loses updates in races."""
    found: Engines = request.getfixturevalue(f"{request.param}_engines")
    return found


@pytest.fixture
def sqlite_engines(quick_path: Path) -> SqliteEngines:
    return SqliteEngines(quick_path)


@pytest.fixture
def moto_engines() -> Iterator[DynamoEngines]:
    with mock_aws():
        dynamodb, s3 = make_client("dynamodb"), make_client("s3")
        yield DynamoEngines("moto", dynamodb, s3)
        dynamodb.close()
        s3.close()


@pytest.fixture
def ministack_engines(emulator: Emulator) -> Iterator[DynamoEngines]:
    clients = emulator.client("dynamodb"), emulator.client("s3")
    with quick_clients(emulator.endpoint_url) as quick:
        yield DynamoEngines("ministack", *clients, quick)
