"""Calls side by side: they overlap, their errors arrive, and none runs on after the block."""

from collections.abc import Iterator
from threading import Barrier, Event, current_thread
from typing import Any

import pytest

from pytp_broker.side_by_side import SideBySide, Threads, in_order

SECONDS = 60


@pytest.fixture(params=["in order", "threads"])
def side_by_side(request: pytest.FixtureRequest) -> SideBySide:
    return in_order if request.param == "in order" else Threads(2)


def test_results_are_what_the_calls_return(side_by_side: SideBySide) -> None:
    with side_by_side() as begin:
        pending = [begin(lambda n=n: n * n) for n in range(5)]  # type: ignore[misc]

        assert [each.result() for each in pending] == [0, 1, 4, 9, 16]


def test_an_error_is_raised_where_the_result_is_asked_for(side_by_side: SideBySide) -> None:
    with side_by_side() as begin:
        pending = begin(lambda: dict[str, str]()["missing"])
        assert begin(lambda: 1).result() == 1
        with pytest.raises(KeyError, match="missing"):
            pending.result()


def test_in_order_no_call_is_made_after_one_that_failed() -> None:
    made = list[str]()

    def work() -> None:
        with in_order() as begin:
            first, second = begin(lambda: 1 // 0), begin(lambda: made.append("second"))
            first.result()
            second.result()

    with pytest.raises(ZeroDivisionError):
        work()
    assert made == []


def test_threads_make_calls_at_the_same_time() -> None:
    meeting = Barrier(3)
    with Threads(2)() as begin:
        pending = [begin(lambda: meeting.wait(SECONDS)) for _ in range(2)]
        meeting.wait(SECONDS)

        assert sorted(each.result() for each in pending) != []


@pytest.fixture
def busy() -> Iterator[tuple[Threads, Event]]:
    """Return threads of which none is free until the event."""
    threads, end = Threads(1), Event()
    with threads() as begin:
        begin(lambda: end.wait(SECONDS))
        yield threads, end
        end.set()


def test_a_call_for_which_no_thread_is_free_is_made_by_the_one_that_waits(
    busy: tuple[Threads, Event],
) -> None:
    threads, _ = busy
    with threads() as begin:
        assert begin(current_thread).result() is current_thread()


def test_a_call_may_begin_further_calls() -> None:
    threads = Threads(1)

    def nested() -> list[Any]:
        with threads() as begin:
            pending = [begin(lambda n=n: n) for n in range(3)]  # type: ignore[misc]
            return [each.result() for each in pending]

    with threads() as begin:
        pending = [begin(nested) for _ in range(3)]
        assert [each.result() for each in pending] == [[0, 1, 2]] * 3


def test_no_call_runs_after_the_block_even_if_it_failed() -> None:
    began, end, ended = Event(), Event(), list[bool]()

    def work() -> None:
        began.set()
        ended.append(end.wait(SECONDS))

    def fail() -> None:
        with Threads(1)() as begin:
            begin(work)
            assert began.wait(SECONDS)
            end.set()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert ended == [True]


def test_a_call_that_has_not_begun_when_the_block_fails_is_never_made(
    busy: tuple[Threads, Event],
) -> None:
    threads, end = busy
    made = list[str]()

    def fail() -> None:
        with threads() as begin:
            begin(lambda: made.append("late"))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    end.set()
    with threads() as begin:
        begin(lambda: None).result()

    assert made == []
