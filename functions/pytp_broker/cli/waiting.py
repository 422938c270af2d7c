"""Show on a terminal that a long command goes on; elsewhere, show nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final, TypeAlias

# Is told how many of how many are done.
Progress: TypeAlias = Callable[[int, int], None]

# A command that is over sooner shows nothing.
_TICK_SECONDS: Final = 1.0
_CLEAR: Final = "\r\x1b[K"


def no_progress(_done: int, _total: int) -> None:
    """Show nothing."""


@contextmanager
def shown_waiting(doing: str) -> Iterator[Progress]:
    """Show on stderr, if that is a terminal, what a command does and for how long."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    line = _Line(doing)
    thread = Thread(target=line.run, name="waiting", daemon=True)
    thread.start()
    try:
        yield line.count
    finally:
        line.end()
        thread.join()


class _Line:
    """One line that is written again and again."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._counted = ""
        self._is_over = Event()
        self._began = time.monotonic()
        self._is_shown = False

    def count(self, done: int, total: int) -> None:
        """Say how many of how many changes are recorded."""
        self._counted = f", recorded {done:,} of {total:,} changes"

    def run(self) -> None:
        """Write the line each second until the end, and then clear it."""
        while not self._is_over.wait(_TICK_SECONDS):
            seconds = time.monotonic() - self._began
            self._write(f"{_CLEAR}{self._doing}, {seconds:,.0f} s{self._counted}")
            self._is_shown = True
        if self._is_shown:
            self._write(_CLEAR)

    def end(self) -> None:
        """End the line."""
        self._is_over.set()

    def _write(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)
