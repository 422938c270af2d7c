"""Answer on the event loop's own thread what waits for nothing: most pages, and most exchanges.

To pass a request to another thread and its answer back takes longer than to make either of these.
So a function is first tried here, with services that raise WouldWaitError before they would wait;
then the request takes the usual way, from its beginning. What was written is committed together for
all requests of one turn of the loop, and each gets its answer after that. If the commit fails, all
of them take the usual way.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from pytp_broker.audit.record import AuditRecord
from pytp_broker.endpoints.events import Event
from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.answers import CHUNK_BYTES
from pytp_broker.local.at_hand import Result, functions_at_hand
from pytp_broker.local.routes import GatewayRoute
from pytp_broker.services import Broker, Index
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.storage.sqlite.at_once import NotOurTurnError, WritesAtOnce

# Requests that find others writing wait in line for a turn, but each line no longer than this.
TURN_SECONDS: Final = 1
# Our commits leave what was written in the log, which another thread empties after so many.
WRITES_IN_LOG: Final = 200

# Writes the audit records of a request, and returns its result.
Conclude: TypeAlias = Callable[[], Result]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: an event for a function, and what becomes of it.

    ``deliver`` is called, perhaps in the loop's next turn, with what writes the audit records and
    returns the result. If the commit fails, ``otherwise`` is called in its place.
    """

    function: str
    event: Event
    deliver: Callable[[Conclude], None]
    otherwise: Callable[[], None]

    @property
    def most_likely_writes(self) -> bool:
        """Say whether its method is that of exchanges and burns."""
        method: str = self.event["requestContext"]["http"]["method"]
        return method == "POST"


class NeverAtOnce:
    """The server of another store, where every answer waits for another machine."""

    def takes(self, route: GatewayRoute) -> bool:  # noqa: ARG002 - the other class looks at it
        """Say whether requests of a route are tried at once."""
        return False

    def answer(self, asked: Asked) -> bool:
        """Answer a request, if that waits for nothing; say whether it has been taken."""
        raise NotImplementedError


class AtOnce(NeverAtOnce):
    """The functions that are tried at once. It belongs to the thread of the event loop."""

    def __init__(self, store: SqliteStore, exchange: Broker, index: Index) -> None:
        self._store = store
        self._audit = exchange.audit
        self._writes = WritesAtOnce(store.writer)
        self._functions = functions_at_hand(store, self._writes, self._hold, exchange, index)
        self._records: list[AuditRecord] = []  # of the request that is being tried
        self._line: _Line | None = None
        self._written: list[tuple[Asked, Conclude | None]] = []  # since the last commit
        self._is_commit_due = False
        self._emptied_at = 0  # how many writes there had been
        self._is_emptying = False

    def takes(self, route: GatewayRoute) -> bool:
        """Say whether requests of a route are tried at once: of what is read, only the pages."""
        is_slow = route.function == "ReadFunction" and "simple" not in route.segments
        return route.function in self._functions and not is_slow

    def answer(self, asked: Asked) -> bool:
        """Answer a request, if that waits for nothing; say whether it has been taken."""
        if asked.most_likely_writes and self._line is not None:
            self._wait_for_turn(asked)
            return True
        if asked.most_likely_writes and self._writes.is_resting:
            return False
        return self._attempt(asked)

    def _attempt(self, asked: Asked) -> bool:
        """Answer a request now or after the next commit; return False for the usual way."""
        self._records, self._writes.has_written = [], False
        result = None
        try:
            result = self._functions[asked.function](asked.event)
        except NotOurTurnError:
            self._wait_for_turn(asked)
            return True
        except Exception:  # noqa: BLE001, S110 - the usual way meets an error again, and logs it
            pass
        conclude = self._concluding(result)
        if self._writes.has_written:
            self._wait_for_commit(asked, conclude)
            return True
        if conclude is not None:
            asked.deliver(conclude)
        return conclude is not None

    def _concluding(self, result: Result | None) -> Conclude | None:
        """Return what concludes a request with this result, or None for the usual way."""
        # While a large answer is sent, it takes a place in a lane.
        if result is None or result["content"].size > CHUNK_BYTES:
            return None
        return partial(self._conclude, result, self._records)

    def _hold(self, record: AuditRecord) -> None:
        self._records.append(record)

    def _conclude(self, result: Result, records: list[AuditRecord]) -> Result:
        for record in records:
            self._audit(record)
        return result

    # --- the turn to write, and the commit ------------------------------------------------------

    def _wait_for_turn(self, asked: Asked) -> None:
        if self._line is None:
            self._line = _Line(self._take_turn, self._lose_patience)
            self._writes.ask(self._line.call)
        self._line.requests.append(asked)

    def _take_turn(self, line: "_Line") -> None:
        if self._line is not line:  # which has lost its patience
            return
        requests = self._leave_line(line)
        if not self._writes.begin():
            _go_the_usual_way(requests)
            return
        self._commit_soon()
        for each in requests:
            self._answer_in_turn(each)

    def _answer_in_turn(self, asked: Asked) -> None:
        """Answer a request of the line; if the batch is full, it waits for the next turn."""
        if self._line is not None:
            self._wait_for_turn(asked)
        elif not self._attempt(asked):
            asked.otherwise()

    def _lose_patience(self, line: "_Line") -> None:
        self._writes.withdraw(line.call)
        _go_the_usual_way(self._leave_line(line))

    def _leave_line(self, line: "_Line") -> list[Asked]:
        self._line = None
        line.patience.cancel()
        return line.requests

    def _wait_for_commit(self, asked: Asked, conclude: Conclude | None) -> None:
        if conclude is None:
            self._writes.spoil()
        self._commit_soon()
        self._written.append((asked, conclude))

    def _commit_soon(self) -> None:
        if not self._is_commit_due:
            self._is_commit_due = True
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        self._is_commit_due = False
        written, self._written = self._written, []
        is_durable = self._writes.commit()
        for asked, conclude in written:
            if is_durable and conclude is not None:
                asked.deliver(conclude)
            else:
                asked.otherwise()
        if self._writes.writes >= self._emptied_at + WRITES_IN_LOG and not self._is_emptying:
            self._is_emptying = True
            asyncio.get_running_loop().run_in_executor(None, self._empty_log)

    def _empty_log(self) -> None:
        try:
            with suppress(StoreUnavailable):  # other commits do it, too
                self._store.empty_log()
        finally:
            self._emptied_at, self._is_emptying = self._writes.writes, False


class _Line:
    """Requests that wait together for our turn to write; ``call`` is for any thread."""

    def __init__(
        self, on_turn: "Callable[[_Line], None]", on_impatience: "Callable[[_Line], None]"
    ) -> None:
        loop = asyncio.get_running_loop()
        self.requests: list[Asked] = []
        self.call: Final = partial(loop.call_soon_threadsafe, on_turn, self)
        self.patience: Final = loop.call_later(TURN_SECONDS, on_impatience, self)


def _go_the_usual_way(requests: Iterable[Asked]) -> None:
    for each in requests:
        each.otherwise()
