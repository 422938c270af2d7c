"""A survey of a registry, which commands make: survey."""

from datetime import timedelta

from pytp_broker.index.inventory import take_inventory
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.survey import DeletedFile, GivenStatus, TrustedBy, YankedRelease
from pytp_broker.storage.withdrawals import Tombstone
from tests.support.samples import NOW, configuration, file, operation, publisher, record, release

ARCHIVED = ProjectStatus("archived", "use gadgets")
TOMBSTONE = Tombstone("contains a password", "user olive", NOW)


def test_every_piece_of_a_registry_is_surveyed(store: Store) -> None:
    store.apply(configuration(), [publisher(projects=("widgets", "gadgets"))])
    for name in ("widgets-1.0.tar.gz", "widgets-1.1.tar.gz"):
        store.add_file(file(name))
    store.yank_release("acme", "widgets", "1", "breaks")
    store.delete_file("acme", "widgets", "widgets-1.1.tar.gz", TOMBSTONE)
    store.set_status("acme", "widgets", ARCHIVED)

    found = list(store.survey("acme"))

    wanted = [
        file("widgets-1.0.tar.gz"),
        file("widgets-1.1.tar.gz"),
        TrustedBy("widgets", "id-1"),
        TrustedBy("gadgets", "id-1"),
        GivenStatus("widgets", ARCHIVED),
        YankedRelease("widgets", "1", "breaks"),
        DeletedFile("widgets", "widgets-1.1.tar.gz", TOMBSTONE),
    ]
    assert len(found) == len(wanted)
    assert all(piece in found for piece in wanted)


def test_other_registries_and_other_records_are_no_part_of_it(store: Store) -> None:
    store.apply(configuration(), [publisher(registry="other", projects=("gizmos",))])
    store.add_file(file("gizmos-1.0.tar.gz", registry="other", project="gizmos"))
    store.add_token(record())
    store.add_operator_record(operation(), NOW)
    store.yank_release("other", "gizmos", "1", "breaks")
    store.set_status("other", "gizmos", ARCHIVED)
    store.save_release(release(), None)
    store.reopen_release("acme", "widgets", "1", NOW)

    assert list(store.survey("acme")) == []
    assert list(store.survey("acm")) == []


def test_what_was_taken_back_is_no_part_of_it(store: Store) -> None:
    store.apply(configuration(), [publisher()])
    store.apply(configuration(), [])
    store.yank_release("acme", "widgets", "1", "breaks")
    store.yank_release("acme", "widgets", "1", None)
    store.set_status("acme", "widgets", ARCHIVED)
    store.set_status("acme", "widgets", ProjectStatus("active"))

    assert list(store.survey("acme")) == []


def test_a_project_that_is_active_again_has_no_status_in_it(store: Store) -> None:
    store.add_file(file())
    store.set_status("acme", "widgets", ARCHIVED)
    store.set_status("acme", "widgets", ProjectStatus("active"))

    assert list(store.survey("acme")) == [file()]


def test_many_projects_are_surveyed_by_name(store: Store) -> None:
    names = [f"project-{number:03}" for number in range(60)]
    for name in reversed(names):
        for version in ("1.0", "1.1"):
            filename = f"{name.replace('-', '_')}-{version}.tar.gz"
            store.add_file(
                file(
                    filename,
                    project=name,
                    version=version,
                    published_by={"note": "x" * 10_000},
                    uploaded_at=NOW + timedelta(seconds=1),
                )
            )

    found = take_inventory(store.survey("acme"))

    assert [project.name for project in found] == names
    assert {project.latest_version for project in found} == {"1.1"}
    assert {len(project.files) for project in found} == {2}
