"""Lambda's Runtime API on loopback, for AWS's own runtime interface client.

The client (awslambdaric) is what runs a handler on Lambda: it imports the handler, asks this API
for the next event, and posts what the handler answers. ``Runtime.start`` starts a process of it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

from tests.support.cloud import PYTHON

_VERSION: Final = "/2018-06-01/runtime"
_SECONDS: Final = 60


@dataclass(frozen=True)
class Posted:
    """What the client posted: the end of a path of the API, such as ``init/error``, and a body."""

    path: str
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Runtime:
    """One running function: ``invoke`` sends it an event and waits for what it posts.

    ``ready_after`` is how many seconds it took from the start of the process until it asked for
    its first event. ``cpu_seconds`` is the processor time of the process, once it has ended.
    """

    handler: str
    folder: Path
    environment: Mapping[str, str]
    ready_after: float = 0.0
    cpu_seconds: float = 0.0
    events: "Queue[bytes]" = field(default_factory=Queue)
    posted: "Queue[Posted]" = field(default_factory=Queue)
    _asked: "Queue[float]" = field(default_factory=Queue)

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._log = (self.folder / f"{self.handler}.log").open("w+b")
        began = time.monotonic()
        self._process = subprocess.Popen(
            [PYTHON, "-m", "awslambdaric", self.handler],
            env={**self._variables(), **self.environment},
            cwd=self.folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.ready_after = self._wait_until_asked() - began
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = used.ru_utime + used.ru_stime
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    @property
    def log(self) -> str:
        """Return what the function has written."""
        self._log.flush()
        return Path(self._log.name).read_text()

    def invoke(self, event: object) -> Posted:
        """Send an event; return what the client posted for it."""
        self.events.put(json.dumps(event).encode())
        return self.posted.get(timeout=_SECONDS)

    def asked(self) -> None:
        """Take down that the client asked for an event."""
        self._asked.put(time.monotonic())

    def _wait_until_asked(self) -> float:
        give_up_at = time.monotonic() + _SECONDS
        while time.monotonic() < give_up_at:
            try:
                return self._asked.get(timeout=0.1)
            except Empty:
                failed = self.posted.get_nowait().body if not self.posted.empty() else b""
                assert not failed, f"{self.handler} does not start: {failed!r}"
                assert self._process.poll() is None, f"{self.handler} has ended: {self.log}"
        raise AssertionError(f"{self.handler} asks for no event")

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "logs",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "LAMBDA_TASK_ROOT": str(self.folder),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, unless it is the end of a process that was killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler_for(runtime: Runtime) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Otherwise each answer waits 40 ms for the client's acknowledgement.
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            runtime.asked()
            event = runtime.events.get()
            self.send_response(HTTPStatus.OK)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "request-1")
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:function")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 15_000))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(event)))
            self.end_headers()
            self.wfile.write(event)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            runtime.posted.put(Posted(self.path.removeprefix(f"{_VERSION}/"), body))
            self.send_response(HTTPStatus.ACCEPTED)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    return Handler
