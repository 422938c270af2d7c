"""Decide whose request is next: places for requests of one kind, and a fair queue for them.

Clients of an index do not try again: twine shows a 503 and ends. So a request that finds no place
waits for one. The queue serves one request of each waiting address in turn, so that a client with
sixty-four uploads does not delay another client's single upload.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pytp_broker.budgets import network_of
from pytp_broker.errors import Unavailable

# A full queue will not be empty one second later.
_RETRY_AFTER_SECONDS: Final = 10

_Turn = asyncio.Future[None]


class Lane:
    """Places for requests, and a queue for those that find none.

    One address gets no more places, here and in the queue, than it leaves free. So the first
    address gets half at most, and each further address lowers the share of all. Two addresses that
    keep their places do not stop a third. One IPv6 client has a network of addresses, which counts
    as one: see ``network_of``.
    """

    def __init__(self, places: int, queue_places: int, wait_seconds: float) -> None:
        self._places = places
        self._queue_places = queue_places
        self._wait_seconds = wait_seconds
        self.requests: Counter[str] = Counter()  # how many have a place, by source
        self._queue: OrderedDict[str, deque[_Turn]] = OrderedDict()  # the next source is first

    @property
    def running(self) -> int:
        """Return how many requests have a place. Another thread may ask."""
        return sum(tuple(self.requests.values()))

    @property
    def waiting(self) -> int:
        """Return how many requests wait for a place. Another thread may ask."""
        return sum(map(len, tuple(self._queue.values())))

    @asynccontextmanager
    async def entered(self, address: str) -> AsyncIterator[None]:
        """Take a place in the lane, or wait for one; raise Unavailable when that takes too long."""
        source = network_of(address)
        if self._has_place(source):
            self.requests[source] += 1
        else:
            await self._wait(source)
        try:
            yield
        finally:
            self._leave(source)

    def _has_place(self, source: str) -> bool:
        return self.requests[source] < self._places - self.requests.total()

    async def _wait(self, source: str) -> None:
        """Return with a place; raise Unavailable."""
        turn = self._queue_up(source)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            self._give_up(source, turn)
            if isinstance(error, TimeoutError):
                waited = f"no place became free within {self._wait_seconds} s"
                raise _no_room(waited) from None
            raise

    def _queue_up(self, source: str) -> _Turn:
        own = len(self._queue.get(source, ()))
        if own >= self._queue_places - self.waiting:
            raise _no_room("too many requests are waiting already")
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._queue.setdefault(source, deque()).append(turn)
        return turn

    def _give_up(self, source: str, turn: _Turn) -> None:
        if turn in self._queue.get(source, ()):
            self._queue[source].remove(turn)
            self._drop_if_empty(source)
        else:  # the place became free at the same moment
            self._leave(source)

    def _leave(self, source: str) -> None:
        self.requests[source] -= 1
        if not self.requests[source]:
            del self.requests[source]
        self._call_next()

    def _call_next(self) -> None:
        """Give a free place to the first source that may have one; move that source to the end."""
        for source, turns in self._queue.items():
            # A turn that was cancelled a moment ago leaves the queue when its task runs.
            turn = next((turn for turn in turns if not turn.done()), None)
            if turn is not None and self._has_place(source):
                turns.remove(turn)
                turn.set_result(None)
                self.requests[source] += 1
                self._queue.move_to_end(source)
                self._drop_if_empty(source)
                return

    def _drop_if_empty(self, source: str) -> None:
        if not self._queue[source]:
            del self._queue[source]


def _no_room(what: str) -> Unavailable:
    return Unavailable(
        f"the server cannot take another request from your address: {what}; try again later",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )
