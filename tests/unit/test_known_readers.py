"""What is remembered of a token that was verified for reading, and for how long."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker import known_readers
from pytp_broker.known_readers import KnownReaders, Reader
from pytp_broker.registries import Registry
from pytp_broker.tokens import UploadToken
from tests.support.deployment import Clock
from tests.support.shelf import Shelf
from tests.support.signing import GITHUB, NOW
from tests.support.stock import WHEEL_PATH, stocked_shelf

PAGES = ("/acme/simple/", "/acme/simple/widgets/", WHEEL_PATH, f"{WHEEL_PATH}.metadata")
KEY = ("acme", "0" * 64)


@pytest.fixture
def shelf() -> Shelf:
    shelf = stocked_shelf()
    shelf.change(access="private")
    return shelf


def read(shelf: Shelf, path: str = "/acme/simple/", token: UploadToken | None = None) -> int:
    return shelf.get(path, None, authorization=shelf.basic(token)).status


def calls_of(shelf: Shelf, path: str) -> list[str]:
    """Return the calls of the store that one request makes."""
    shelf.store.calls.clear()
    assert read(shelf, path) == 200
    return list(shelf.store.calls)


# Cost


@pytest.mark.parametrize("path", PAGES)
def test_a_private_page_costs_one_round_trip_more_and_then_none(shelf: Shelf, path: str) -> None:
    shelf.change(access="public")
    cold, warm = calls_of(shelf, path), calls_of(shelf, path)
    shelf.change(access="private")

    assert sorted(calls_of(shelf, path)) == sorted([*cold, "find_token"])
    assert calls_of(shelf, path) == warm


def test_the_pages_of_one_installation_ask_for_the_token_once(shelf: Shelf) -> None:
    calls = [call for path in PAGES for call in calls_of(shelf, path)]

    assert calls.count("find_token") == 1


@pytest.mark.parametrize(("seconds", "asked"), [(9.9, 0), (10.0, 1)])
def test_a_token_is_remembered_for_ten_seconds(shelf: Shelf, seconds: float, asked: int) -> None:
    read(shelf)
    shelf.advance(seconds=seconds)

    assert calls_of(shelf, "/acme/simple/").count("find_token") == asked


# What ends it


@pytest.mark.promise("dead-token")
def test_a_burned_token_reads_for_ten_seconds_at_most(shelf: Shelf) -> None:
    read(shelf)
    shelf.store.burn_token(shelf.token.lookup_id, shelf.token.hash, None, shelf.now)

    shelf.advance(seconds=10)

    assert read(shelf) == 401


@pytest.mark.promise("removed-publisher")
def test_a_removed_publisher_ends_reading_within_ten_seconds(shelf: Shelf) -> None:
    read(shelf)
    shelf.store.apply(shelf.configuration, [])

    shelf.advance(seconds=10)

    assert read(shelf) == 403


def test_an_expired_token_reads_no_longer_though_it_is_remembered(shelf: Shelf) -> None:
    token = shelf.mint(age_seconds=895)
    assert read(shelf, token=token) == 200

    shelf.advance(seconds=5)

    assert read(shelf, token=token) == 401


@pytest.mark.promise("switched-off")
def test_a_switch_ends_reading_as_soon_as_the_configuration_is_read_again(shelf: Shelf) -> None:
    read(shelf)
    shelf.advance(seconds=6)
    later = shelf.mint(lookup_id="e" * 32)
    assert read(shelf, token=later) == 200  # verified now, and the configuration is 6 s old
    shelf.store.apply(replace(shelf.configuration, enabled=False), shelf.publishers)

    shelf.advance(seconds=4)

    assert read(shelf, token=later) == 403


def test_another_secret_with_the_same_id_is_not_the_token_that_is_remembered(shelf: Shelf) -> None:
    read(shelf)

    assert read(shelf, token=UploadToken.mint(shelf.token.lookup_id)) == 401


def test_what_is_remembered_for_one_registry_counts_in_no_other(shelf: Shelf) -> None:
    registries = {name: Registry(name, (GITHUB,)) for name in ("acme", "other")}
    shelf.configuration = replace(shelf.configuration, registries=registries)
    shelf.apply()
    token = shelf.mint(("acme", "widgets", "p-widgets"))

    assert read(shelf, token=token) == 200
    assert read(shelf, "/other/simple/", token) == 401


def test_a_refusal_is_not_remembered(shelf: Shelf) -> None:
    token = shelf.mint(lookup_id="e" * 32)
    record = shelf.store.tokens.pop(token.lookup_id)
    assert read(shelf, token=token) == 401

    shelf.store.tokens[token.lookup_id] = record

    assert read(shelf, token=token) == 200


# The memory itself


def reader(known: KnownReaders) -> Reader:
    return Reader(GITHUB, NOW + timedelta(hours=1), known.now())


def test_the_memory_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_readers, "MAX_READERS", 2)
    known = KnownReaders([lambda: 0.0])
    for name in ("a", "b", "a", "c"):
        known.add((name, ""), reader(known))

    assert [name for name in "abc" if known.find((name, ""))] == ["a", "c"]


def test_the_memory_forgets_what_is_too_old_when_another_comes() -> None:
    clock = Clock()
    known = KnownReaders([lambda: clock.ticks])
    for name, seconds in (("a", 0.0), ("b", 9.0), ("c", 1.0)):
        clock.ticks += seconds
        known.add((name, ""), reader(known))

    assert [name for name, _ in vars(known)["_readers"]] == ["b", "c"]


def test_a_reader_whose_verification_took_too_long_is_not_remembered() -> None:
    clock = Clock()
    known = KnownReaders([lambda: clock.ticks])
    slow = reader(known)
    clock.ticks += 10

    known.add(KEY, slow)

    assert not vars(known)["_readers"]


@pytest.mark.parametrize("broken", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize("jump", [-1.0, 10.0], ids=["set back", "too old"])
def test_both_clocks_must_agree(broken: int, jump: float) -> None:
    clocks = [Clock(), Clock()]
    known = KnownReaders([lambda: clocks[0].ticks, lambda: clocks[1].ticks])
    known.add(KEY, reader(known))
    assert known.find(KEY)

    clocks[broken].ticks += jump

    assert known.find(KEY) is None


@pytest.mark.promise("hashes-only")
def test_the_memory_holds_no_token(shelf: Shelf) -> None:
    read(shelf)

    remembered = repr(vars(shelf.index.known_readers))

    assert shelf.token.hash in remembered
    assert shelf.token.reveal() not in remembered
