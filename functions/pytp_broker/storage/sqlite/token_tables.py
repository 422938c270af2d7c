"""Tables of SQLite for upload tokens."""

import json
import sqlite3
from datetime import datetime
from typing import Final

from pytp_broker.grants import Trust
from pytp_broker.storage.protocols import AlreadyExchangedError, Place
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.storage.sqlite.publisher_tables import find_trusted
from pytp_broker.tokens import TokenRecord

# A token that removes old records changes twice as many pages of the file as one that does not, so
# only one token in so many removes them. It removes more than were added since, so that a store
# with many old records shrinks; the number is limited, because other writers wait meanwhile.
CLEARED_EVERY: Final = 64
CLEARED_AT_ONCE: Final = 256


class TokenTables(Database):
    """Upload tokens."""

    _added: int = 0  # by way of this object; only the thread that may write uses it

    def add_token(self, record: TokenRecord) -> None:
        """Store the record; raise AlreadyExchangedError when its lookup id is taken.

        Now and then it also removes records that are no longer needed.
        """
        now = int(record.issued_at.timestamp())
        with self._write() as connection:
            if self._added % CLEARED_EVERY == 0:
                _clear(connection, now)
            self._added += 1
            if not insert_token(connection, record):
                _insert_anyway(connection, record, now)

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


def insert_token(connection: sqlite3.Connection, record: TokenRecord) -> bool:
    """Write a new token, unless its lookup id is taken; say whether it was written."""
    inserted = connection.execute(
        "INSERT OR IGNORE INTO tokens (lookup_id, token_hash, document, kept_until) "
        "VALUES (?, ?, ?, ?)",
        (
            record.lookup_id,
            record.token_hash,
            dump(record.document()),
            int(record.kept_until.timestamp()),
        ),
    )
    if inserted.rowcount == 0:
        return False
    for registry in record.registries:
        connection.execute(
            "INSERT INTO token_registries (lookup_id, registry) VALUES (?, ?)",
            (record.lookup_id, registry),
        )
    return True


def _insert_anyway(connection: sqlite3.Connection, record: TokenRecord, now: int) -> None:
    """Write a token in place of one that is no longer needed; raise AlreadyExchangedError.

    An earlier attempt of this very write is not an error.
    """
    mine = (record.lookup_id,)
    connection.execute("DELETE FROM tokens WHERE lookup_id = ? AND kept_until < ?", (*mine, now))
    if not insert_token(connection, record):
        held = connection.execute("SELECT token_hash FROM tokens WHERE lookup_id = ?", mine)
        if held.fetchone() != (record.token_hash,):
            raise AlreadyExchangedError


def _clear(connection: sqlite3.Connection, now: int) -> None:
    """Remove records that are no longer needed, up to a number."""
    connection.execute(
        "DELETE FROM tokens WHERE rowid IN "
        "(SELECT rowid FROM tokens WHERE kept_until < ? ORDER BY kept_until LIMIT ?)",
        (now, CLEARED_AT_ONCE),
    )


def remove_operators_tokens(connection: sqlite3.Connection, registry: str) -> None:
    """Remove the tokens that operators made for a registry."""
    connection.execute(
        "DELETE FROM tokens WHERE json_extract(document, '$.made_by') IS NOT NULL "
        "AND lookup_id IN (SELECT lookup_id FROM token_registries WHERE registry = ?)",
        (registry,),
    )
