"""Start a process as systemd does: with sockets that are open already, from descriptor 3 on."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol

# Runs in the new process, whose id LISTEN_PID must have, and becomes the command.
_LAUNCHER: Final = """
import os, sys
given = [int(number) for number in sys.argv[1].split(",") if number]
high = [os.dup(number) for number in given]
for place, number in enumerate(high):
    os.dup2(number, 3 + place)
    os.set_inheritable(3 + place, True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class HasFileno(Protocol):
    """A socket, or what a mistake hands over in its place."""

    def fileno(self) -> int: ...


def start_with(
    sockets: Sequence[HasFileno], names: str, *command: str, **variables: str
) -> subprocess.Popen[str]:
    """Start Python with these arguments and sockets; its stdout and stderr are pipes."""
    numbers = [each.fileno() for each in sockets]
    environment = {**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names}
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", _LAUNCHER, ",".join(map(str, numbers)), *command],
        env=environment | variables,
        pass_fds=numbers,
        **options,
    )
