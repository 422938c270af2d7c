"""`backup` and `restore` as an operator types them."""

import json
from pathlib import Path

import pytest

from pytp_broker.cli import main
from pytp_broker.errors import StoreUnavailable
from pytp_broker.grants import Grant, Permission
from pytp_broker.local.backups.manifest import read_manifest
from pytp_broker.making import Making
from pytp_broker.storage.data_folder import open_data_folder
from pytp_broker.storage.file_store import keys_of
from pytp_broker.storage.sqlite import SqliteStore
from tests.support import samples
from tests.support.data_folders import DataFolder, change_manifest

DANA = Making("olive", person="Dana")


class Desk:
    """An operator's terminal, beside a data folder."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = DataFolder(path / "data")
        self.file = self.data.publish("1.0")
        self.folder, self.new = path / "backup", path / "new"
        self._capsys = capsys

    def type(self, command: str) -> tuple[int, str, str]:
        """Run a command with the folders in the place of DATA, BACKUP and NEW."""
        places = {"DATA": self.data.path, "BACKUP": self.folder, "NEW": self.new}
        words = [str(places.get(word, word)) for word in command.split()]
        status = main(words)
        seen = self._capsys.readouterr()
        return status, seen.out, seen.err

    def made(self) -> None:
        assert self.type("backup --data DATA --to BACKUP")[0] == 0


@pytest.fixture
def desk(quick_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(quick_path, capsys)


def test_a_backup_says_what_is_in_it(desk: Desk) -> None:
    status, out, err = desk.type("backup --data DATA --to BACKUP")

    assert (status, err) == (0, "")
    assert out.startswith(f"backed up 4 files to {desk.folder}: 4 new, 0 removed; everything that")
    assert out.endswith(" UTC is in it\n")


def test_a_backup_says_the_same_as_json(desk: Desk) -> None:
    status, out, _ = desk.type("backup --data DATA --to BACKUP --json")

    said = json.loads(out)
    assert (status, said["files"], said["copied"], said["removed"]) == (0, 4, 4, 0)
    assert said["has_keys"] is True
    assert said["faults"] == []
    assert said["bytes"] > 1000


def test_a_backup_without_keys_says_what_is_missing(desk: Desk) -> None:
    status, _, err = desk.type("backup --data DATA --to BACKUP --without-keys")

    assert status == 0
    assert err.startswith("note: the backup has no private keys: ")


def test_a_backup_that_lacks_bytes_fails_and_names_them(desk: Desk) -> None:
    key = keys_of(desk.file)[0]
    desk.data.stored(key).unlink()

    status, out, _ = desk.type("backup --data DATA --to BACKUP")

    assert status == 1
    assert f"files/{key} is missing, and a published file needs it\n" in out
    assert desk.type("backup --verify BACKUP")[:2] == (
        1,
        f"files/{key} is missing, and a published file needs it\n",
    )


def test_a_restore_says_which_bytes_the_backup_did_not_have(desk: Desk) -> None:
    missing = keys_of(desk.data.publish("2.0"))[0]
    desk.data.stored(missing).unlink()
    damaged = keys_of(desk.data.publish("3.0"))[0]
    desk.data.stored(damaged).write_bytes(b"rotten")
    desk.type("backup --data DATA --to BACKUP")

    status, out, err = desk.type("restore BACKUP --data NEW")

    assert status == 1
    assert out.startswith("restored ")
    assert out.endswith(
        f"\nfiles/{missing} is missing, and a published file needs it\n"
        f"files/{damaged} was damaged before it was copied\n"
    )
    assert err.startswith("note: the backup did not have these bytes either; all else is restored,")
    assert desk.type("project list acme --data NEW")[0] == 0


def test_a_restore_says_as_json_what_the_backup_did_not_have(desk: Desk) -> None:
    key = keys_of(desk.data.publish("2.0"))[0]
    desk.data.stored(key).unlink()
    desk.type("backup --data DATA --to BACKUP")

    status, out, _ = desk.type("restore BACKUP --data NEW --json")

    assert status == 1
    assert json.loads(out)["faults"] == [f"files/{key} is missing, and a published file needs it"]


def test_a_good_backup_is_said_to_be_one(desk: Desk) -> None:
    desk.made()

    status, out, _ = desk.type("backup --verify BACKUP")

    assert (status, out[: len(str(desk.folder)) + 17]) == (0, f"{desk.folder} is a good backup")
    assert json.loads(desk.type("backup --verify BACKUP --json")[1])["faults"] == []


def test_of_many_faults_only_the_first_are_named(desk: Desk) -> None:
    desk.made()
    change_manifest(desk.folder, files={f"a/{n}": ["0" * 64, 1] for n in range(30)})

    status, out, _ = desk.type("backup --verify BACKUP")

    assert (status, len(out.splitlines())) == (1, 21)
    assert out.endswith(" more faults\n")
    assert len(json.loads(desk.type("backup --verify BACKUP --json")[1])["faults"]) > 30


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "give --data and --to, or --verify alone"),
        ("--data DATA", "give --data and --to, or --verify alone"),
        ("--to BACKUP", "give --data and --to, or --verify alone"),
        ("--verify BACKUP --to BACKUP", "give --data and --to, or --verify alone"),
        ("--data DATA --to BACKUP --verify BACKUP", "give --data and --to, or --verify alone"),
        ("--stack pytp-broker --to BACKUP", "a broker on AWS is backed up by AWS: "),
        ("--table pytp-broker --to BACKUP", "a broker on AWS is backed up by AWS: "),
    ],
)
def test_options_that_make_no_backup_are_refused(desk: Desk, options: str, said: str) -> None:
    status, _, err = desk.type(f"backup {options}")

    assert (status, err[: len(said)]) == (2, said)
    assert not desk.folder.exists()


def test_a_folder_that_no_broker_has_used_is_refused(desk: Desk) -> None:
    status, _, err = desk.type("backup --data NEW --to BACKUP")

    assert status == 1
    assert err == f"{desk.new} is not the data folder of a broker: it has no broker.sqlite3\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("backup --verify NEW", "cannot use "),
        ("restore NEW --data BACKUP", "cannot use "),
        ("restore DATA --data NEW", "is not a backup: it has no backup.json"),
        ("backup --data DATA --to DATA", "contain each other"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(desk: Desk, command: str, said: str) -> None:
    status, _, err = desk.type(command)

    assert status == 1
    assert said in err
    assert len(err.splitlines()) == 1


def keep_a_persons_token(desk: Desk) -> None:
    with open_data_folder(desk.data.path) as storage:
        reading = (Grant("acme", None, Permission.READ, {}),)
        end = samples.NOW.replace(year=2099)
        record = samples.record(
            grants=reading, made_by=DANA, expires_at=end, kept_until=end, token_hash="abc" * 20
        )
        storage.store.add_token(record)


def test_a_restore_says_what_it_did_and_what_to_do(desk: Desk) -> None:
    keep_a_persons_token(desk)
    desk.made()

    status, out, err = desk.type("restore BACKUP --data NEW")

    assert status == 0
    first, second = out.splitlines()
    assert first.startswith(f"restored 4 files to {desk.new}, as of ")
    assert second == "0 tokens ended, 0 publishing sessions canceled"
    assert "note: what operators did after the backup is undone: " in err
    assert "note: 1 read tokens that operators made live on" in err
    assert err.rstrip().endswith(": abcabcabcabc")
    assert '"restoration"' in desk.type("audit --data NEW")[1]


def test_a_restore_without_keys_says_what_to_do(desk: Desk) -> None:
    assert desk.type("backup --data DATA --to BACKUP --without-keys")[0] == 0

    _, _, err = desk.type("restore BACKUP --data NEW")

    assert "the backup has no private keys: run `pytp-broker receipt-key rotate --data" in err


def test_a_restore_says_the_same_as_json(desk: Desk) -> None:
    desk.made()

    status, out, err = desk.type("restore BACKUP --data NEW --json")

    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "began_at": read_manifest(desk.folder).began_at.isoformat(),
        "files": 4,
        "ended_tokens": 0,
        "canceled_sessions": 0,
        "kept_tokens": [],
        "has_keys": True,
        "faults": [],
    }


def test_a_second_restore_into_the_folder_is_refused(desk: Desk) -> None:
    desk.made()
    assert desk.type("restore BACKUP --data NEW")[0] == 0

    status, _, err = desk.type("restore BACKUP --data NEW")

    assert status == 1
    assert "is not an empty folder: a restore overwrites nothing" in err


def test_a_database_that_the_store_cannot_open_is_said_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.made()

    def fail(*_: object) -> None:
        raise StoreUnavailable("the store did not answer", operator_detail="SQLITE_FULL")

    monkeypatch.setattr(SqliteStore, "list_sessions", fail)

    status, _, err = desk.type("restore BACKUP --data NEW")

    assert (status, err) == (1, "the database cannot be restored: SQLITE_FULL\n")
