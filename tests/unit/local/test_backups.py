"""Backups of a data folder: what they hold, what they refuse, and what a restore ends."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.content import Held
from pytp_broker.errors import StoreUnavailable
from pytp_broker.grants import Grant, Permission
from pytp_broker.local.backups.checking import check
from pytp_broker.local.backups.copying import held
from pytp_broker.local.backups.databases import copy_database
from pytp_broker.local.backups.making import Made, back_up
from pytp_broker.local.backups.manifest import BackupError, read_manifest
from pytp_broker.local.backups.restoring import Restored, restore
from pytp_broker.local.lock import FolderTakenError, Holder, locked
from pytp_broker.making import Making
from pytp_broker.storage.data_folder import DATABASE, RESTORING, open_data_folder
from pytp_broker.storage.file_store import keys_of, staged_key
from pytp_broker.storage.sessions import SessionStatus
from pytp_broker.storage.sqlite.layout import SCHEMA_VERSION
from pytp_broker.tokens import TokenRecord
from tests.support import samples
from tests.support.data_folders import DataFolder, change_manifest, digest, state_of
from tests.support.samples import NOW

HOLDER = Holder(1, "olive", "a restore")
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def data(quick_path: Path) -> DataFolder:
    folder = DataFolder(quick_path / "data")
    folder.publish("1.0")
    return folder


@pytest.fixture
def folder(quick_path: Path) -> Path:
    return quick_path / "backup"


def make(data: DataFolder, folder: Path, **options: Any) -> Made:
    return back_up(data.path, folder, NOW, **options)


def restored(folder: Path, at: Path, now: datetime = LATER) -> Restored:
    return restore(folder, at, HOLDER, now)


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# --- making ---------------------------------------------------------------------------------------


def test_a_restored_folder_has_everything(data: DataFolder, folder: Path) -> None:
    before = data.state()

    make(data, folder)
    restored(folder, data.path.parent / "new")

    assert state_of(data.path.parent / "new") == before
    assert (data.path.parent / "new/tls/ca.key").read_bytes() == (
        data.path / "tls/ca.key"
    ).read_bytes()


def test_a_backup_that_nobody_has_touched_is_good(data: DataFolder, folder: Path) -> None:
    made = make(data, folder)

    manifest, faults = check(folder)

    assert (manifest, faults) == (made.manifest, [])
    assert made.lacks == []


def test_a_second_backup_copies_what_is_new_and_removes_what_is_gone(
    data: DataFolder, folder: Path
) -> None:
    assert make(data, folder).copied == 4
    old = data.stored(keys_of(data.publish("2.0"))[0])
    assert make(data, folder).copied == 4

    old.unlink()
    with open_data_folder(data.path) as storage:
        storage.store.delete_file("acme", "widgets", "widgets-2.0.tar.gz", samples.tombstone())
    made = make(data, folder)

    # The database and the keys of the backup before are gone too, and are no files of a registry.
    assert (made.copied, made.removed, made.lacks) == (0, 1, [])
    assert check(folder)[1] == []


def test_a_file_of_a_version_without_receipts_needs_none(data: DataFolder, folder: Path) -> None:
    with open_data_folder(data.path) as storage:
        old = samples.file("widgets-0.1.tar.gz", sha256=digest(b"old"))
        storage.files.save(keys_of(old)[0], Held(b"old"), "0" * 64)
        storage.store.add_file(old)

    assert make(data, folder).lacks == []


def test_only_the_owner_can_read_a_backup(data: DataFolder, folder: Path) -> None:
    make(data, folder)

    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_backup_without_keys_has_none(data: DataFolder, folder: Path) -> None:
    made = make(data, folder, with_keys=False)
    done = restored(folder, data.path.parent / "new")

    assert made.manifest.keys == done.manifest.keys == {}
    assert not any(b"PRIVATE KEY" in content for content in everything(folder).values())
    assert not (data.path.parent / "new/receipt-keys").exists()


def test_a_server_without_tls_has_no_authority_to_keep(data: DataFolder, folder: Path) -> None:
    shutil.rmtree(data.path / "tls")

    assert [name.partition("/")[0] for name in make(data, folder).manifest.keys] == ["receipt-keys"]


def test_what_is_not_of_the_broker_is_left_out(data: DataFolder, folder: Path) -> None:
    (data.path / "files/notes of olive").write_text("x")
    (data.path / "files/.hidden").write_text("x")
    (data.path / "files/.incoming").mkdir(exist_ok=True)
    (data.path / "files/.incoming/half").write_text("x")
    (data.path / "receipt-keys/old.txt").write_text("x")

    assert len(make(data, folder).manifest.files) == 4
    assert len(read_manifest(folder).keys) == 3


def put_a_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("put", [put_a_link, os.mkfifo], ids=["link", "pipe"])
@pytest.mark.parametrize("name", ["files/files/x.whl", "receipt-keys/x.pem"])
def test_what_is_not_a_plain_file_is_refused_without_reading_it(
    data: DataFolder, folder: Path, put: Callable[[Path], None], name: str
) -> None:
    put(data.path / name)

    with pytest.raises(BackupError, match=r"x\.(whl|pem) is (a link, and )?not a file"):
        make(data, folder)


def test_a_file_that_goes_away_meanwhile_is_left_out(
    data: DataFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = staged_key("acme", "f" * 32, "widgets-3.0.tar.gz")
    listed = ["files/x/none.whl", key]
    monkeypatch.setattr("pytp_broker.local.backups.making.list_files", lambda _: listed)

    assert make(data, folder).manifest.files == {}


def test_what_is_published_as_the_backup_begins_is_in_it_with_its_bytes(
    data: DataFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish_and_copy(source: Path, target: Path) -> int:
        data.publish("2.0")
        return copy_database(source, target)

    monkeypatch.setattr("pytp_broker.local.backups.making.copy_database", publish_and_copy)

    assert make(data, folder).lacks == []
    assert check(folder)[1] == []


def test_bytes_that_a_record_needs_and_that_are_gone_are_named(
    data: DataFolder, folder: Path
) -> None:
    key = keys_of(data.publish("2.0"))[0]
    data.stored(key).unlink()

    lacks = [f"files/{key} is missing, and a published file needs it"]
    assert make(data, folder).lacks == lacks
    assert check(folder)[1] == lacks


def test_bytes_that_were_damaged_before_are_named(data: DataFolder, folder: Path) -> None:
    key = keys_of(data.publish("2.0"))[0]
    data.stored(key).write_bytes(b"rotten")

    assert make(data, folder).lacks == [f"files/{key} was damaged before it was copied"]


def test_a_copy_that_is_gone_or_has_lost_its_end_is_copied_again(
    data: DataFolder, folder: Path
) -> None:
    make(data, folder)
    key, other, *_ = read_manifest(folder).files
    (folder / "files" / key).write_bytes(b"")
    (folder / "files" / other).unlink()

    assert make(data, folder).copied == 2
    assert check(folder)[1] == []


@pytest.mark.parametrize("place", ["data", "data/backup", "."])
def test_a_backup_inside_the_data_folder_is_refused(data: DataFolder, place: str) -> None:
    with pytest.raises(BackupError, match="contain each other"):
        back_up(data.path, data.path.parent / place, NOW)


def test_a_folder_with_other_things_is_refused(data: DataFolder, folder: Path) -> None:
    folder.mkdir()
    (folder / "letters").write_text("x")

    with pytest.raises(BackupError, match="it has letters"):
        make(data, folder)

    assert everything(folder) == {"letters": b"x"}


def test_a_second_command_on_a_backup_is_refused(data: DataFolder, folder: Path) -> None:
    make(data, folder)

    with held(folder):
        for act in (
            lambda: make(data, folder),
            lambda: check(folder),
            lambda: restored(folder, data.path.parent / "new"),
        ):
            with pytest.raises(BackupError, match="another command works on the backup"):
                act()


def test_a_database_that_cannot_be_copied_is_named_and_the_old_backup_stays(
    data: DataFolder, folder: Path
) -> None:
    make(data, folder)
    before = everything(folder)
    (data.path / DATABASE).write_bytes(b"not a database" * 100)

    with pytest.raises(BackupError, match=r"cannot copy .*: SQLITE_NOTADB"):
        make(data, folder)

    assert everything(folder) == before


# --- damage ---------------------------------------------------------------------------------------


def damage_manifest(folder: Path) -> None:
    (folder / "backup.json").write_text("{")


def cut(place: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = next(path for path in sorted((folder / place).rglob("*")) if path.is_file())
        path.write_bytes(path.read_bytes()[:-1])

    return act


def lose(place: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        next(path for path in sorted((folder / place).rglob("*")) if path.is_file()).unlink()

    return act


@pytest.mark.parametrize(
    "harm",
    [
        *(damage_manifest, cut("files"), cut("database"), cut("keys")),
        *(lose("files"), lose("database"), lose("keys")),
    ],
)
def test_a_damaged_backup_is_found_and_not_restored(
    data: DataFolder, folder: Path, harm: Callable[[Path], None]
) -> None:
    make(data, folder)
    harm(folder)

    try:
        faults = check(folder)[1]
    except BackupError as error:
        faults = [str(error)]
    assert faults
    with pytest.raises(BackupError, match="use another backup"):
        restored(folder, data.path.parent / "new")
    assert not (data.path.parent / "new" / DATABASE).exists()


def replace_database(folder: Path, content: bytes) -> None:
    """Put other bytes in the place of the database, with a manifest that agrees."""
    import hashlib

    path = folder / "database" / read_manifest(folder).parts
    path.write_bytes(content)
    change_manifest(folder, database=[hashlib.sha256(content).hexdigest(), len(content)])


def test_a_database_that_is_not_one_is_refused_though_its_hash_is_right(
    data: DataFolder, folder: Path
) -> None:
    make(data, folder)
    replace_database(folder, b"nothing" * 1000)

    assert check(folder)[1] == ["the database is damaged"]
    with pytest.raises(BackupError, match=r"database of .* is damaged"):
        restored(folder, data.path.parent / "new")


def test_records_that_cannot_be_read_are_a_fault(data: DataFolder, folder: Path) -> None:
    make(data, folder)
    path = folder / "database" / read_manifest(folder).parts
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE files SET document = '{}'")
    replace_database(folder, path.read_bytes())

    assert check(folder)[1] == ["the records of published files are damaged"]


ZERO = ["0" * 64, 0]


@pytest.mark.parametrize(
    "members",
    [
        {"files": {"../../etc/passwd": ZERO}},
        {"files": {"/etc/passwd": ZERO}},
        {"files": {"a/.hidden": ZERO}},
        {"files": {"a\n": ZERO}},
        {"keys": {"broker.sqlite3": ZERO}},
        {"keys": {"tls/../../x.pem": ZERO}},
        {"keys": {"receipt-keys/a/b.pem": ZERO}},
        {"parts": "../x"},
        {"parts": 1},
        {"parts": "a/b"},
        {"files": {"a": ["0", 0]}},
        {"files": {"a": [None, 0]}},
        {"files": {"a": ["0" * 64, "0"]}},
        {"files": {"a": 7}},
        {"files": []},
        {"database": None},
        {"began_at": "yesterday"},
        {"schema": "x"},
        {"schema": float("inf")},
        {"schema": True},
    ],
)
def test_a_manifest_that_leads_elsewhere_or_is_malformed_is_refused(
    data: DataFolder, folder: Path, members: dict[str, Any]
) -> None:
    make(data, folder)
    change_manifest(folder, **members)

    with pytest.raises(BackupError, match="is damaged: use another backup"):
        restored(folder, data.path.parent / "new")
    assert not (data.path.parent / "new").exists()


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "null", "7", ""])
def test_a_manifest_that_is_no_object_is_refused(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "backup.json").write_text(content)

    with pytest.raises(BackupError, match="damaged"):
        read_manifest(folder)


def test_a_folder_that_is_no_backup_is_refused(folder: Path) -> None:
    folder.mkdir()

    with pytest.raises(BackupError, match=r"is not a backup: it has no backup\.json"):
        check(folder)


def test_a_manifest_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "backup.json").mkdir(parents=True)

    with pytest.raises(BackupError, match=r"cannot read .*: Is a directory"):
        check(folder)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"schema": SCHEMA_VERSION + 1, "version": "9.0"}, "install 9.0 or a later one"),
        ({"format": 2, "version": "9.0"}, "use version '9.0' or a later one"),
    ],
)
def test_a_backup_of_a_newer_version_is_refused(
    data: DataFolder, folder: Path, members: dict[str, Any], said: str
) -> None:
    make(data, folder)
    change_manifest(folder, **members)

    with pytest.raises(BackupError, match=said):
        restored(folder, data.path.parent / "new")
    assert not (data.path.parent / "new").exists()


def test_a_backup_of_an_older_version_gets_the_tables_of_this_one(
    data: DataFolder, folder: Path
) -> None:
    make(data, folder)
    path = folder / "database" / read_manifest(folder).parts
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE timestamping")
        connection.execute("DROP TABLE receipt_keys")
        connection.execute("ALTER TABLE files DROP COLUMN attestation_state")
        connection.execute("PRAGMA user_version = 8")
    replace_database(folder, path.read_bytes())
    change_manifest(folder, schema=8)

    restored(folder, data.path.parent / "new")

    with open_data_folder(data.path.parent / "new") as storage:
        assert len(storage.store.list_files("acme", "widgets")) == 1


# --- restoring ------------------------------------------------------------------------------------


def test_a_restore_overwrites_nothing(data: DataFolder, folder: Path) -> None:
    make(data, folder)
    before = data.state()

    with pytest.raises(BackupError, match="is not an empty folder"):
        restored(folder, data.path)

    assert data.state() == before


def test_a_restore_into_a_file_is_refused(data: DataFolder, folder: Path, quick_path: Path) -> None:
    make(data, folder)
    (quick_path / "new").write_text("x")

    with pytest.raises(BackupError, match="is not an empty folder"):
        restored(folder, quick_path / "new")


def test_a_restore_into_a_folder_in_use_is_refused(
    data: DataFolder, folder: Path, quick_path: Path
) -> None:
    make(data, folder)
    (quick_path / "new").mkdir()

    with (
        locked(quick_path / "new", Holder(7, "dana", "https://x.example.com")),
        pytest.raises(FolderTakenError, match="process 7 of dana"),
    ):
        restored(folder, quick_path / "new")


def test_a_folder_that_was_not_restored_completely_serves_nothing_until_it_is(
    data: DataFolder, folder: Path, quick_path: Path
) -> None:
    make(data, folder)
    (quick_path / "new/files/x").mkdir(parents=True)
    (quick_path / "new" / RESTORING).touch()
    (quick_path / "new/files/x/of-another-backup").write_text("x")
    (quick_path / "new" / f"{DATABASE}.new-journal").write_text("x")

    with (
        pytest.raises(StoreUnavailable, match="restore` again"),
        open_data_folder(quick_path / "new"),
    ):
        pass
    restored(folder, quick_path / "new")

    assert state_of(quick_path / "new") == data.state()
    assert not (quick_path / "new/files/x").exists()


def token(name: str, **changes: Any) -> TokenRecord:
    return samples.record(name, lookup_id=name * 32, **changes)


READING = (Grant("acme", None, Permission.READ, {}),)
DANA = Making("olive", person="Dana")


@pytest.mark.promise("restored-store")
def test_only_tokens_with_which_persons_read_live_on(
    data: DataFolder, folder: Path, quick_path: Path
) -> None:
    month = {"expires_at": NOW + timedelta(days=30), "kept_until": NOW + timedelta(days=30)}
    tokens = {
        "job": token("a"),
        "reading job": token("b", grants=READING, **month),
        "person": token("c", grants=READING, made_by=DANA, **month),
        "uploading person": token("d", made_by=DANA, **month),
        "over": token("e", grants=READING, made_by=DANA, expires_at=NOW),
        "burned": token("f", grants=READING, made_by=DANA, **month),
    }
    with open_data_folder(data.path) as storage:
        for record in tokens.values():
            storage.store.add_token(record)
        burned = tokens["burned"]
        storage.store.burn_token(burned.lookup_id, burned.token_hash, None, NOW)
    make(data, folder)

    done = restored(folder, quick_path / "new")

    assert [record.token_hash for record in done.kept_tokens] == [tokens["person"].token_hash]
    assert done.ended_tokens == 3
    with open_data_folder(quick_path / "new") as storage:
        found = {name: storage.store.find_token(t.lookup_id, None) for name, t in tokens.items()}
    ended = {name for name, each in found.items() if each and each[0].burned_at is not None}
    assert ended == tokens.keys() - {"person", "over"}


def test_identity_tokens_that_were_issued_before_a_restore_are_refused_from_then_on(
    data: DataFolder, folder: Path, quick_path: Path
) -> None:
    make(data, folder)

    restored(folder, quick_path / "new")

    with open_data_folder(quick_path / "new") as storage:
        # An issuer's clock may be 30 seconds ahead of ours.
        since = storage.store.load_configuration().identity_tokens_from
    assert since == LATER + timedelta(seconds=31)


@pytest.mark.parametrize("is_processing", [False, True])
def test_publishing_sessions_are_canceled(
    data: DataFolder, folder: Path, quick_path: Path, is_processing: bool
) -> None:
    mine = samples.session(samples.staged("widgets-9.0.tar.gz"))
    with open_data_folder(data.path) as storage:
        storage.store.add_session(mine)
        if is_processing:
            processing = mine.processing(NOW)
            storage.store.save_session(processing, mine)
            storage.store.reserve(processing, [samples.file("widgets-9.0.tar.gz")])
    make(data, folder)

    done = restored(folder, quick_path / "new")

    assert done.canceled_sessions == 1
    with open_data_folder(quick_path / "new") as storage:
        found = storage.store.find_session(mine.token)
        assert found is not None
        assert found.status is SessionStatus.CANCELED
        storage.store.add_file(samples.file("widgets-9.0.tar.gz"))  # the name is free again


def test_a_restore_keeps_a_record_of_itself(
    data: DataFolder, folder: Path, quick_path: Path
) -> None:
    make(data, folder)

    restored(folder, quick_path / "new")

    with open_data_folder(quick_path / "new") as storage:
        (record,) = storage.store.list_operator_records()
    assert (record["event"], record["by"], record["backup_time"]) == (
        *("restoration", "olive"),
        NOW.isoformat(),
    )


def test_a_restored_database_is_one_file_that_serve_can_open(
    data: DataFolder, folder: Path, quick_path: Path
) -> None:
    make(data, folder)

    restored(folder, quick_path / "new")

    names = {path.name for path in (quick_path / "new").iterdir()}
    assert names == {DATABASE, "files", "tls", "receipt-keys", "serve.lock"}
    with closing(sqlite3.connect(quick_path / "new" / DATABASE)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_manifest_is_plain_json(data: DataFolder, folder: Path) -> None:
    make(data, folder)

    document = json.loads((folder / "backup.json").read_text())

    assert document["format"] == 1
    assert replace(read_manifest(folder), files={}).began_at == NOW
