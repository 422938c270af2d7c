"""An operation of the real code that stops before each call, and goes on from there in any state.

An operation is a request to the real endpoints, or a command of an operator. Its local state is
nothing but what its calls have returned so far: the code reads no clock, no random number and no
cache but through what we pass in. So we do not keep a thread for it. To go on, we run it again from
its beginning with what its earlier calls have returned, and stop it at the first call that has no
result yet. ``Progress`` remembers which call that is, so each point of an operation runs once.
"""

import random
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from tests.support.deployment import Answer

# Where a call goes: to the store, to the file store, or to the memory of its own process.
STORE: Final = "store"
FILES: Final = "files"
PROCESS: Final = "process"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that an operation makes."""

    target: str
    name: str
    arguments: tuple[Any, ...]
    key: Hashable = field(repr=False)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: the true one in seconds, and how far the clock of the process is from it."""

    seconds: int = 0
    skew: int = 0

    def __str__(self) -> str:
        skew = f", {self.skew:+} s on its clock" if self.skew else ""
        return f"{self.seconds} s{skew}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call returned or raised, and when the operation went on with that."""

    result: Any = field(compare=False)
    error: Exception | None = field(compare=False)
    key: Hashable
    at: Moment

    def later(self, at: Moment) -> "Reply":
        """Return the reply as it comes at another time."""
        return Reply(self.result, self.error, self.key, at)


@dataclass(frozen=True, slots=True)
class Operation:
    """What an actor does next: a request, or a command.

    ``label`` says who does it, which step of theirs it is, and the how manyeth attempt; random
    numbers depend on it alone. ``inputs`` are what else makes it differ from another operation.
    ``facts`` say what it is about, for the invariants.
    """

    label: str
    kind: str
    act: Callable[["Run"], Answer] = field(compare=False)
    inputs: Hashable = ()
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)


class Progress:
    """A point in an operation: what its calls have returned so far.

    Then it waits with its next ``call``, or it has its ``answer``.
    """

    __slots__ = ("_later", "answer", "before", "call", "operation", "reply", "since")

    def __init__(self, operation: Operation, since: Moment, runner: "Runner") -> None:
        self.operation, self.since = operation, since
        self.before: Progress | None = None
        self.reply: Reply | None = None
        self._later: dict[Hashable, Progress] = {}
        self.call, self.answer = runner.run(self)

    def after(self, reply: Reply, runner: "Runner") -> "Progress":
        """Return the point at which the next call has returned, or raised, this."""
        key = (reply.key, reply.at)
        if key not in self._later:
            later = object.__new__(Progress)
            later.operation, later.since = self.operation, reply.at
            later.before, later.reply, later._later = self, reply, {}
            later.call, later.answer = runner.run(later)
            self._later[key] = later
        return self._later[key]

    def replies(self) -> list[Reply]:
        """Return what the calls have returned, in order."""
        found, point = list[Reply](), self
        while point.before is not None and point.reply is not None:
            found.append(point.reply)
            point = point.before
        return found[::-1]

    def begin(self) -> Moment:
        """Return when the operation began."""
        point = self
        while point.before is not None:
            point = point.before
        return point.since


class _PausedError(BaseException):
    """The operation has come to a call that has not returned yet."""


class Run:
    """One run of an operation from its beginning: ``at`` is the time that its clocks show."""

    def __init__(self, begin: Moment, replies: list[Reply], desk: Any) -> None:
        self.at, self.desk = begin, desk
        self.waiting: Call | None = None
        self._replies: Iterator[Reply] = iter(replies)

    def carry(self, call: Call) -> Any:
        """Return or raise what the call did, or stop here."""
        reply = None if self.waiting else next(self._replies, None)
        if reply is None:
            self.waiting = self.waiting or call
            raise _PausedError
        self.at = reply.at
        if reply.error is not None:
            raise reply.error
        return reply.result


class Runner:
    """Runs operations at a ``desk``, which has the endpoints; ``present`` is the run of now."""

    def __init__(self) -> None:
        self.desk: Any = None
        self.runs = 0
        self._begun: dict[tuple[Operation, Moment], Progress] = {}
        self._present: Run | None = None
        self._random = random.Random()  # noqa: S311 - it must be the same in every run

    @property
    def present(self) -> Run:
        assert self._present is not None
        return self._present

    def begin(self, operation: Operation, at: Moment) -> Progress:
        """Return the beginning of an operation."""
        key = (operation, at)
        if key not in self._begun:
            self._begun[key] = Progress(operation, at, self)
        return self._begun[key]

    def run(self, point: Progress) -> tuple[Call | None, Answer | None]:
        """Run an operation to a point; return the call that it waits with, or its answer."""
        self.runs += 1
        self._present = Run(
            point.begin() if point.before else point.since, point.replies(), self.desk
        )
        self._random.seed(point.operation.label)
        try:
            answer = point.operation.act(self._present)
        except _PausedError:
            answer = None
        # An exception of the code itself is a fault, and ends the search.
        return self._present.waiting, None if self._present.waiting else answer

    @contextmanager
    def no_chance(self) -> Iterator[None]:
        """Let every random number depend on the operation alone."""
        source = self._random
        with patch.multiple(
            secrets,
            token_bytes=source.randbytes,
            token_hex=lambda octets: source.randbytes(octets).hex(),
            choice=source.choice,
            SystemRandom=lambda: source,
        ):
            yield
