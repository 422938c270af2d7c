"""Tables of SQLite for upload tokens."""

import json
import sqlite3
from datetime import datetime

from pytp_broker.grants import Trust
from pytp_broker.storage.protocols import AlreadyExchangedError, Place
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.storage.sqlite.publisher_tables import find_trusted
from pytp_broker.tokens import TokenRecord


class TokenTables(Database):
    """Upload tokens."""

    def add_token(self, record: TokenRecord) -> None:
        """Store the record; raise AlreadyExchangedError when its lookup id is taken.

        It also removes records that are no longer needed.
        """
        with self._write() as connection:
            connection.execute(
                "DELETE FROM tokens WHERE kept_until < ?", (int(record.issued_at.timestamp()),)
            )
            held = connection.execute(
                "SELECT token_hash FROM tokens WHERE lookup_id = ?", (record.lookup_id,)
            ).fetchone()
            if held is None:
                insert_token(connection, record)
            elif held != (record.token_hash,):
                raise AlreadyExchangedError

    def find_token(self, lookup_id: str, place: Place | None) -> tuple[TokenRecord, Trust] | None:
        """Return the record and the publishers that a project trusts now; none without a place."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document, burned_at, used_for FROM tokens WHERE lookup_id = ?", (lookup_id,)
            ).fetchone()
            if found is None:
                return None
            document, burned_at, used_for = found
            record = TokenRecord.from_document(json.loads(document), burned_at, used_for)
            return record, find_trusted(connection, place, record.publisher_ids) if place else {}

    def use_token(self, record: TokenRecord, file: str) -> bool:
        """Mark a single-use token used for a file; say whether it may be."""
        with self._write() as connection:
            used = connection.execute(
                "UPDATE tokens SET used_for = :file WHERE lookup_id = :lookup_id "
                "AND (used_for IS NULL OR used_for = :file)",
                {"lookup_id": record.lookup_id, "file": file},
            )
            return used.rowcount == 1

    def burn_token(
        self, lookup_id: str, token_hash: str, registry: str | None, now: datetime
    ) -> bool:
        """End a token early; say whether there was one to end."""
        with self._write() as connection:
            burned = connection.execute(
                """UPDATE tokens SET burned_at = :now
                WHERE lookup_id = :lookup_id AND token_hash = :token_hash AND burned_at IS NULL
                AND (:registry IS NULL OR EXISTS (
                    SELECT 1 FROM token_registries AS scope
                    WHERE scope.lookup_id = tokens.lookup_id AND scope.registry = :registry
                ))""",
                {
                    "now": int(now.timestamp()),
                    "lookup_id": lookup_id,
                    "token_hash": token_hash,
                    "registry": registry,
                },
            )
            return burned.rowcount == 1


def insert_token(connection: sqlite3.Connection, record: TokenRecord) -> None:
    """Write a new token, unless this very one is there already."""
    connection.execute(
        "INSERT OR IGNORE INTO tokens (lookup_id, token_hash, document, kept_until) "
        "VALUES (?, ?, ?, ?)",
        (
            record.lookup_id,
            record.token_hash,
            dump(record.document()),
            int(record.kept_until.timestamp()),
        ),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO token_registries (lookup_id, registry) VALUES (?, ?)",
        [(record.lookup_id, registry) for registry in record.registries],
    )


def remove_operators_tokens(connection: sqlite3.Connection, registry: str) -> None:
    """Remove the tokens that operators made for a registry."""
    connection.execute(
        "DELETE FROM tokens WHERE json_extract(document, '$.made_by') IS NOT NULL "
        "AND lookup_id IN (SELECT lookup_id FROM token_registries WHERE registry = ?)",
        (registry,),
    )
