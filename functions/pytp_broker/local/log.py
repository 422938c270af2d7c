"""The local server's log: one line for each event, for a person or a program."""

import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import TextIO

from pytp_broker.audit.record import AuditRecord
from pytp_broker.local.log_lines import Form, write_json
from pytp_broker.redaction import printable


class Log:
    """A log with a line for each event. Callers give it nothing that holds a token.

    ``form`` writes a line: as JSON, or as a sentence for a person at a terminal. If a line cannot
    be written, as on a full disk, it is lost and requests go on. An audit record must not be lost:
    if it cannot be written, the request that it records fails.
    """

    def __init__(self, stream: TextIO = sys.stderr, form: Form = write_json) -> None:
        self._stream = stream
        self._form = form
        self._lock = Lock()

    def write(self, event: str, **facts: object) -> None:
        """Write one line, if it can be written."""
        with suppress(OSError):
            self._print({**facts, "event": event})

    def audit(self, record: AuditRecord) -> None:
        """Write an audit record, and what it says as a sentence; raise OSError."""
        self._print({"message": record.message, **record.document()})

    def fault(self, error: Exception) -> None:
        """Write where an exception comes from, without its text, which may quote a request."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.write("fault", error=type(error).__name__, traceback=lines)

    def capture(self) -> None:
        """Write the warnings and errors of libraries to this log."""
        logging.basicConfig(handlers=[_Warnings(self)])

    def _print(self, document: Mapping[str, object]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = self._form({"time": at, **document})
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()


class _Warnings(logging.Handler):
    """Writes a library's record as a line of our log; an exception loses its text."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception):
            self._log.fault(error)
        else:
            message = printable(record.getMessage().strip())
            addressed = {"source_ip": record.source_ip} if hasattr(record, "source_ip") else {}
            self._log.write("warning", by=record.name, message=message, **addressed)
