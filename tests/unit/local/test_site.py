"""The site of `serve` with another store, and with one that fails."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
import time_machine

from pytp_broker.cli.command import load_configuration
from pytp_broker.cli.site import Site
from pytp_broker.content import Held
from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.folder_signer import open_signer
from pytp_broker.local.log import Log
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import content_key
from pytp_broker.storage.protocols import Storage, Store
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.withdrawals import GRACE
from tests.support.fakes import MemoryStore, stored_bytes
from tests.support.receipt_signing import TestSigner
from tests.support.samples import NOW, file, tombstone


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "broker.toml"
    path.write_text('[[registries]]\nname = "acme"\nhosts = ["acme.example.com"]\n')
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "broker.sqlite3")) as opened:
        yield opened


def site(store: Any, folder: Path, config: Path | None) -> Site:
    storage = Storage(cast("Store", store), FolderFiles(folder / "files"))
    running = Site(storage, "packages.example.com", [config] if config else None)
    running.log = Log(StringIO())
    return running


def logged(running: Site) -> str:
    stream = running.log._stream
    assert isinstance(stream, StringIO)
    return stream.getvalue()


def test_a_store_whose_records_cannot_be_followed_has_none_to_tell(
    tmp_path: Path, config: Path
) -> None:
    running = site(MemoryStore(), tmp_path, config)

    running.bring_up(load_configuration([config], allow_loopback=True), is_kept=True)

    assert running.records() == []
    assert running.names() == ["packages.example.com", "acme.example.com"]


def test_a_server_that_can_sign_says_nothing(tmp_path: Path) -> None:
    storage = Storage(cast("Store", MemoryStore()), FolderFiles(tmp_path / "files"))
    running = Site(storage, "packages.example.com", None, TestSigner())
    running.log = Log(StringIO())

    running.check_signer()

    assert logged(running) == ""


def test_a_server_that_cannot_sign_says_at_once_that_nothing_can_be_published(
    tmp_path: Path, store: SqliteStore
) -> None:
    signer = open_signer(tmp_path, store, lambda: NOW)
    (key,) = store.list_receipt_keys()
    path = tmp_path / "receipt-keys" / f"{key.key_id}.pem"
    path.unlink()
    storage = Storage(store, FolderFiles(tmp_path / "files"))
    running = Site(storage, "packages.example.com", None, signer)
    running.log = Log(StringIO())

    running.check_signer()

    assert "warning" in logged(running)
    assert f"nothing can be published: {path} is missing; restore it" in logged(running)


def test_a_store_that_fails_while_the_file_is_read_again_is_told(
    store: SqliteStore,
    tmp_path: Path,
    config: Path,
) -> None:
    running = site(store, tmp_path, config)
    store.close()

    running.reload()

    assert "the configuration stays as it was: the store is closed" in logged(running)


def test_a_configuration_that_takes_the_servers_own_name_is_not_applied(
    store: SqliteStore, tmp_path: Path, config: Path
) -> None:
    running = site(store, tmp_path, config)
    config.write_text(config.read_text().replace("acme.example.com", "packages.example.com"))

    running.reload()

    assert "the configuration stays as it was" in logged(running)
    assert store.load_configuration().registries == {}


def test_without_a_file_there_is_nothing_to_read_again(store: SqliteStore, tmp_path: Path) -> None:
    running = site(store, tmp_path, None)

    running.bring_up(None, is_kept=True)
    running.reload()

    assert running.records() == []


def test_a_store_that_fails_says_so(store: SqliteStore, tmp_path: Path) -> None:
    running = site(store, tmp_path, None)
    store.close()

    with pytest.raises(StoreUnavailable):
        running.records()


def test_the_bytes_of_a_file_that_was_deleted_long_ago_are_removed_and_that_is_told(
    store: SqliteStore, tmp_path: Path
) -> None:
    running = site(store, tmp_path, None)
    key = content_key("acme", file().sha256, file().filename)
    running._storage.files.save(key, Held(b"octets"), file().sha256)
    store.add_file(file())
    store.delete_file("acme", "widgets", file().filename, tombstone())

    with time_machine.travel(tombstone().deleted_at + GRACE + timedelta(seconds=1)):
        running.remove_bytes()
        running.remove_bytes()

    assert logged(running).count("bytes of the deleted file acme widgets-1.0.tar.gz are remov") == 1
    with pytest.raises(KeyError):
        stored_bytes(running._storage.files, key)


def test_another_store_removes_bytes_itself(tmp_path: Path) -> None:
    running = site(MemoryStore(), tmp_path, None)

    running.remove_bytes()

    assert logged(running) == ""
