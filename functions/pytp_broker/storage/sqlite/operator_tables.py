"""Tables of SQLite for what operators do, and the reads that only their commands make."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pytp_broker.audit.record import AuditRecord
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import unexpired
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.storage.sqlite.file_tables import find_tombstone
from pytp_broker.storage.sqlite.token_tables import insert_token
from pytp_broker.storage.withdrawals import Tombstone
from pytp_broker.tokens import TokenRecord


class OperatorTables(Database):
    """Records of operators, and reads for the operator's commands and the local server only."""

    def list_tokens(self, now: datetime) -> Sequence[TokenRecord]:
        """Return every token that has not expired, including burned and used ones."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document, burned_at, used_for FROM tokens WHERE kept_until >= ?",
                (int(now.timestamp()),),
            ).fetchall()
        records = [TokenRecord.from_document(json.loads(d), *marks) for d, *marks in found]
        return unexpired(records, now)

    def add_operators_token(self, record: TokenRecord) -> bool:
        """Store a token that an operator made; say whether its registry is there."""
        with self._write() as connection:
            is_there = connection.execute(
                "SELECT 1 FROM registries WHERE name = ?", record.registries
            ).fetchone()
            if is_there:
                insert_token(connection, record)
        return is_there is not None

    def add_operator_record(self, record: AuditRecord, at: datetime) -> None:
        """Keep an audit record of what an operator does."""
        with self._write() as connection:
            insert_records(connection, [written(record, at)])

    def list_operator_records(self) -> Sequence[Mapping[str, Any]]:
        """Return operators' records in their order."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document FROM operator_records ORDER BY number"
            ).fetchall()
        return [json.loads(document) for (document,) in found]

    def newest_operator_records(self, count: int) -> Sequence[Mapping[str, Any]]:
        """Return so many of operators' records, the newest first."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document FROM operator_records ORDER BY number DESC LIMIT ?", (count,)
            ).fetchall()
        return [json.loads(document) for (document,) in found]

    def follow_operator_records(
        self, after: int, count: int
    ) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return so many records after this number, each with its number: others add them."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT number, document FROM operator_records WHERE number > ? "
                "ORDER BY number LIMIT ?",
                (after, count),
            ).fetchall()
        return [(number, json.loads(document)) for number, document in found]

    def last_operator_record(self) -> int:
        """Return the number of the last record; 0 when there is none."""
        with self._read() as connection:
            (number,) = connection.execute(
                "SELECT coalesce(max(number), 0) FROM operator_records"
            ).fetchone()
        return int(number)

    def reopen_release(self, registry: str, project: str, key: str, until: datetime) -> None:
        """Let a release take files until this time."""
        with self._write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO reopened_releases (registry, project, release, until) "
                "VALUES (?, ?, ?, ?)",
                (registry, project, key, int(until.timestamp())),
            )

    def yank_release(self, registry: str, project: str, key: str, reason: str | None) -> None:
        """Yank a release; without a reason, unyank it."""
        place = (registry, project, key)
        with self._write() as connection:
            connection.execute(
                "DELETE FROM yanked_releases WHERE registry = ? AND project = ? AND release = ?",
                place,
            )
            if reason is not None:
                connection.execute(
                    "INSERT INTO yanked_releases (registry, project, release, reason) "
                    "VALUES (?, ?, ?, ?)",
                    (*place, reason),
                )

    def delete_file(
        self, registry: str, project: str, filename: str, tombstone: Tombstone
    ) -> Tombstone:
        """Give a published file a tombstone; return the one that is in force now."""
        place = (registry, project, filename)
        deleted_at = int(tombstone.deleted_at.timestamp())
        with self._write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO deleted_files "
                "(registry, project, filename, reason, deleted_by, deleted_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*place, tombstone.reason, tombstone.deleted_by, deleted_at),
            )
            return find_tombstone(connection, place) or tombstone

    def list_deleted_before(self, time: datetime) -> Sequence[PublishedFile]:
        """Return the files that were deleted before this time, in the order of their deletion."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document FROM deleted_files JOIN files USING (registry, project, filename) "
                "WHERE deleted_at < ? ORDER BY deleted_at, filename",
                (int(time.timestamp()),),
            ).fetchall()
        return [PublishedFile.from_document(json.loads(document)) for (document,) in found]

    def set_status(self, registry: str, project: str, status: ProjectStatus) -> None:
        """Give a project a status; an active one needs no row."""
        with self._write() as connection:
            connection.execute(
                "DELETE FROM project_statuses WHERE registry = ? AND project = ?",
                (registry, project),
            )
            if status != ACTIVE:
                connection.execute(
                    "INSERT INTO project_statuses (registry, project, status, reason) "
                    "VALUES (?, ?, ?, ?)",
                    (registry, project, status.status, status.reason),
                )


def written(record: AuditRecord, at: datetime) -> str:
    """Return an operator's record as its row stores it."""
    return dump({"time": at.isoformat(), **record.document()})


def insert_records(connection: sqlite3.Connection, documents: Iterable[str]) -> None:
    """Keep records of what an operator does."""
    connection.executemany(
        "INSERT INTO operator_records (document) VALUES (?)", ((each,) for each in documents)
    )
