"""Empty storage on each engine, as often as the trials need it."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any, Protocol, cast
from uuid import uuid4

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.s3 import S3Files
from pytp_broker.config import Loaded
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.sqlite import SqliteStore
from tests.faults.at_rest import Item, ItemsAtRest, scan_table
from tests.faults.stage import Engine, Picture
from tests.support.emulator import create_bucket, create_table, make_client
from tests.support.quick_clients import QuickClients


class Engines(Protocol):
    """Opens storage on one engine."""

    name: str

    def open(self) -> Any:
        """Return a context with an Engine that is empty."""


class SqliteEngines:
    """SQLite and a folder."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self) -> Iterator[Engine]:
        folder = self._folder / uuid4().hex
        folder.mkdir()
        with closing(SqliteStore(folder / "broker.db")) as store:
            yield open_folder(folder, store)
        rmtree(folder)


def open_folder(folder: Path, store: SqliteStore) -> Engine:
    """Return what is kept in a folder."""
    files, database = FolderFiles(folder / "files"), folder / "broker.db"
    return Engine(
        store,
        files,
        lambda: Picture(dump_sqlite(database), store),
        lambda loaded: store.apply(loaded.configuration, loaded.publishers),
        address={"folder": str(folder)},
    )


@contextmanager
def open_again(address: Mapping[str, str]) -> Iterator[Engine]:
    """Open what another process has opened."""
    if "folder" in address:
        folder = Path(address["folder"])
        with closing(SqliteStore(folder / "broker.db")) as store:
            yield open_folder(folder, store)
    else:
        url = address["url"]
        with (
            closing(make_client("dynamodb", endpoint_url=url)) as dynamodb,
            closing(make_client("s3", endpoint_url=url)) as s3,
        ):
            yield _open_table(dynamodb, s3, address)


# Even a refused exchange may write these: key sets, and which instance last fetched one.
_CACHED = {"key_sets", "key_set_refreshes"}


def dump_sqlite(path: Path) -> list[str]:
    """Return every row but the cached key sets."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return sorted(
            repr((name, row))
            for (name,) in tables.fetchall()
            if name not in _CACHED
            for row in connection.execute(f"SELECT * FROM {name}")  # noqa: S608 - its own name
        )


class DynamoEngines:
    """DynamoDB and S3, emulated; ``quick`` are the functions' own clients, which moto has not."""

    def __init__(
        self, name: str, dynamodb: Any, s3: Any, quick: QuickClients | None = None
    ) -> None:
        self.name = name
        self.dynamodb = dynamodb
        self.s3 = s3
        self._quick = quick

    @contextmanager
    def open(self) -> Iterator[Engine]:
        quick = self._quick
        dynamodb, s3 = (quick.dynamodb, quick.s3) if quick else (self.dynamodb, self.s3)
        table, bucket = create_table(dynamodb), create_bucket(self.s3)
        url = self.dynamodb.meta.endpoint_url
        yield _open_table(dynamodb, s3, {"url": url, "table": table, "bucket": bucket})
        dynamodb.delete_table(TableName=table)


def _open_table(dynamodb: Any, s3: Any, address: Mapping[str, str]) -> Engine:
    table = address["table"]
    return Engine(
        DynamoStore(dynamodb, table),
        S3Files(s3, address["bucket"]),
        lambda: take_picture(dynamodb, table),
        lambda loaded: fill_table(dynamodb, table, loaded),
        address=address,
    )


def take_picture(client: Any, table: str) -> Picture:
    """Read a table once, because reading it row by row would take most of the time of a trial."""
    items = scan_table(client, table)
    rows = sorted(
        repr(sorted(item.items())) for item in items if not item["pk"]["S"].startswith("KEYSET")
    )
    return Picture(rows, DynamoStore(cast("Any", ItemsAtRest(items)), table))


# A configuration's items in a table, once it was applied in this process.
_APPLIED: dict[str, list[Item]] = {}


def fill_table(client: Any, table: str, loaded: Loaded) -> None:
    """Apply a configuration to an empty table: once, and afterwards copy what that wrote."""
    items = _APPLIED.get(repr(loaded))
    if items is None:
        DynamoStore(client, table).apply(loaded.configuration, loaded.publishers)
        _APPLIED[repr(loaded)] = scan_table(client, table)
    else:
        requests = {table: [{"PutRequest": {"Item": item}} for item in items]}
        assert not client.batch_write_item(RequestItems=requests)["UnprocessedItems"]
