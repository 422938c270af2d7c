"""Tables of SQLite for the configuration: the main switch, issuers, registries and timestamps."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pytp_broker.registries import Configuration, Issuer, Registry, Timestamping
from pytp_broker.storage.plan import (
    Approve,
    Describe,
    Kind,
    Plan,
    Setup,
    Step,
    Verb,
    make_plan,
    no_records,
)
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.storage.sqlite.operator_tables import insert_records, written
from pytp_broker.storage.sqlite.publisher_tables import (
    add_publishers,
    change_publisher,
    list_publishers,
    save_pins,
)
from pytp_broker.storage.sqlite.token_tables import remove_operators_tokens
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.trust.publishers import TrustedPublisher

# The tables of what a plan changes, and the column of a step's key.
_TABLES: Final = {
    Kind.SWITCH: ("switches", "name"),
    Kind.TIMESTAMPING: ("timestamping", "url"),
    Kind.ISSUER: ("issuers", "url"),
    Kind.REGISTRY: ("registries", "name"),
    Kind.PUBLISHER: ("publishers", "rules_hash"),
    Kind.READER: ("publishers", "rules_hash"),
}

# Not a part that a plan changes. It stands beside the main switch, as seconds instead of a bool, so
# that a file needs no new table for it.
_IDENTITY_TOKENS: Final = "identity-tokens-from"


class ConfigurationTables(Database):
    """The configuration, and the changes that an operator makes to it and to the publishers."""

    def load_configuration(self) -> Configuration:
        """Return the configuration that is in force now."""
        with self._read() as connection:
            return with_built_in(_load_written(connection))

    def refuse_identity_tokens(self, before: datetime) -> None:
        """Refuse identity tokens that were issued before this time; a later time stays."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO switches (name, enabled) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET enabled = max(enabled, excluded.enabled)",
                (_IDENTITY_TOKENS, int(before.timestamp())),
            )

    def load_setup(self) -> Setup:
        """Return all that operators have written: the configuration and every publisher."""
        with self._read() as connection:
            return _load_setup(connection)

    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: Approve | None = None,
        describe: Describe = no_records,
    ) -> Plan:
        """Bring the store to this configuration, in one transaction, which has its records too.

        All that takes long is made ready before, because nobody else writes meanwhile. If the store
        has changed since, it is made ready again.
        """

        def prepare(connection: sqlite3.Connection) -> _Prepared:
            plan = make_plan(_load_setup(connection), configuration, publishers)
            records = [written(record, at) for record, at in describe(plan)]
            return _Prepared(_state_of(connection), plan, records)

        with self._read() as connection:
            ready = prepare(connection)
        if ready.plan.changes_nothing:
            if approve is not None:
                approve(ready.plan)
            return ready.plan
        with self._write(is_alone=True) as connection:
            if _state_of(connection) != ready.state:
                ready = prepare(connection)
            if approve is None or approve(ready.plan):
                _execute(connection, ready)
        return ready.plan


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A plan, the state of the tables that it was made from, and the records of its steps."""

    state: bytes
    plan: Plan
    records: Sequence[str]


def _state_of(connection: sqlite3.Connection) -> bytes:
    """Return a digest of all that a plan is made from."""
    digest = hashlib.sha256()
    for table in sorted({"pins", *(table for table, _ in _TABLES.values())}):
        digest.update(f"{table}\n".encode())
        for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - ours
            digest.update(repr(row).encode())
    return digest.digest()


def _load_setup(connection: sqlite3.Connection) -> Setup:
    publishers = list_publishers(connection, "TRUE", ())
    return Setup(_load_written(connection), {p.rules_hash: p for p in publishers})


def _load_written(connection: sqlite3.Connection) -> Configuration:
    switches = dict(connection.execute("SELECT name, enabled FROM switches"))
    issuers = connection.execute("SELECT url, document FROM issuers").fetchall()
    registries = connection.execute("SELECT name, document FROM registries").fetchall()
    return Configuration(
        {url: Issuer.from_document(json.loads(document)) for url, document in issuers},
        {name: Registry.from_document(json.loads(document)) for name, document in registries},
        bool(switches.get("main", True)),
        _load_timestamping(connection),
        _read_time(switches.get(_IDENTITY_TOKENS)),
    )


def _read_time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _load_timestamping(connection: sqlite3.Connection) -> Timestamping | None:
    row = connection.execute("SELECT document FROM timestamping").fetchone()
    return None if row is None else Timestamping.from_document(json.loads(row[0]))


def _execute(connection: sqlite3.Connection, ready: _Prepared) -> None:
    added = {}
    for step in ready.plan.steps:
        if isinstance(step.after, TrustedPublisher) and step.verb is Verb.ADD:
            added[step.key] = step.after
        else:
            _execute_step(connection, step)
    add_publishers(connection, added)
    save_pins(connection, ready.plan.outcome.publishers.values())
    insert_records(connection, ready.records)


def _execute_step(connection: sqlite3.Connection, step: Step) -> None:
    table, column = _TABLES[step.kind]
    part = step.after
    if isinstance(part, TrustedPublisher):
        change_publisher(connection, step.key, part)
    elif isinstance(part, Issuer | Registry | Timestamping):
        connection.execute(
            f"INSERT OR REPLACE INTO {table} ({column}, document) VALUES (?, ?)",  # noqa: S608 - ours
            (step.key, dump(part.document())),
        )
    elif part is None:
        # Deleting a publisher also deletes its pins, and every project's trust in it.
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (step.key,))  # noqa: S608 - ours
        if step.kind is Kind.REGISTRY:
            remove_operators_tokens(connection, step.key)
    else:
        connection.execute(
            "INSERT OR REPLACE INTO switches (name, enabled) VALUES (?, ?)", (step.key, part)
        )
