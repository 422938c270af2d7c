"""Run a command as a child of this process: it gets our signals, and we end as it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

# What a shell and `env` say of a command that was not found, or could not be started.
NOT_FOUND: Final = 127
NOT_STARTED: Final = 126
# A shell adds this to the number of the signal that ended a command.
_ENDED_BY: Final = 128
# The signals with which a CI, a terminal or a person ends a process or speaks to it; Windows has
# two of them.
_PASSED_ON: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


class NotStartedError(Exception):
    """A command could not be started; ``status`` is what a shell would return."""

    def __init__(self, text: str, status: int) -> None:
        self.status = status
        super().__init__(text)


class Child:
    """A command to run, and what becomes of the signals that this process gets inside ``signals``.

    Before the command runs, a signal ends this process, as SystemExit, so that a token is burned.
    While it runs, the command gets the signal. After that, nothing may stop us from burning.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] | None = None

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take the signals of this process; only its main thread can."""
        before = {number: signal.signal(number, self._take) for number in _PASSED_ON}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run the command to its end; return its status as a shell would. Raises NotStartedError.

        It is started without a shell, so nothing in its arguments has a meaning of its own.
        """
        self._waiting = []
        try:
            self._process = subprocess.Popen(command, env=environment)  # noqa: S603 - the user's
        except FileNotFoundError:
            raise NotStartedError(f"{command[0]}: there is no such command", NOT_FOUND) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it cannot be started"
            raise NotStartedError(f"{command[0]}: {reason}", NOT_STARTED) from None
        for number in self._waiting:
            self._process.send_signal(number)
        status = self._process.wait()
        return status if status >= 0 else _ENDED_BY - status

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._process is not None:
            if not _is_sent_to_all(number):
                self._process.send_signal(number)
        elif self._waiting is not None:
            self._waiting.append(number)
        else:
            raise SystemExit(_ENDED_BY + number)


def _is_sent_to_all(number: int) -> bool:
    """Say whether the command gets a signal without us: a terminal sends Ctrl-C to all of a job."""
    if number not in {signal.SIGINT, getattr(signal, "SIGQUIT", None)}:
        return False
    if sys.platform == "win32":  # pragma: no cover - its console does
        return True
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
