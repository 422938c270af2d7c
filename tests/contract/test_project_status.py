"""The status of a project, which an operator sets: find_status, set_status."""

import pytest

from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import Store
from tests.contract.test_races import race
from tests.support.samples import file

PLACE = ("acme", "widgets")
ARCHIVED = ProjectStatus("archived", "use gadgets")


def test_a_project_without_a_status_is_active(store: Store) -> None:
    assert store.find_status(*PLACE) == ACTIVE


def test_a_project_has_the_status_and_the_reason_that_it_was_given(store: Store) -> None:
    store.set_status(*PLACE, ARCHIVED)

    assert store.find_status(*PLACE) == ARCHIVED
    for place in (("other", "widgets"), ("acme", "gadgets")):
        assert store.find_status(*place) == ACTIVE


@pytest.mark.parametrize("status", [ProjectStatus("quarantined"), ACTIVE])
def test_the_last_status_stands(store: Store, status: ProjectStatus) -> None:
    store.set_status(*PLACE, ARCHIVED)

    for _ in range(2):
        store.set_status(*PLACE, status)

        assert store.find_status(*PLACE) == status


def test_a_status_touches_neither_files_nor_yanked_releases(store: Store) -> None:
    store.add_file(file())
    store.yank_release(*PLACE, "1", "breaks")

    store.set_status(*PLACE, ARCHIVED)

    assert list(store.list_files(*PLACE)) == [file()]
    assert list(store.list_projects("acme")) == ["widgets"]
    assert store.list_withdrawn(*PLACE).yanked == {"1": "breaks"}


def test_of_many_who_set_a_status_at_once_one_stands_whole(racing_store: Store) -> None:
    kinds = ("archived", "deprecated")
    wanted = [ProjectStatus(kinds[number % 2], f"reason {number}") for number in range(16)]

    race(16, lambda number: racing_store.set_status(*PLACE, wanted[number]))

    assert racing_store.find_status(*PLACE) in wanted
