"""Faults inside a transaction of SQLite: any statement may fail, and so may the commit."""

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pytp_broker.storage.sqlite import SqliteStore
from tests.faults.injection import Line


def make_line() -> Line:
    """Return a line that breaks as a disk does, and is slow as an overloaded one: two seconds.

    A store's call has many statements. With the six seconds of a call of AWS for each of them, an
    upload would take longer than the claim on its release holds.
    """
    return Line(lambda: sqlite3.OperationalError("disk I/O error"), seconds=1)


class StoreOnLine(SqliteStore):
    """A SqliteStore whose every statement goes through a line."""

    def __init__(self, path: Path, line: Line) -> None:
        self._line = line
        super().__init__(path)

    def _take(self) -> sqlite3.Connection | None:
        return super()._take() or self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        connection.execute("PRAGMA synchronous = OFF")  # faster; nobody cuts the power here
        connection.execute("PRAGMA foreign_keys = ON")
        connection.line = self._line
        return connection


class _Connection(sqlite3.Connection):
    line: Line | None = None

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        return self._carry(sql, partial(super().execute, sql, values))

    def executemany(self, sql: str, values: Iterable[Any], /) -> sqlite3.Cursor:
        return self._carry(sql, partial(super().executemany, sql, values))

    def _carry(self, sql: str, call: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        return call() if self.line is None else self.line.carry(sql.partition(" ")[0], call)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        if kind is not None or self.line is None:
            return super().__exit__(kind, error, trace)
        try:
            return self.line.carry("COMMIT", partial(super().__exit__, None, None, None))
        except sqlite3.OperationalError as refused:
            # As Python does itself when a commit fails.
            super().__exit__(type(refused), refused, refused.__traceback__)
            raise
