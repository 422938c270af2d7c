"""What the index needs: find_entry, add_file, list_files, list_projects."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.storage.file_records import Entry
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError, Store
from tests.support.samples import NOW, file

ARCHIVED = ProjectStatus("archived", "use gadgets")
QUARANTINED = ProjectStatus("quarantined", "malware")


def test_a_file_is_found_with_all_that_is_known_of_it(store: Store) -> None:
    store.add_file(file())

    assert store.find_entry("acme", "widgets", "widgets-1.0.tar.gz").file == file()


def test_a_file_keeps_that_its_dependencies_are_static(store: Store) -> None:
    store.add_file(file(has_static_dependencies=True))

    assert store.find_entry("acme", "widgets", "widgets-1.0.tar.gz").file == file(
        has_static_dependencies=True
    )


def test_a_file_keeps_the_hash_of_its_receipt(store: Store) -> None:
    certified = file(receipt_sha256="2" * 64)

    store.add_file(certified)

    found = store.find_files("acme", "widgets")
    assert store.find_entry("acme", "widgets", "widgets-1.0.tar.gz").file == certified
    assert list(store.list_files("acme", "widgets")) == [certified]
    assert found is not None
    assert list(found.files) == [certified]


def test_what_may_be_absent_comes_back_absent(store: Store) -> None:
    store.add_file(file(requires_python=None, published_by={}))

    assert store.find_entry("acme", "widgets", "widgets-1.0.tar.gz").file == file(
        requires_python=None, published_by={}
    )


@pytest.mark.parametrize(
    ("filename", "project"),
    [
        ("Foo_Bar-1.0-py3-none-any.whl", "foo-bar"),
        ("foo.bar-1!1.0+local-1build-py3-none-any.whl", "foo-bar"),
        ("foo_bar-1.0.tar.gz", "foo-bar"),
        ("foo-bar-1.0.tar.gz", "foo-bar"),
        ("Foo..Bar-1.0.zip", "foo-bar"),
    ],
)
def test_a_file_is_found_by_its_project_and_name(store: Store, filename: str, project: str) -> None:
    published = file(filename, project=project)

    store.add_file(published)

    assert store.find_entry("acme", project, filename).file == published


def test_a_file_is_not_found_in_another_project(store: Store) -> None:
    store.add_file(file())

    assert store.find_entry("acme", "gadgets", "widgets-1.0.tar.gz").file is None


@pytest.mark.parametrize("filename", ["widgets-1.1.tar.gz", "WIDGETS-1.0.tar.gz", "x", ""])
def test_a_file_that_is_not_there_is_not_found(store: Store, filename: str) -> None:
    store.add_file(file())

    assert store.find_entry("acme", "widgets", filename).file is None
    assert store.find_entry("other", "widgets", "widgets-1.0.tar.gz").file is None


def test_an_entry_has_the_status_of_its_project(store: Store) -> None:
    store.add_file(file())
    store.set_status("acme", "widgets", ARCHIVED)
    store.set_status("acme", "gadgets", QUARANTINED)

    assert store.find_entry("acme", "widgets", "widgets-1.0.tar.gz") == Entry(
        file(), None, ARCHIVED
    )
    assert store.find_entry("acme", "widgets", "widgets-2.0.tar.gz") == Entry(None, None, ARCHIVED)
    assert store.find_entry("other", "widgets", "widgets-1.0.tar.gz") == Entry(None, None, ACTIVE)


def test_a_file_name_is_given_once(store: Store) -> None:
    store.add_file(file())

    with pytest.raises(AlreadyPublishedError):
        store.add_file(file(sha256="2" * 64))

    assert store.find_entry("acme", "widgets", "widgets-1.0.tar.gz").file == file()


def test_the_same_bytes_at_another_time_are_published_already(store: Store) -> None:
    store.add_file(file())

    with pytest.raises(AlreadyPublishedError):
        store.add_file(file(uploaded_at=NOW + timedelta(days=1)))


def test_a_retried_write_of_a_file_recognises_its_first_attempt(store: Store) -> None:
    store.add_file(file())

    store.add_file(file())

    assert list(store.list_files("acme", "widgets")) == [file()]


def test_another_registry_has_file_names_of_its_own(store: Store) -> None:
    store.add_file(file())

    store.add_file(file(registry="other", sha256="2" * 64))

    assert store.find_entry("acme", "widgets", "widgets-1.0.tar.gz").file == file()
    assert list(store.list_projects("other")) == ["widgets"]


def test_the_files_of_a_project_are_listed_by_name(store: Store) -> None:
    names = ["widgets-2.0.tar.gz", "widgets-1.0.tar.gz", "Widgets-1.0-py3-none-any.whl"]
    for name in names:
        store.add_file(file(name))
    store.add_file(file("gadgets-1.0.tar.gz", project="gadgets"))

    found = store.list_files("acme", "widgets")

    assert [f.filename for f in found] == sorted(names)
    assert found[1] == file()


def test_every_project_with_a_file_is_listed_once_and_in_order(store: Store) -> None:
    for project in ("widgets", "a", "gadgets", "zope-interface"):
        store.add_file(file(f"{project}-1.0.tar.gz", project=project))
    store.add_file(file("widgets-2.0.tar.gz"))

    assert list(store.list_projects("acme")) == ["a", "gadgets", "widgets", "zope-interface"]


def test_a_registry_without_files_has_no_projects(store: Store) -> None:
    assert list(store.list_projects("acme")) == []
    assert list(store.list_files("acme", "widgets")) == []


def test_more_files_than_fit_on_one_page_are_all_listed(store: Store) -> None:
    # 50 x 30 KB: DynamoDB answers with at most 1 MB at a time.
    files = [
        replace(file(f"widgets-1.{n:02}.tar.gz"), published_by={"note": "x" * 30_000})
        for n in range(50)
    ]
    for one in files:
        store.add_file(one)

    assert list(store.list_files("acme", "widgets")) == files
