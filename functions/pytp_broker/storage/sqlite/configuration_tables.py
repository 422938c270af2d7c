"""Tables of SQLite for the configuration: the main switch, issuers and registries."""

import json
import sqlite3
from collections.abc import Sequence

from pytp_broker.registries import Configuration, Issuer, Registry
from pytp_broker.storage.plan import Approve, Changes, Setup, carry_over
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.storage.sqlite.publisher_tables import (
    list_publishers,
    remove_publishers,
    save_publisher,
)
from pytp_broker.trust.publishers import TrustedPublisher


class ConfigurationTables(Database):
    """The configuration, and the changes that an operator makes to it and to the publishers."""

    def load_configuration(self) -> Configuration:
        """Return the issuers, registries and the main switch."""
        with self._read() as connection:
            return _load_configuration(connection)

    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: Approve | None = None,
    ) -> Changes:
        """Bring the store to this configuration, in one transaction."""
        with self._write(is_alone=True) as connection:
            present = {p.rules_hash: p for p in list_publishers(connection, "TRUE", ())}
            before = Setup(_load_configuration(connection), present)
            after = Setup(configuration, carry_over(present.values(), publishers))
            changes = Changes.between(before, after)
            if approve is not None and not approve(changes):
                return changes
            _save_configuration(connection, configuration)
            remove_publishers(connection, present.keys() - after.publishers.keys())
            for publisher in after.publishers.values():
                save_publisher(connection, publisher)
        return changes


def _load_configuration(connection: sqlite3.Connection) -> Configuration:
    switches = dict(connection.execute("SELECT name, enabled FROM switches"))
    issuers = connection.execute("SELECT url, document FROM issuers").fetchall()
    registries = connection.execute("SELECT name, document FROM registries").fetchall()
    return Configuration(
        {url: Issuer.from_document(json.loads(document)) for url, document in issuers},
        {name: Registry.from_document(json.loads(document)) for name, document in registries},
        bool(switches.get("main", True)),
    )


def _save_configuration(connection: sqlite3.Connection, configuration: Configuration) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO switches (name, enabled) VALUES ('main', ?)",
        (configuration.enabled,),
    )
    connection.execute("DELETE FROM issuers")
    connection.execute("DELETE FROM registries")
    connection.executemany(
        "INSERT INTO issuers (url, document) VALUES (?, ?)",
        [(issuer.url, dump(issuer.document())) for issuer in configuration.issuers.values()],
    )
    connection.executemany(
        "INSERT INTO registries (name, document) VALUES (?, ?)",
        [(r.name, dump(r.document())) for r in configuration.registries.values()],
    )
