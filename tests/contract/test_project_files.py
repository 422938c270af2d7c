"""What a project's page shows: find_files, which agrees with the records after every change."""

from collections.abc import Callable
from typing import Any

import pytest

from pytp_broker.storage.project_files import ProjectFiles
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError, Store
from tests.contract.test_races import race
from tests.support.samples import file, tombstone

PLACE = ("acme", "widgets")
SDIST, WHEEL = "widgets-1.0.tar.gz", "widgets-1.0-py3-none-any.whl"


def recorded(store: Store) -> ProjectFiles:
    """Return the files of the project as its records have them, without a listing."""
    withdrawn = store.list_withdrawn(*PLACE)
    files = [f for f in store.list_files(*PLACE) if f.filename not in withdrawn.deleted]
    return ProjectFiles(files, withdrawn.yanked, store.find_status(*PLACE))


def test_a_project_without_a_file_is_unknown(store: Store) -> None:
    assert store.find_files(*PLACE) is None


def test_what_operators_say_makes_no_project(store: Store) -> None:
    store.yank_release(*PLACE, "1", "breaks")
    store.set_status(*PLACE, ProjectStatus("archived"))

    assert store.find_files(*PLACE) is None


STEPS: list[Callable[[Store], Any]] = [
    lambda store: store.add_file(file(SDIST)),
    lambda store: store.add_file(file(WHEEL)),
    lambda store: store.add_file(file(WHEEL)),
    lambda store: store.yank_release(*PLACE, "1", "breaks"),
    lambda store: store.add_file(file("widgets-2.0.tar.gz", version="2.0")),
    lambda store: store.set_status(*PLACE, ProjectStatus("quarantined", "malware")),
    lambda store: store.delete_file(*PLACE, SDIST, tombstone()),
    lambda store: store.add_file(file("widgets-0.9.tar.gz", version="0.9")),
    lambda store: store.yank_release(*PLACE, "2", ""),
    lambda store: store.yank_release(*PLACE, "1", None),
    lambda store: store.set_status(*PLACE, ACTIVE),
    lambda store: store.delete_file(*PLACE, "widgets-0.9.tar.gz", tombstone()),
    lambda store: store.add_file(file("widgets-0.9.tar.gz", version="0.9")),
    lambda store: store.delete_file(*PLACE, WHEEL, tombstone()),
    lambda store: store.delete_file(*PLACE, "widgets-2.0.tar.gz", tombstone()),
]


def test_a_page_shows_every_change_at_once(store: Store) -> None:
    for step in STEPS:
        step(store)

        assert store.find_files(*PLACE) == recorded(store)
    assert store.find_files(*PLACE) == ProjectFiles([], {"2": ""}, ACTIVE)


def test_a_refused_file_is_not_on_the_page(store: Store) -> None:
    store.add_file(file())
    with pytest.raises(AlreadyPublishedError):
        store.add_file(file(sha256="f" * 64))

    assert store.find_files(*PLACE) == ProjectFiles([file()], {}, ACTIVE)


def test_projects_have_pages_of_their_own(store: Store) -> None:
    store.add_file(file())
    for registry, project in (("acme", "gadgets"), ("other", "widgets")):
        assert store.find_files(registry, project) is None


def test_fifty_parallel_uploads_of_a_project_are_all_on_its_page(racing_store: Store) -> None:
    names = [f"widgets-1.{number}.tar.gz" for number in range(50)]

    race(50, lambda number: racing_store.add_file(file(names[number], version=f"1.{number}")))

    found = racing_store.find_files(*PLACE)
    assert found is not None
    assert [each.filename for each in found.files] == sorted(names)


def test_uploads_and_yanks_at_the_same_time_are_all_on_the_page(racing_store: Store) -> None:
    def change(number: int) -> None:
        if number % 5:
            racing_store.add_file(file(f"widgets-1.{number}.tar.gz", version=f"1.{number}"))
        else:
            racing_store.yank_release(*PLACE, f"1.{number + 1}", "breaks")

    race(50, change)

    assert racing_store.find_files(*PLACE) == recorded(racing_store)
