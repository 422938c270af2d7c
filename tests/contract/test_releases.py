"""What the index keeps of a release: find_release, save_release, and what operators change."""

from datetime import timedelta

import pytest

from pytp_broker.storage.protocols import Store
from tests.contract.test_races import race
from tests.support.samples import NOW, file, release

OTHER = release(spellings=("1.0.0",), filename="widgets-1.0.0.tar.gz")
PLACE = ("acme", "widgets", "1")


def test_a_release_without_a_record_has_none(store: Store) -> None:
    assert store.find_release(*PLACE) == (None, None)


def test_a_recorded_release_is_found_with_all_it_says(store: Store) -> None:
    assert store.save_release(release(), None) is True

    assert store.find_release(*PLACE) == (release(), None)


def test_other_releases_are_not_touched(store: Store) -> None:
    store.save_release(release(), None)

    for place in (("other", "widgets", "1"), ("acme", "gadgets", "1"), ("acme", "widgets", "2")):
        assert store.find_release(*place) == (None, None)


def test_a_release_is_recorded_in_place_of_none_only_once(store: Store) -> None:
    store.save_release(release(), None)

    assert store.save_release(OTHER, None) is False

    assert store.find_release(*PLACE) == (release(), None)


def test_a_record_is_replaced_by_who_knows_it(store: Store) -> None:
    store.save_release(release(), None)

    assert store.save_release(OTHER, release()) is True
    assert store.save_release(release(sdist=None), release()) is False

    assert store.find_release(*PLACE) == (OTHER, None)


def test_a_record_that_is_not_there_is_not_replaced(store: Store) -> None:
    assert store.save_release(OTHER, release()) is False

    assert store.find_release(*PLACE) == (None, None)


def test_a_retried_record_recognises_its_first_attempt(store: Store) -> None:
    store.save_release(release(), None)
    assert store.save_release(release(), None) is True
    store.save_release(OTHER, release())

    assert store.save_release(OTHER, release()) is True


def test_a_reopened_release_says_until_when(store: Store) -> None:
    store.reopen_release(*PLACE, NOW)
    assert store.find_release(*PLACE) == (None, NOW)
    store.save_release(release(), None)

    store.reopen_release(*PLACE, NOW + timedelta(days=1))

    assert store.find_release(*PLACE) == (release(), NOW + timedelta(days=1))
    assert store.find_release("acme", "widgets", "2") == (None, None)


def test_reopening_a_release_opens_no_other(store: Store) -> None:
    store.reopen_release(*PLACE, NOW + timedelta(days=1))

    for place in (("other", "widgets", "1"), ("acme", "gadgets", "1"), ("acme", "widgets", "2")):
        assert store.find_release(*place) == (None, None)


def test_records_of_releases_are_neither_files_nor_projects(store: Store) -> None:
    store.save_release(release(), None)
    store.reopen_release(*PLACE, NOW)

    assert list(store.list_files("acme", "widgets")) == []
    assert list(store.list_projects("acme")) == []
    store.add_file(file())
    assert list(store.list_files("acme", "widgets")) == [file()]


def test_a_yanked_release_says_why(store: Store) -> None:
    assert store.list_withdrawn("acme", "widgets").yanked == {}

    store.yank_release(*PLACE, "breaks")
    store.yank_release("acme", "widgets", "2", "")

    assert store.list_withdrawn("acme", "widgets").yanked == {"1": "breaks", "2": ""}
    for place in (("other", "widgets"), ("acme", "gadgets")):
        assert store.list_withdrawn(*place).yanked == {}


def test_a_yanked_release_may_get_another_reason_and_be_unyanked(store: Store) -> None:
    store.yank_release(*PLACE, "breaks")
    store.yank_release(*PLACE, "loses data")
    assert store.list_withdrawn("acme", "widgets").yanked == {"1": "loses data"}

    for _ in range(2):
        store.yank_release(*PLACE, None)

        assert store.list_withdrawn("acme", "widgets").yanked == {}


def test_yanking_a_release_touches_neither_files_nor_records(store: Store) -> None:
    store.save_release(release(), None)
    store.add_file(file())

    store.yank_release(*PLACE, "breaks")

    assert list(store.list_files("acme", "widgets")) == [file()]
    assert list(store.list_projects("acme")) == ["widgets"]
    assert store.find_release(*PLACE) == (release(), None)


def test_of_two_who_yank_at_once_one_reason_stands(racing_store: Store) -> None:
    reasons = [f"reason {number}" for number in range(16)]

    race(16, lambda number: racing_store.yank_release(*PLACE, reasons[number]))

    assert racing_store.list_withdrawn("acme", "widgets").yanked["1"] in reasons


@pytest.mark.promise("closed-release")
def test_of_many_who_record_a_release_at_once_one_wins(racing_store: Store) -> None:
    wanted = [release(f"widgets-{number}.tar.gz") for number in range(16)]

    won = race(16, lambda number: racing_store.save_release(wanted[number], None))

    assert sorted(won) == [False] * 15 + [True]
    assert racing_store.find_release(*PLACE) == (wanted[won.index(True)], None)
