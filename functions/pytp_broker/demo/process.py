"""Run ``pytp-broker serve`` in a separate process, for the demo and the end-to-end tests."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_STOP_SECONDS: Final = 10


class ServerError(Exception):
    """The server did not start; the text is what it printed."""


class ServerProcess:
    """A server that runs inside a ``with`` block; ``url`` and ``ca_file`` say how to reach it.

    Its stderr goes to the file ``log``. ``output`` is what it wrote to stdout, complete once it has
    stopped.
    """

    def __init__(self, config: Path | None, log: Path, *options: str) -> None:
        self.url = ""
        self.ca_file: str | None = None
        self.log = log
        self.output = ""
        self._command = [
            *(sys.executable, "-m", "pytp_broker.cli", "serve"),
            *(("--config", str(config)) if config else ()),
            *options,
        ]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        # The issuer is on this machine, which no proxy reaches.
        environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
        with self.log.open("a") as log:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        assert self._process.stdout is not None  # noqa: S101 - it is piped
        ready = self.output = self._process.stdout.readline()
        if not ready:
            self.stop()
            raise ServerError(self.log.read_text().strip())
        announced = json.loads(ready)
        self.url, self.ca_file = announced["url"], announced["ca_file"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def send(self, signal_number: int) -> None:
        """Send the server a signal that does not end it."""
        if self._process is None:
            raise RuntimeError("the server was never started")
        self._process.send_signal(signal_number)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End the server with a signal and return its exit status."""
        self.send(signal_number)
        assert self._process is not None  # noqa: S101 - it was sent a signal
        try:
            rest, _ = self._process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            rest, _ = self._process.communicate()
        self.output += rest
        return self._process.returncode

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of this name that the server has logged."""
        lines = self.log.read_text().split("\n")[:-1]  # the last line may be half written
        logged = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in logged if event["event"] == name]
