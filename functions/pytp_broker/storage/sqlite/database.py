"""Connections to the database file, for reading and for writing.

Writers take turns: the threads of a process in the order in which they asked, processes as SQLite
lets them (``BEGIN IMMEDIATE``). Readers see one moment of the whole file and wait for nobody
(write-ahead log). What is committed survives a power failure: a used identity token stays used.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.sqlite.at_once import WritesAtOnce
from pytp_broker.storage.sqlite.batches import Writer
from pytp_broker.storage.sqlite.layout import create, is_current, migrate

# Clients give the exchange five seconds; after four of waiting for a writer we can still say 503.
BUSY_SECONDS: Final = 4.0
_CACHE_KIB: Final = 512
# `json.dumps` would make one for each document.
_ENCODER: Final = json.JSONEncoder(sort_keys=True)


class Database:
    """One SQLite file, safe with many threads and several processes."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the file, and create it if it is not there; raise StoreUnavailable."""
        self._path = Path(path)
        self.writer: Final = Writer(self._borrow, self._give_back, BUSY_SECONDS)
        self._writer: Writer | WritesAtOnce = self.writer
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        try:
            create(self._path)
            with self._read() as connection:
                is_ready = is_current(connection)
            if not is_ready:
                with self._write() as connection:
                    migrate(connection)
        except OSError:
            raise StoreUnavailable("the database file cannot be created") from None
        except StoreUnavailable:
            self.close()
            raise

    def writing_by(self, writer: WritesAtOnce) -> Self:
        """Return a view of the same file whose writes go through another writer."""
        view = copy(self)
        vars(view)["_writer"] = writer
        return view

    def empty_log(self) -> None:
        """Copy what is in the log to its place in the file, so that the log begins anew.

        Commits do it too, except those of ``WritesAtOnce``. It takes a turn: while others write,
        the log is never wholly copied, and grows.
        """
        with (
            _told_as_unavailable(),
            self.writer.turn(BUSY_SECONDS),
            self._lend() as connection,
        ):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close every connection; a call that is still at work closes its own when it ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with _told_as_unavailable(), self._lend() as connection, connection:
            connection.execute("BEGIN DEFERRED")
            yield connection

    @contextmanager
    def _write(self, *, is_alone: bool = False) -> Iterator[sqlite3.Connection]:
        with (
            _told_as_unavailable(),
            self._writer.writing(BUSY_SECONDS, is_alone=is_alone) as connection,
        ):
            yield connection

    @contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        connection = self._borrow()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _borrow(self) -> sqlite3.Connection:
        # We keep as many connections as there were calls at one time, because opening one costs
        # more than most calls.
        return self._take() or _connect(self._path)

    def _take(self) -> sqlite3.Connection | None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


@contextmanager
def _told_as_unavailable() -> Iterator[None]:
    # Text that is not Unicode (a lone surrogate) cannot be encoded, so it is not one of our keys.
    try:
        yield
    except (sqlite3.Error, UnicodeEncodeError, TimeoutError) as error:
        # The operator gets SQLite's name of the error, without the words of the statement.
        cause = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StoreUnavailable("the store did not answer", operator_detail=cause) from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # On purpose, though it is the default: a commit that a power failure undoes would let an
        # identity token be used again.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Each connection keeps pages of the file, by default 2 MB of them, and a busy server has 43
        # connections. The system keeps the same pages for all of them.
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as a row stores it."""
    return _ENCODER.encode(document)
