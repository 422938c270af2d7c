"""An import into a project that jobs publish: what it loses is on record."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.withdrawals import Tombstone
from tests.support.audit import check
from tests.support.distributions import sdist, wheel
from tests.support.importing import Move, move
from tests.support.samples import GITHUB, file

__all__ = ["move"]

LONG_AGO = datetime(2019, 1, 1, tzinfo=UTC)
JOB = {"issuer": GITHUB, "repository": "octo-org/widgets"}


def publish(move: Move, version: str = "0.1", **changes: Any) -> str:
    """Let a job have published a release before the import; return its file's name."""
    name = f"widgets-{version}.tar.gz"
    known = {"uploaded_at": LONG_AGO, "published_by": JOB, **changes}
    move.store.add_file(file(name, version=version, **known))
    return name


@pytest.mark.promise("provenance-watched")
def test_an_imported_release_that_follows_one_of_a_job_leaves_one_record(move: Move) -> None:
    publish(move)
    move.put(wheel(), sdist())

    move.folder()

    kept, *others = move.records("provenance")
    check(kept)
    assert others == []
    del kept["time"], kept["filenames"]
    assert kept == {
        "event": "provenance",
        "outcome": "accepted",
        "reason": "",
        "by": "user olive",
        "registry": "acme",
        "project": "widgets",
        "version": "1.0",
        "basis": "publication",
        "provenance": ["no", "lost"],
        "compared_with": "0.1",
        "new_sources": [],
    }


@pytest.mark.parametrize(
    "published_by",
    [{}, {"operator": "user olive", "reason": "x"}, {"imported_by": "x", "imported_from": "y"}],
)
def test_an_import_into_a_project_without_provenance_loses_none(
    move: Move, published_by: dict[str, str]
) -> None:
    publish(move, published_by=published_by)
    move.put(wheel())

    move.folder()

    assert move.records("provenance") == []


def test_an_old_release_loses_nothing_of_a_later_one(move: Move) -> None:
    publish(move, "9.0", uploaded_at=datetime(2999, 1, 1, tzinfo=UTC))
    move.put(wheel())

    move.folder()

    assert move.records("provenance") == []


def test_a_deleted_file_of_a_job_leaves_nothing_to_lose(move: Move) -> None:
    name = publish(move)
    move.store.delete_file("acme", "widgets", name, Tombstone("malware", "x", LONG_AGO))
    move.put(wheel())

    move.folder()

    assert move.records("provenance") == []


def test_the_record_is_there_before_the_file_is(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(move)
    move.put(wheel())

    def fail(*_: object) -> None:
        raise StoreUnavailable("the store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "add_file", fail)
        move.folder()
    assert len(move.records("provenance")) == 1
    assert wheel().filename not in {f.filename for f in move.store.list_files("acme", "widgets")}
