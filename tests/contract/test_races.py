"""Races: of many calls at the same moment one wins, and all others learn that they lost."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TypeVar

import pytest

from pytp_broker.aws.dynamodb import applying
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import (
    AlreadyExchangedError,
    AlreadyPublishedError,
    ReservedError,
    Store,
)
from pytp_broker.trust.built_in import with_built_in
from tests.support.samples import (
    ACME,
    GITHUB,
    NOW,
    OTHER,
    configuration,
    file,
    for_repository,
    publisher,
    record,
    session,
    staged,
)

THREADS = 16
T = TypeVar("T")


def race(attempts: int, attempt: Callable[[int], T]) -> list[T]:
    """Run all attempts on 16 threads that start together."""
    start = Barrier(THREADS)
    with ThreadPoolExecutor(THREADS, initializer=start.wait) as pool:
        return list(pool.map(attempt, range(attempts)))


@pytest.mark.promise("exchanged-once")
def test_fifty_parallel_exchanges_of_one_identity_token_give_one_token(
    racing_store: Store,
) -> None:
    def exchange(number: int) -> str | None:
        mine = record(f"secret {number}")
        try:
            racing_store.add_token(mine)
        except AlreadyExchangedError:
            return None
        return mine.token_hash

    (winner,) = [won for won in race(50, exchange) if won is not None]

    found = racing_store.find_token(record().lookup_id, ("acme", "widgets"))
    assert found is not None
    assert found[0].token_hash == winner


def test_parallel_exchanges_of_many_identity_tokens_all_succeed(racing_store: Store) -> None:
    race(50, lambda n: racing_store.add_token(record(f"secret {n}", lookup_id=f"{n:032x}")))

    for n in range(50):
        assert racing_store.find_token(f"{n:032x}", ("acme", "widgets")) is not None


@pytest.mark.promise("renamed-owner")
def test_all_racing_first_uses_are_told_the_same_pins(racing_store: Store) -> None:
    racing_store.apply(configuration(), [publisher()])

    def pin(number: int) -> tuple[tuple[str, str], ...]:
        pins = {"repository_owner_id": f"owner {number}", "repository_id": f"repo {number}"}
        in_force = racing_store.pin_publisher(publisher(), pins)
        assert in_force is not None
        return tuple(sorted(in_force.items()))

    (told,) = set(race(50, pin))

    (stored,) = racing_store.list_publishers(publisher().identity_key)
    assert tuple(sorted(stored.pins.items())) == told
    assert len({text.split()[1] for _, text in told}) == 1, "the pins are one writer's"


@pytest.mark.promise("immutable-file")
def test_one_of_racing_uploads_gets_the_name(racing_store: Store) -> None:
    def upload(number: int) -> str | None:
        mine = file(sha256=f"{number:064x}")
        try:
            racing_store.add_file(mine)
        except AlreadyPublishedError:
            return None
        return mine.sha256

    (winner,) = [won for won in race(50, upload) if won is not None]

    (stored,) = racing_store.list_files("acme", "widgets")
    assert stored.sha256 == winner


def test_racing_requests_for_one_version_get_one_session(racing_store: Store) -> None:
    made = race(50, lambda n: racing_store.add_session(session(number=n)))

    (token,) = {each.token for each in made}
    assert [each.token for each in racing_store.list_sessions(NOW)] == [token]


def test_racing_changes_of_a_session_are_all_in_it_or_refused(racing_store: Store) -> None:
    racing_store.add_session(session())

    def add(number: int) -> bool:
        present = racing_store.find_session(session().token)
        assert present is not None
        files = {**present.files, str(number): staged(str(number))}
        return racing_store.save_session(present.changed(files=files), present)

    saved = race(50, add)

    found = racing_store.find_session(session().token)
    assert found is not None
    assert set(found.files) == {str(number) for number, is_saved in enumerate(saved) if is_saved}
    assert found.revision == 1 + sum(saved)


@pytest.mark.promise("immutable-file")
def test_a_name_is_published_by_one_of_racing_sessions_and_uploads(racing_store: Store) -> None:
    name = "widgets-1.0.tar.gz"

    def upload(number: int) -> str | None:
        mine = file(sha256=f"{number:064x}")
        try:
            racing_store.add_file(mine)
        except (AlreadyPublishedError, ReservedError):
            return None
        return mine.sha256

    def publish(number: int) -> str | None:
        mine = session(staged(), number=number, key=str(number))
        processing = mine.processing(NOW)
        record = file(sha256=f"{number:064x}", upload_id=f"{number:032x}")
        racing_store.add_session(mine)
        racing_store.save_session(processing, mine)
        if racing_store.reserve(processing, [record]):
            racing_store.save_session(processing.failed("taken"), processing)
            return None
        assert racing_store.publish_session(processing.published(NOW))
        return record.sha256

    won = race(50, lambda number: publish(number) if number % 2 else upload(number))

    (winner,) = [each for each in won if each is not None]
    found = racing_store.find_entry("acme", "widgets", name).file
    assert found is not None
    assert found.sha256 == winner


def test_readers_see_all_files_of_a_publish_or_none(racing_store: Store) -> None:
    files = [staged(f"widgets-1.0-{number}-py3-none-any.whl") for number in range(30)]
    mine = session(*files)
    processing = mine.processing(NOW)
    racing_store.add_session(mine)
    racing_store.save_session(processing, mine)

    def look(number: int) -> int:
        if number == 0:
            racing_store.reserve(processing, [f.file for f in files if f.file is not None])
            racing_store.publish_session(processing.published(NOW))
        listed = len(racing_store.list_files("acme", "widgets"))
        if number % 2:
            pieces = racing_store.survey("acme")
            listed = len([piece for piece in pieces if isinstance(piece, PublishedFile)])
        return listed

    seen = race(50, look)

    assert set(seen) <= {0, 30}
    assert seen[0] == 30


@pytest.mark.promise("single-use")
def test_a_single_use_token_is_used_for_one_of_racing_files(racing_store: Store) -> None:
    mine = record()
    racing_store.add_token(mine)

    outcomes = race(50, lambda n: racing_store.use_token(mine, str(n)))

    assert Counter(outcomes) == {True: 1, False: 49}


def test_a_refresh_is_claimed_by_one_of_many_instances(racing_store: Store) -> None:
    cooldown = timedelta(seconds=60)

    claimed = race(50, lambda _: racing_store.claim_key_set_refresh(GITHUB, NOW, cooldown))

    assert Counter(claimed) == {True: 1, False: 49}


def test_a_token_is_burned_by_one_of_many(racing_store: Store) -> None:
    racing_store.add_token(record())

    burned = race(
        50,
        lambda _: racing_store.burn_token(record().lookup_id, record().token_hash, None, NOW),
    )

    assert Counter(burned) == {True: 1, False: 49}


@pytest.mark.parametrize("repetition", range(5))
def test_applies_at_the_same_time_leave_what_one_of_them_wanted(
    racing_store: Store, repetition: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Chance decides for how many rounds they disturb each other. After ten rounds they would give
    # up.
    monkeypatch.setattr(applying, "MAX_APPLY_ROUNDS", 1000)
    racing_store.apply(configuration(), [publisher("id-0", projects=("old",))])
    shared = {"projects": ("widgets", "gadgets")}
    wanted = [
        (configuration(ACME), [publisher("id-1"), for_repository("octo-org/a", "id-2")]),
        (configuration(OTHER), [for_repository("octo-org/a", "id-3", **shared)]),
    ]
    start = Barrier(2)

    def apply(number: int) -> None:
        start.wait()
        racing_store.apply(*wanted[number])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(apply, range(2)))

    is_second = racing_store.load_configuration() == with_built_in(configuration(OTHER))
    main, publishers = wanted[is_second]
    assert racing_store.load_configuration() == with_built_in(main)
    keys = {p.identity_key for _, everyone in wanted for p in everyone}
    found = [p for key in keys for p in racing_store.list_publishers(key)]
    assert {(p.rules_hash, p.projects) for p in found} == {
        (p.rules_hash, p.projects) for p in publishers
    }
    racing_store.add_token(record())
    for project in ("old", "widgets", "gadgets"):
        token = racing_store.find_token(record().lookup_id, ("acme", project))
        assert token is not None
        assert set(token[1]) == {p.publisher_id for p in found if project in p.projects}
