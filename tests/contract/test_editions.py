"""The edition of a project's page: find_edition and find_files agree, and none is wrong.

Two pages that differ never have the same edition, whatever was done between them.
"""

import random
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.endpoints.project_pages import Wanted
from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.storage.project_files import ProjectFiles
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError, Store
from pytp_broker.storage.sqlite import SqliteStore
from tests.contract.test_dynamodb import CrashError, Watched, crash_at
from tests.contract.test_listings import note_calls
from tests.contract.test_project_files import PLACE
from tests.contract.test_races import race
from tests.contract.test_session_publish import begin, records
from tests.support.samples import NOW, Table, file, session, staged, tombstone
from tests.support.shelf import Shelf

Change = Callable[[Store], Any]
PAGE: Final = "/acme/simple/widgets/"
NAMES: Final = [f"widgets-{number}.0.tar.gz" for number in range(4)]
STATUSES: Final = (
    ACTIVE,
    ProjectStatus("archived"),
    ProjectStatus("archived", "moved"),
    ProjectStatus("quarantined", "malware"),
)
STATES: Final = (
    AttestationState(AttestationStatus.VERIFIED),
    AttestationState(AttestationStatus.REFUSED, "no log has it"),
)


def add(number: int) -> Change:
    return lambda store: store.add_file(file(NAMES[number], version=f"{number}.0"))


def yank(key: str, reason: str | None) -> Change:
    return lambda store: store.yank_release(*PLACE, key, reason)


def reopen(key: str) -> Change:
    return lambda store: store.reopen_release(*PLACE, key, NOW)


def delete(name: str) -> Change:
    return lambda store: store.delete_file(*PLACE, name, tombstone())


def attest(name: str, state: AttestationState) -> Change:
    return lambda store: store.save_attestation_state(*PLACE, name, state)


def give(status: ProjectStatus) -> Change:
    return lambda store: store.set_status(*PLACE, status)


def changes() -> list[Change]:
    """Return every kind of change that a page shows, and some that it does not show."""
    of_files = (
        (
            add(number),
            *(yank(str(number), reason) for reason in ("breaks", "", None)),
            *(attest(name, state) for state in STATES),
            reopen(str(number)),
            delete(name),
        )
        for number, name in enumerate(NAMES)
    )
    return [*(each for group in of_files for each in group), *map(give, STATUSES)]


def shown(found: ProjectFiles | None) -> str:
    """Return all that a page may show."""
    return "" if found is None else repr((list(found.files), found.yanked, found.status))


