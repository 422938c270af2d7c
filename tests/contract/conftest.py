"""The engines: each test of the contract runs on every engine that can show the fact."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.s3 import S3Files
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import FileStore
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.sqlite.at_once import WritesAtOnce
from tests.support.emulator import Emulator, create_bucket, create_table, make_client
from tests.support.own_s3 import own_s3
from tests.support.quick_clients import QuickClients, quick_clients
from tests.support.samples import Table

MINISTACK = pytest.param("ministack", marks=pytest.mark.ministack)
# The same emulator, asked by our own client of S3.
OWN = pytest.param("own", marks=pytest.mark.ministack)


@pytest.fixture(params=["sqlite", "moto", MINISTACK])
def store(request: pytest.FixtureRequest) -> Store:
    """Return an empty store of each engine."""
    return _store(request)


@pytest.fixture(params=["sqlite", MINISTACK])
def racing_store(request: pytest.FixtureRequest) -> Store:
    """Return an empty store of each engine but moto, which loses updates in races."""
    return _store(request)


@pytest.fixture(params=["sqlite", "at_once", "moto", MINISTACK])
def token_store(request: pytest.FixtureRequest) -> Store:
    """Return an empty store of each engine, and of each way to write a token."""
    return _store(request)


def _store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def sqlite_store(quick_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(quick_path / "broker.db")
    yield store
    store.close()


class Committing(WritesAtOnce):
    """Writes that must not wait, each with a commit of its own; they take long writes, too."""

    @contextmanager
    def writing(self, seconds: float, *, is_alone: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            with super().writing(seconds) as connection:
                yield connection
        finally:
            assert self.commit()


@pytest.fixture
def at_once_store(sqlite_store: SqliteStore) -> SqliteStore:
    """Return the embedded store as the event loop of `serve` writes to it."""
    return sqlite_store.writing_by(Committing(sqlite_store.writer))


@pytest.fixture(scope="session")
def moto_client() -> Iterator[Any]:
    """Return a client for `mock_aws`: making one takes longer than most tests."""
    client = make_client("dynamodb")
    yield client
    client.close()


@pytest.fixture
def moto_store(moto_client: Any) -> Iterator[DynamoStore]:
    with mock_aws():
        yield DynamoStore(moto_client, create_table(moto_client))


@pytest.fixture(scope="session")
def quick(emulator: Emulator) -> Iterator[QuickClients]:
    """Return the functions' own clients."""
    with quick_clients(emulator.endpoint_url) as clients:
        yield clients


@pytest.fixture
def ministack_store(quick: QuickClients) -> Iterator[DynamoStore]:
    """Return a store that the functions' own client reaches; moto's is reached with boto3."""
    name = create_table(quick.dynamodb)
    yield DynamoStore(quick.dynamodb, name)
    quick.dynamodb.delete_table(TableName=name)


@pytest.fixture(params=["moto", MINISTACK])
def table(request: pytest.FixtureRequest) -> Table:
    """Return an empty DynamoDB table of each emulator, with a client for this test alone."""
    found: Table = request.getfixturevalue(f"{request.param}_table")
    return found


@pytest.fixture
def moto_table() -> Iterator[Table]:
    with mock_aws():
        client = make_client("dynamodb")
        yield Table(client, create_table(client))
        client.close()


@pytest.fixture
def ministack_table(emulator: Emulator) -> Iterator[Table]:
    client = make_client("dynamodb", endpoint_url=emulator.endpoint_url)
    name = create_table(client)
    yield Table(client, name)
    client.delete_table(TableName=name)
    client.close()


FOLDER = ["folder"]


@pytest.fixture(params=["folder", "moto", MINISTACK, OWN])
def files(request: pytest.FixtureRequest) -> FileStore:
    """Return an empty file store of each kind."""
    found: FileStore = request.getfixturevalue(f"{request.param}_files")
    return found


@pytest.fixture
def folder_files(tmp_path: Path) -> FolderFiles:
    return FolderFiles(tmp_path / "outside" / "files")


@pytest.fixture
def moto_s3() -> Iterator[Any]:
    with mock_aws():
        client = make_client("s3")
        yield client
        client.close()


@pytest.fixture
def moto_files(moto_s3: Any) -> S3Files:
    return S3Files(moto_s3, create_bucket(moto_s3))


@pytest.fixture
def ministack_files(emulator: Emulator, quick: QuickClients) -> S3Files:
    return S3Files(quick.s3, create_bucket(emulator.client("s3")))


@pytest.fixture
def own_files(emulator: Emulator) -> Iterator[S3Files]:
    with own_s3(emulator.endpoint_url) as client:
        yield S3Files(client, create_bucket(emulator.client("s3")))
