"""Writes of a thread that must not wait: they share a batch, which its owner commits later."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pytp_broker.storage.sqlite.batches import Batch, Writer

# A commit that takes longer says that the disk is slow.
SLOW_SECONDS: Final = 0.02
# After a slow commit other threads wait for the disk, so many times as long as it took and no
# longer than a minute. So ours waits for slow commits a fiftieth of its time, or little more.
REST_FACTOR: Final = 50
MAX_REST_SECONDS: Final = 60


class WouldWaitError(Exception):
    """To get the answer, a thread would have to wait."""


class NotOurTurnError(WouldWaitError):
    """Others write now, and the request has written nothing: ``ask`` for a turn."""


class WritesAtOnce:
    """Lets one thread write without waiting, and commit what it has written together.

    Nothing that was written is durable, and nobody may hear of it, before ``commit`` returns True.
    """

    def __init__(self, writer: Writer, clock: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._clock = clock
        self._open: Batch | None = None
        self._rests_until = clock()
        self.writes = 0  # that were begun since the start
        self.has_written = False  # since the owner has set it to False, for the next request

    @property
    def is_resting(self) -> bool:
        """Say whether other threads wait for a slow disk now."""
        return self._clock() < self._rests_until

    @contextmanager
    def writing(self, seconds: float, *, is_alone: bool = False) -> Iterator[sqlite3.Connection]:  # noqa: ARG002 - as a Writer
        """Lend a connection for one write; raise WouldWaitError, or NotOurTurnError."""
        if is_alone or self.is_resting:
            raise WouldWaitError
        if self._open is None:
            self._open = self._writer.begin_now()
        # A request that has written stays in its batch, also when that is full.
        if self._open is None or not (self._open.may_grow or self.has_written):
            raise NotOurTurnError
        self.writes += 1
        self.has_written = True
        with self._open.part() as connection:
            yield connection

    def ask(self, on_turn: Callable[[], object]) -> None:
        """Ask for a turn; another thread may call back, and ``begin`` or ``withdraw`` follows."""
        self._writer.ask(on_turn)

    def begin(self) -> bool:
        """Begin a batch, now that it is our turn; return False if another process writes."""
        self._open = self._writer.begin_in_turn()
        return self._open is not None

    def withdraw(self, on_turn: Callable[[], object]) -> None:
        """Wait for a turn no longer."""
        self._writer.withdraw(on_turn)

    def spoil(self) -> None:
        """Give up all that was written since the last commit."""
        if self._open is not None:
            self._open.spoil()

    def commit(self) -> bool:
        """Make durable what was written since the last commit; return whether it is."""
        batch, self._open = self._open, None
        if batch is None:
            return True
        began = self._clock()
        self._writer.end_now(batch)
        ended = self._clock()
        took = ended - began
        if took > SLOW_SECONDS:
            self._rests_until = ended + min(REST_FACTOR * took, MAX_REST_SECONDS)
        return batch.is_durable
