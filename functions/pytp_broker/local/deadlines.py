"""A time by which a client must act."""

import asyncio
from collections.abc import Callable


class Deadline:
    """A timer that ends our wait for a client unless the client acts in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float, give_up: Callable[[], None]) -> None:
        """Call ``give_up`` at a time of the loop's clock; this replaces an earlier deadline."""
        self.lift()
        self._timer = self._loop.call_at(at, give_up)

    def lift(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
