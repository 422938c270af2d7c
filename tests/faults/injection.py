"""Faults between the functions and the services that they depend on.

A ``Line`` carries numbered calls and spoils one of them. A call is something else in each place
where a line is laid: a method of a store (here), a request of boto3 (``wire.py``), a statement of
SQLite (``statements.py``).
"""

from collections.abc import Callable
from enum import Enum
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from pytp_broker.errors import StoreUnavailable
from tests.support.figures import FAULTS

T = TypeVar("T")


class Fault(Enum):
    """What may happen to a call."""

    BEFORE = "fails before it is applied"
    AFTER = "is applied, and its answer is lost"
    THROTTLED = "is refused, and so is every call after it"
    SLOW = "takes seconds, and so does every call after it"


class Line:
    """Carries calls; after ``break_at`` one of them fails, until ``repair``.

    ``delay`` lets the time pass that a slow call takes, once on each way: ``seconds`` of it.
    """

    def __init__(self, error: Callable[[], Exception] | None = None, seconds: int = 3) -> None:
        self._error = error or partial(StoreUnavailable, "the store did not answer")
        self.seconds = seconds
        self.delay: Callable[[], object] = lambda: None
        self._numbering = Lock()
        self.repair()

    def repair(self) -> None:
        """Carry everything from now on."""
        self.calls: list[str] = []
        self._number: int | None = None
        self._fault = Fault.BEFORE
        self._step: Callable[[], object] | None = None
        self._is_late = False

    def break_at(self, number: int, fault: Fault) -> None:
        """Let the call of this number fail, counted from now."""
        self.repair()
        self._number, self._fault = number, fault

    def meet_at(self, number: int, step: Callable[[], object], *, is_late: bool = False) -> None:
        """Let somebody else do something just before the call of this number, or just after it."""
        self.break_at(number, Fault.BEFORE)
        self._step, self._is_late = step, is_late

    @property
    def was_hit(self) -> bool:
        """Say whether that call has come."""
        return self._number is not None and self._number < len(self.calls)

    @property
    def broken_call(self) -> str:
        """Return the name of the call that was spoiled."""
        assert self._number is not None
        return self.calls[self._number]

    def carry(self, name: str, call: Callable[[], T]) -> T:
        """Make a call, or what the fault makes of it."""
        with self._numbering:
            number = len(self.calls)
            self.calls.append(name)
        if self._step is not None:
            return self._meet(number, self._step, call)
        if self.was_hit and self._fault is Fault.SLOW:
            return self._carry_slowly(call)
        if number == self._number and self._fault is Fault.AFTER:
            call()
            self._fail()
        if number == self._number or (self.was_hit and self._fault is Fault.THROTTLED):
            self._fail()
        return call()

    def _carry_slowly(self, call: Callable[[], T]) -> T:
        FAULTS["slow calls"] += 1
        self.delay()
        result = call()
        self.delay()
        return result

    def _fail(self) -> None:
        FAULTS["faults"] += 1
        raise self._error()

    def _meet(self, number: int, step: Callable[[], object], call: Callable[[], T]) -> T:
        if number != self._number:
            return call()
        FAULTS["steps of others"] += 1
        if not self._is_late:
            step()
        result = call()
        if self._is_late:
            step()
        return result


class Remote:
    """A Store or a FileStore at the other end of a line."""

    def __init__(self, target: Any, line: Line) -> None:
        self._target = target
        self._line = line

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        return lambda *args, **kwargs: self._line.carry(name, partial(method, *args, **kwargs))
