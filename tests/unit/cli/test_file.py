"""`pytp-broker file delete`: what an operator sees, and the records."""

import shlex
from datetime import timedelta
from typing import Any

import boto3
import pytest

from pytp_broker.storage.protocols import Store
from pytp_broker.storage.withdrawals import Tombstone
from tests.support.audit import check
from tests.support.desk import NOW, Desk
from tests.support.emulator import REGION
from tests.support.samples import configuration, file, publisher

SDIST = "widgets-1.0.tar.gz"
DELETE = f"acme {SDIST} --reason"


@pytest.fixture
def depot(desk: Desk) -> Desk:
    """Return the desk of a broker with two files, which has a place for their bytes."""
    desk.store.apply(configuration(), [publisher()])
    for version in ("1.0", "2.0"):
        desk.store.add_file(file(f"widgets-{version}.tar.gz", version=version))
    if "--table" in desk.options:
        client = boto3.client("s3", region_name=REGION)
        client.create_bucket(Bucket="the-files")
        client.close()
    return desk


def delete(desk: Desk, line: str) -> str:
    """Run `pytp-broker file delete …`."""
    bucket = " --bucket the-files" if "--table" in desk.options else ""
    return desk.type(f"file delete {line}{bucket}")


def tombstone_of(desk: Desk, filename: str = SDIST) -> Tombstone | None:
    return desk.store.find_entry("acme", "widgets", filename).tombstone


def test_a_file_is_deleted(depot: Desk) -> None:
    seen = delete(depot, f"{DELETE} 'has a password'")

    assert seen == f"acme {SDIST} is deleted: has a password\n"
    found = tombstone_of(depot)
    assert found is not None
    assert (found.reason, found.deleted_by) == ("has a password", depot.operator)
    assert NOW.replace(microsecond=0) <= found.deleted_at < NOW + timedelta(minutes=1)
    assert tombstone_of(depot, "widgets-2.0.tar.gz") is None


def test_who_deleted_a_file_is_recorded_with_the_reason(depot: Desk) -> None:
    delete(depot, f"{DELETE} 'has a password'")

    (kept,) = depot.records()
    check(kept)
    del kept["time"]
    assert kept == {
        "event": "file-deletion",
        "outcome": "accepted",
        "reason": "",
        "by": depot.operator,
        "registry": "acme",
        "project": "widgets",
        "filename": SDIST,
        "sha256": file().sha256,
        "why": "has a password",
    }


def test_a_file_that_is_deleted_already_keeps_its_first_reason(depot: Desk) -> None:
    delete(depot, f"{DELETE} 'has a password'")

    for reason in ("'has a password'", "mistake"):
        seen = delete(depot, f"{DELETE} {reason}")
        assert seen == f"acme {SDIST} is deleted already: has a password\n"

    assert len(depot.records()) == 1


def test_of_two_operators_who_delete_one_file_the_first_has_the_reason(
    depot: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_file: Any = type(depot.store).delete_file

    def delete_second(store: Store, *place: Any) -> Any:
        delete_file(store, *place[:3], Tombstone("the first", "user otto", NOW))
        return delete_file(store, *place)

    monkeypatch.setattr(type(depot.store), "delete_file", delete_second)

    assert delete(depot, f"{DELETE} 'the second'") == f"acme {SDIST} is deleted: the first\n"
    assert len(depot.records()) == 1


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        (f"acmee {SDIST}", "there is no registry `acmee`; did you mean `acme`?\n"),
        (f"other {SDIST}", f"the registry `other` has no file `{SDIST}`\n"),
        ("acme widgets-3.0.tar.gz", "the registry `acme` has no file `widgets-3.0.tar.gz`\n"),
    ],
)
def test_a_file_that_is_not_there_is_not_deleted(depot: Desk, named: str, seen: str) -> None:
    assert delete(depot, f"{named} --reason mistake") == f"{seen}exit 1\n"

    assert depot.records() == []


@pytest.mark.parametrize(
    "filename",
    ["widgets", "../widgets-1.0.tar.gz", "widgets-1.0.tar.gz\n", "\x1b[31m", "\udcff", "", "*"],
)
def test_what_is_not_the_name_of_a_file_is_not_deleted(depot: Desk, filename: str) -> None:
    seen = delete(depot, f"acme {shlex.quote(filename)} --reason mistake")

    assert "the name of a" in seen
    assert seen.endswith("exit 2\n")
    assert "\x1b" not in seen
    assert depot.records() == []


@pytest.mark.parametrize(
    ("reason", "seen"),
    [
        ("", "must be one line of 1 to 200 visible characters"),
        ("two\nlines", "must be one line of 1 to 200 visible characters"),
        (f"pytp_{'a1' * 36}", "must be one line of 1 to 200 visible characters"),
        ("its files Already exist on PyPI", 'must not contain "already exist"'),
        ("the name has already been taken", 'must not contain "already been taken"'),
    ],
    ids=["none", "two lines", "token", "skipped by twine", "skipped by PDM"],
)
def test_a_reason_for_a_deletion_that_clients_must_not_show_is_refused(
    depot: Desk, reason: str, seen: str
) -> None:
    shown = delete(depot, f"{DELETE} {shlex.quote(reason)}")

    assert shown.startswith(f"`--reason` {seen}")
    assert shown.endswith("exit 2\n")
    assert "a1a1" not in shown
    assert tombstone_of(depot) is None
    assert depot.records() == []
