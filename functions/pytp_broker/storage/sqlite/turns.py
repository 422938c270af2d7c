"""A fair lock: it is taken in the order in which it was asked for."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Protocol


class _Turn(Protocol):
    """Somebody who waits."""

    def release(self) -> object:
        """Give the turn."""


@dataclass(frozen=True, slots=True)
class _Call:
    """Somebody who is called when it is their turn."""

    release: Callable[[], object]


class Turns:
    """A lock that threads take in the order in which they asked.

    A plain lock has no order, and SQLite's lock makes waiting threads sleep and ask again. Under
    load a few of them would wait a hundred times longer than the others.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_taken = False
        self._waiting: deque[_Turn] = deque()

    def take(self, seconds: float) -> None:
        """Wait for a turn, at most this many seconds; raise TimeoutError."""
        turn = self._ask()
        if not turn.acquire(timeout=max(0, seconds)) and not self._is_given(turn):
            raise TimeoutError

    def take_free(self) -> bool:
        """Take a turn if nobody has it or waits for it; say whether it is ours."""
        with self._lock:
            is_free = not self._is_taken
            self._is_taken = True
        return is_free

    def end(self) -> None:
        """End the turn: the thread that has waited longest is next, if there is one."""
        with self._lock:
            self._is_taken = self._release_next()

    def hand_on(self) -> bool:
        """Give the turn to the thread that has waited longest; return False if none waits."""
        with self._lock:
            return self._release_next()

    def ask(self, on_turn: Callable[[], object]) -> None:
        """Call back once it is our turn: at once, or from the thread whose turn ends.

        A callback that raises RuntimeError does not take its turn: its event loop has ended.
        """
        turn = _Call(on_turn)
        with self._lock:
            self._waiting.append(turn)
            if not self._is_taken:
                self._is_taken = self._release_next()

    def leave(self, on_turn: Callable[[], object]) -> bool:
        """Wait for a turn no longer; return False if the turn was given meanwhile, and is ours."""
        asked = _Call(on_turn)
        with self._lock:
            is_waiting = asked in self._waiting
            if is_waiting:
                self._waiting.remove(asked)
        return is_waiting

    def _release_next(self) -> bool:
        while self._waiting:
            with suppress(RuntimeError):
                self._waiting.popleft().release()
                return True
        return False

    def _ask(self) -> Lock:
        """Return a lock that is free once it is our turn."""
        turn = Lock()
        with self._lock:
            if self._is_taken:
                turn.acquire()
                self._waiting.append(turn)
            self._is_taken = True
        return turn

    def _is_given(self, turn: Lock) -> bool:
        """Leave the queue; say whether the turn was given to us at that very moment."""
        with self._lock:
            if turn not in self._waiting:
                return True
            self._waiting.remove(turn)
            return False
