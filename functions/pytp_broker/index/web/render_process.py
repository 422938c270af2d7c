"""Render descriptions in processes of their own, which are ended when they take too long."""

import os
import subprocess
import sys
from collections.abc import Sequence
from threading import BoundedSemaphore
from typing import Final

from pytp_broker.index.web.descriptions import BusyError

# A hundred times what an ordinary README takes.
SECONDS: Final = 5
# How many descriptions are rendered at a time. No request waits for another's.
PROCESSES: Final = 2

# -S: no `site`, because PYTHONPATH has every folder. -P: no module from the working directory.
_COMMAND: Final = (sys.executable, "-S", "-P", "-m", "pytp_broker.index.web.describe")
# What Python needs to start: where the system keeps its libraries. Nothing else is passed on, so
# the process has no credentials.
_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "SYSTEMROOT")


class RenderProcess:
    """Renders each description in a new process."""

    def __init__(self, command: Sequence[str] = _COMMAND, seconds: float = SECONDS) -> None:
        self._command = command
        self._seconds = seconds
        self._places = BoundedSemaphore(PROCESSES)

    def __call__(self, content_type: str, text: str) -> str:
        """Return a description's HTML, or "" if there is none in time; raise BusyError."""
        if not self._places.acquire(blocking=False):
            raise BusyError
        try:
            return self._run(f"{content_type}\n{text}".encode())
        except (subprocess.SubprocessError, OSError):
            return ""
        finally:
            self._places.release()

    def _run(self, sent: bytes) -> str:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        ended = subprocess.run(  # noqa: S603 - no part of the command comes from outside
            self._command,
            input=sent,
            env=environment,
            capture_output=True,
            timeout=self._seconds,
            check=True,
        )
        return ended.stdout.decode()
