"""Group commit: writes that wait for each other are made durable together.

A commit waits for the disk, and only one writer at a time may work. So a write leaves the commit to
the next one if another is waiting, and the last write commits for all. Each write returns only
after that commit. If one fails, it alone is undone.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Final

from pytp_broker.storage.sqlite.turns import Turns

# The first of a batch waits for the last. A part takes some 0.2 ms, a commit 1 to 10 ms.
_MAX_PARTS: Final = 64
# When the log has more pages, a commit also copies them to their places in the file.
_LOG_PAGES: Final = 1000


class Writer:
    """Lets threads write one after the other, each in a part of a transaction that they share.

    ``borrow`` returns a connection without a transaction; ``give_back`` takes it back, set to wait
    for so many seconds while another process writes.
    """

    def __init__(
        self,
        borrow: Callable[[], sqlite3.Connection],
        give_back: Callable[[sqlite3.Connection], None],
        busy_seconds: float = 0,
    ) -> None:
        self._borrow = borrow
        self._give_back = give_back
        self._busy_seconds = busy_seconds
        self._turns = Turns()
        self._open: Batch | None = None  # only the thread that has the turn may read it

    @contextmanager
    def writing(self, seconds: float, *, is_alone: bool = False) -> Iterator[sqlite3.Connection]:
        """Lend a connection in our turn; return when what was written is durable.

        Raises TimeoutError or sqlite3.Error when it is not. A long write uses ``is_alone``, so that
        no other write's commit waits for it.
        """
        batch = self._join(time.monotonic() + seconds, is_alone=is_alone)
        try:
            with batch.part() as connection:
                yield connection
        finally:
            self._leave(batch, is_alone=is_alone)
            # A refusal waits too: it may depend on another part, which may not be durable yet.
            batch.wait()

    def begin_now(self) -> "Batch | None":
        """Begin a batch if nobody else writes; ``end_now`` must end it."""
        return self.begin_in_turn() if self._turns.take_free() else None

    def ask(self, on_turn: Callable[[], object]) -> None:
        """Ask for a turn; ``begin_in_turn`` or ``withdraw`` must follow the call."""
        self._turns.ask(on_turn)

    def withdraw(self, on_turn: Callable[[], object]) -> None:
        """Give up a turn that was asked for, and end what others may have left to us."""
        if not self._turns.leave(on_turn):
            self._end_turn()

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Let nobody of this process write; raise TimeoutError if our turn does not come."""
        self._turns.take(seconds)
        try:
            yield
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        try:
            if self._open is not None:
                self._end(self._open)
        finally:
            self._turns.end()

    def begin_in_turn(self) -> "Batch | None":
        """Return a batch now that it is our turn.

        None, and no turn, if that fails, most often because another process writes. The batch may
        be one that other threads have begun, and that we commit for them. The commit of one of ours
        appends to the log and does nothing more.
        """
        try:
            return self._open or self._begin(0, log_pages=0)
        except BaseException as error:
            self._turns.end()
            if isinstance(error, Exception):  # the usual way meets it again, and logs it
                return None
            raise

    def end_now(self, batch: "Batch") -> None:
        """End a batch that ``begin_now`` or ``begin_in_turn`` began."""
        try:
            self._end(batch)
        finally:
            self._turns.end()

    def _join(self, give_up_at: float, *, is_alone: bool) -> "Batch":
        self._turns.take(give_up_at - time.monotonic())
        try:
            if self._open is not None and is_alone:
                self._end(self._open)
            if self._open is None:
                self._open = self._begin(give_up_at - time.monotonic())
        except BaseException:
            self._turns.end()
            raise
        return self._open

    def _begin(self, seconds: float, log_pages: int = _LOG_PAGES) -> "Batch":
        connection = self._borrow()
        try:
            _wait_while_busy(connection, seconds)
            connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}")
            connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._return(connection)
            raise
        return Batch(connection)

    def _leave(self, batch: "Batch", *, is_alone: bool) -> None:
        if batch.may_grow and not is_alone and self._turns.hand_on():
            return
        try:
            self._end(batch)
        finally:
            self._turns.end()

    def _end(self, batch: "Batch") -> None:
        self._open = None
        try:
            batch.commit()
            self._return(batch.connection)
        finally:
            batch.settle()

    def _return(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error, MemoryError):
            connection.rollback()
            _wait_while_busy(connection, self._busy_seconds)  # who reads with it next
        # A connection that is still in a transaction is broken, and would break the next write.
        if connection.in_transaction:
            connection.close()
        else:
            self._give_back(connection)


def _wait_while_busy(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {max(0, math.ceil(seconds)) * 1000}")


class Batch:
    """Writes of several threads in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._parts = 0
        self.is_durable = False
        self._error: sqlite3.Error | None = None
        self._is_settled = Event()

    @property
    def may_grow(self) -> bool:
        """Say whether another write may be added."""
        return self._error is None and self._parts < _MAX_PARTS

    @contextmanager
    def part(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for one write, which is undone alone when it fails."""
        self._parts += 1
        self._mark("SAVEPOINT part")
        try:
            yield self.connection
        except BaseException:
            self._mark("ROLLBACK TO part")
            self._mark("RELEASE part")
            raise
        self._mark("RELEASE part")

    def _mark(self, statement: str) -> None:
        # Without savepoints the parts cannot be told apart, so all of them fail. SQLite itself ends
        # a transaction when the disk fails or is full, and its savepoints end with it.
        try:
            self._execute(statement)
        except sqlite3.Error as error:
            self._error = error
            raise

    def _execute(self, statement: str) -> None:
        try:
            self.connection.execute(statement)
        except MemoryError as error:  # Python raises it in place of SQLite's own error
            raise sqlite3.OperationalError("out of memory") from error

    def spoil(self) -> None:
        """Let the commit fail, so that nothing of this batch stays."""
        self._error = sqlite3.OperationalError("the batch was given up")

    def commit(self) -> None:
        """Make all parts durable, or none."""
        if self._error is None:
            try:
                self._execute("COMMIT")
                self.is_durable = True
            except sqlite3.Error as error:
                self._error = error

    def settle(self) -> None:
        """Release all threads that wait for the commit."""
        self._is_settled.set()

    def wait(self) -> None:
        """Wait for the commit; raise sqlite3.Error when it failed."""
        self._is_settled.wait()
        if not self.is_durable:
            raise self._error or sqlite3.OperationalError("the commit did not happen")