@pytest.mark.parametrize("seed", range(2))
def test_pages_that_differ_have_different_editions(store: Store, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    seen: dict[str, str] = {}

    for change in chance.choices(changes(), k=25):
        change(store)
        found, edition = store.find_files(*PLACE), store.find_edition(*PLACE)

        if found is None:
            continue
        assert edition
        assert found.edition == edition
        assert seen.setdefault(edition, shown(found)) == shown(found)


def test_every_change_of_a_page_changes_its_edition(store: Store) -> None:
    add(0)(store)
    for change in changes():
        before, edition = shown(store.find_files(*PLACE)), store.find_edition(*PLACE)

        change(store)

        is_same = shown(store.find_files(*PLACE)) == before
        assert is_same or store.find_edition(*PLACE) != edition


def test_a_project_that_never_had_a_file_has_no_edition(store: Store) -> None:
    assert store.find_edition(*PLACE) is None

    store.yank_release(*PLACE, "1", "breaks")
    store.set_status(*PLACE, STATUSES[1])

    assert store.find_files(*PLACE) is None
    assert store.find_edition(*PLACE) is None


def test_the_first_file_gives_an_edition_to_a_project_that_has_a_status(store: Store) -> None:
    store.set_status(*PLACE, STATUSES[1])

    add(0)(store)

    assert store.find_edition(*PLACE)


def test_a_project_whose_files_are_all_deleted_has_an_edition(store: Store) -> None:
    add(0)(store)
    delete(NAMES[0])(store)

    found = store.find_files(*PLACE)
    assert found is not None
    assert found.edition == store.find_edition(*PLACE) is not None


@pytest.mark.parametrize("condition", ['"known"', "*"])
def test_no_condition_of_a_client_makes_a_page_of_a_project_without_a_file(
    store: Store, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    """No client has a tag of such a page. Here every edition has the same tag."""
    store.yank_release(*PLACE, "1", "breaks")
    store.set_status(*PLACE, STATUSES[1])
    shelf = Shelf()
    for method in ("find_edition", "find_files"):
        monkeypatch.setattr(shelf.store, method, getattr(store, method))
    monkeypatch.setattr(Wanted, "possible_tags", lambda *_: ['"known"'])

    answers = [
        shelf.call("GET", PAGE),
        shelf.call("GET", PAGE, headers={"if-none-match": condition}),
    ]

    assert [answer.status for answer in answers] == [404, 404]
    assert answers[0].body == answers[1].body


def test_a_refused_file_leaves_the_edition(store: Store) -> None:
    add(0)(store)
    before = store.find_edition(*PLACE)

    add(0)(store)
    with pytest.raises(AlreadyPublishedError):
        store.add_file(file(NAMES[0], version="0.0", sha256="f" * 64))

    assert store.find_edition(*PLACE) == before


def test_another_project_leaves_the_edition(store: Store) -> None:
    add(0)(store)
    before = store.find_edition(*PLACE)

    store.add_file(file("gadgets-1.0.tar.gz", project="gadgets"))
    store.set_status("acme", "gadgets", STATUSES[1])
    store.yank_release("other", "widgets", "1", "breaks")

    assert store.find_edition(*PLACE) == before


def test_a_published_session_gives_a_new_edition(store: Store) -> None:
    add(0)(store)
    before = store.find_edition(*PLACE)
    begun = begin(store)
    store.reserve(begun, records(begun))

    assert store.find_edition(*PLACE) == before
    assert store.publish_session(begun.published(NOW))

    found = store.find_files(*PLACE)
    assert found is not None
    assert found.edition == store.find_edition(*PLACE) != before


def test_writers_at_the_same_time_leave_the_edition_of_the_page(racing_store: Store) -> None:
    chosen = changes()
    add(0)(racing_store)

    race(len(chosen), lambda number: chosen[number](racing_store))

    found = racing_store.find_files(*PLACE)
    assert found is not None
    assert racing_store.find_edition(*PLACE) == found.edition


DYNAMO_CHANGES: Final[dict[str, Change]] = {
    "add": add(1),
    "yank": yank("0", "breaks"),
    "delete": delete(NAMES[0]),
    "attest": attest(NAMES[0], STATES[0]),
    "status": give(STATUSES[3]),
}


@pytest.mark.parametrize("change", DYNAMO_CHANGES.values(), ids=DYNAMO_CHANGES)
@pytest.mark.parametrize("number", range(8))
def test_no_edition_is_wrong_before_and_after_any_write(
    moto_table: Table, change: Change, number: int
) -> None:
    """What a reader is told in the middle of a change, and if the writer dies there."""
    store = DynamoStore(moto_table.client, moto_table.name)
    add(0)(store)
    seen = {store.find_edition(*PLACE): shown(store.find_files(*PLACE))}

    def look(_: int = 0) -> None:
        edition = store.find_edition(*PLACE)
        if edition is not None:
            page = shown(store.find_files(*PLACE))
            assert seen.setdefault(edition, page) == page

    def die(at: int) -> None:
        look()
        crash_at(number)(at)

    client: Any = Watched(moto_table.client, before=die, after=look)
    with suppress(CrashError):
        change(DynamoStore(client, moto_table.name))
    look()
    add(2)(store)
    look()


def test_a_writer_at_work_leaves_no_edition(moto_table: Table) -> None:
    store = DynamoStore(moto_table.client, moto_table.name)
    add(0)(store)
    client: Any = Watched(moto_table.client, after=crash_at(0))

    with pytest.raises(CrashError):
        add(1)(DynamoStore(client, moto_table.name))

    found = store.find_files(*PLACE)
    assert found is not None
    assert (found.edition, store.find_edition(*PLACE)) == (None, None)


def test_a_floor_that_an_earlier_version_has_set_leaves_no_edition(moto_table: Table) -> None:
    store = DynamoStore(moto_table.client, moto_table.name)
    add(0)(store)
    moto_table.client.update_item(
        TableName=moto_table.name,
        Key={"pk": {"S": "LISTING#acme#widgets"}, "sk": {"S": "MARKS"}},
        UpdateExpression="SET #floor = #floor + :one",
        ExpressionAttributeNames={"#floor": "floor"},
        ExpressionAttributeValues={":one": {"N": "1"}},
    )

    assert store.find_edition(*PLACE) is None


def test_the_edition_is_one_small_row_of_a_project_that_never_had_a_status(
    moto_table: Table,
) -> None:
    store = DynamoStore(moto_table.client, moto_table.name)
    add(0)(store)
    calls = note_calls(moto_table.client)

    store.find_edition(*PLACE)
    assert calls == ["GetItem"]

    store.set_status(*PLACE, ACTIVE)
    calls.clear()
    store.find_edition(*PLACE)
    assert calls == ["GetItem", "GetItem"]


def test_a_database_of_version_0_1_0_gets_an_edition_for_each_project(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    with closing(SqliteStore(path)) as store:
        add(0)(store)
        store.add_file(file("gadgets-1.0.tar.gz", project="gadgets"))
        with store._write() as connection:
            forget_editions(connection)

    with closing(SqliteStore(path)) as store:
        first, other = store.find_edition(*PLACE), store.find_edition("acme", "gadgets")
        assert first
        assert other
        assert first != other
        add(1)(store)
        assert store.find_edition(*PLACE) != first
        assert store.find_edition("acme", "gadgets") == other


def forget_editions(connection: Any) -> None:
    """Leave the file as version 0.1.0 writes it."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in found:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DROP TABLE project_editions")


def test_a_session_that_is_only_staged_leaves_the_edition(store: Store) -> None:
    add(0)(store)
    before = store.find_edition(*PLACE)

    store.add_session(session(staged()))

    assert store.find_edition(*PLACE) == before
