"""The tombstones of deleted files: delete_file, find_entry, list_withdrawn."""

from dataclasses import replace

import pytest

from pytp_broker.storage.file_records import Entry
from pytp_broker.storage.project_status import ACTIVE
from pytp_broker.storage.protocols import AlreadyPublishedError, Store
from pytp_broker.storage.withdrawals import Withdrawals
from tests.contract.test_races import race
from tests.support.samples import file, release, tombstone

PLACE = ("acme", "widgets")
NAME = "widgets-1.0.tar.gz"
WHEEL = "widgets-1.0-py3-none-any.whl"


@pytest.fixture
def stocked(store: Store) -> Store:
    """Return a store in which each of three projects has a file, one of them of another name."""
    store.add_file(file())
    store.add_file(file(registry="other"))
    store.add_file(file(WHEEL))
    return store


def test_a_deleted_file_has_a_tombstone(stocked: Store) -> None:
    assert stocked.delete_file(*PLACE, NAME, tombstone()) == tombstone()

    assert stocked.find_entry(*PLACE, NAME) == Entry(file(), tombstone(), ACTIVE)
    assert stocked.list_withdrawn(*PLACE) == Withdrawals({}, {NAME: tombstone()})


def test_other_files_have_none(stocked: Store) -> None:
    stocked.delete_file(*PLACE, NAME, tombstone())

    assert stocked.find_entry(*PLACE, WHEEL) == Entry(file(WHEEL), None, ACTIVE)
    assert stocked.find_entry("other", "widgets", NAME).tombstone is None
    for place in (("other", "widgets"), ("acme", "gadgets")):
        assert stocked.list_withdrawn(*place) == Withdrawals({}, {})


def test_the_first_tombstone_stands(stocked: Store) -> None:
    later = replace(tombstone(), reason="another", deleted_by="user otto")
    stocked.delete_file(*PLACE, NAME, tombstone())

    for _ in range(2):
        assert stocked.delete_file(*PLACE, NAME, later) == tombstone()

    assert stocked.find_entry(*PLACE, NAME).tombstone == tombstone()


def test_the_name_of_a_deleted_file_stays_taken(stocked: Store) -> None:
    stocked.delete_file(*PLACE, NAME, tombstone())

    with pytest.raises(AlreadyPublishedError):
        stocked.add_file(file(sha256="2" * 64))

    assert stocked.find_entry(*PLACE, NAME) == Entry(file(), tombstone(), ACTIVE)


def test_a_deletion_touches_neither_files_nor_releases_nor_yanks(stocked: Store) -> None:
    stocked.save_release(release(), None)
    stocked.yank_release(*PLACE, "1", "breaks")

    stocked.delete_file(*PLACE, NAME, tombstone())

    assert list(stocked.list_files(*PLACE)) == [file(WHEEL), file()]
    assert list(stocked.list_projects("acme")) == ["widgets"]
    assert stocked.find_release(*PLACE, "1") == (release(), None)
    assert stocked.list_withdrawn(*PLACE) == Withdrawals({"1": "breaks"}, {NAME: tombstone()})


def test_a_yank_and_its_end_touch_no_tombstone(stocked: Store) -> None:
    stocked.delete_file(*PLACE, NAME, tombstone())

    stocked.yank_release(*PLACE, "1", "breaks")
    stocked.yank_release(*PLACE, "1", None)

    assert stocked.list_withdrawn(*PLACE) == Withdrawals({}, {NAME: tombstone()})


def test_a_project_whose_files_are_all_deleted_is_still_listed(stocked: Store) -> None:
    for name in (NAME, WHEEL):
        stocked.delete_file(*PLACE, name, tombstone())

    assert list(stocked.list_projects("acme")) == ["widgets"]


def test_of_many_who_delete_a_file_at_once_one_wins_and_all_learn_it(racing_store: Store) -> None:
    racing_store.add_file(file())
    reasons = [f"reason {number}" for number in range(16)]

    won = race(
        16,
        lambda number: (
            racing_store.delete_file(
                *PLACE, NAME, replace(tombstone(), reason=reasons[number])
            ).reason
        ),
    )

    kept = racing_store.find_entry(*PLACE, NAME).tombstone
    assert kept is not None
    assert set(won) == {kept.reason}
