"""The cache of the configuration: it is fresh, shared by threads, and never guesses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
import time_machine

from pytp_broker.errors import StoreUnavailable
from pytp_broker.registries import Configuration
from pytp_broker.storage.cache import CONFIGURATION_MAX_AGE_SECONDS, ConfigurationCache


class Source:
    """A store and two clocks, of which the test decides."""

    def __init__(self) -> None:
        self.seconds, self.wall_seconds = 0.0, 0.0
        self.reads = 0
        self.is_down = False

    @property
    def clocks(self) -> list[Callable[[], float]]:
        return [lambda: self.seconds, lambda: self.wall_seconds]

    def load(self) -> Configuration:
        self.reads += 1
        if self.is_down:
            raise StoreUnavailable("down")
        return Configuration()


def test_the_configuration_is_read_once_in_ten_seconds() -> None:
    source = Source()
    cache = ConfigurationCache(source.load, source.clocks)

    for seconds in (0.0, 5.0, CONFIGURATION_MAX_AGE_SECONDS - 0.1):
        source.seconds = seconds
        cache.current()
    assert source.reads == 1

    source.seconds = CONFIGURATION_MAX_AGE_SECONDS
    cache.current()
    assert source.reads == 2


def test_a_configuration_may_be_read_more_often() -> None:
    source = Source()
    cache = ConfigurationCache(source.load, source.clocks, max_age_seconds=5)

    for source.seconds in (0.0, 4.9, 5.0):
        cache.current()

    assert source.reads == 2


@pytest.mark.parametrize(
    ("seconds", "wall_seconds"), [(0.1, 3600.0), (3600.0, 0.1), (0.1, -1.0), (3600.0, -3600.0)]
)
def test_either_clock_may_stand_still_or_be_set_and_the_configuration_is_not_old(
    seconds: float, wall_seconds: float
) -> None:
    source = Source()
    cache = ConfigurationCache(source.load, source.clocks)
    cache.current()

    source.seconds, source.wall_seconds = seconds, wall_seconds
    cache.current()

    assert source.reads == 2


def test_an_old_configuration_is_known_by_both_clocks_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Source()
    cache = ConfigurationCache(source.load)
    cache.current()

    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1)):  # a function that was frozen
        cache.current()

    assert source.reads == 2


def test_a_configuration_that_cannot_be_read_is_not_guessed() -> None:
    source = Source()
    cache = ConfigurationCache(source.load, source.clocks)
    cache.current()

    source.is_down, source.seconds = True, CONFIGURATION_MAX_AGE_SECONDS
    with pytest.raises(StoreUnavailable):
        cache.current()

    source.is_down, source.seconds = False, CONFIGURATION_MAX_AGE_SECONDS + 1
    assert cache.current() == Configuration()


def test_whoever_waited_for_a_failure_does_not_wait_for_the_next() -> None:
    source, loading, arrived = Source(), Event(), Event()
    source.is_down = True

    def slow_load() -> Configuration:
        loading.set()
        assert arrived.wait(5)
        source.seconds += 4
        return source.load()

    def clock() -> float:
        if loading.is_set():
            arrived.set()  # the second caller asks for the time before it waits
        return source.seconds

    cache = ConfigurationCache(slow_load, [clock])
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.current)
        assert loading.wait(5)
        second = pool.submit(cache.current)

        for answer in (first, second):
            with pytest.raises(StoreUnavailable):
                answer.result(5)
    assert source.reads == 1
