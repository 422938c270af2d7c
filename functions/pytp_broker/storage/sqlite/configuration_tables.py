"""Tables of SQLite for the configuration: the main switch, issuers, registries and timestamps."""

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from pytp_broker.registries import Configuration, Issuer, Registry, Timestamping
from pytp_broker.storage.plan import Approve, Kind, Plan, Setup, Step, make_plan
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.storage.sqlite.publisher_tables import list_publishers, save_pins, save_publisher
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
    ) -> Plan:
        """Bring the store to this configuration, in one transaction."""
        with self._write(is_alone=True) as connection:
            plan = make_plan(_load_setup(connection), configuration, publishers)
            if approve is None or approve(plan):
                _execute(connection, plan)
        return plan


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


def _execute(connection: sqlite3.Connection, plan: Plan) -> None:
    for step in plan.steps:
        _execute_step(connection, step)
    save_pins(connection, plan.outcome.publishers.values())


def _execute_step(connection: sqlite3.Connection, step: Step) -> None:
    table, column = _TABLES[step.kind]
    part = step.after
    if isinstance(part, TrustedPublisher):
        save_publisher(connection, part)
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
