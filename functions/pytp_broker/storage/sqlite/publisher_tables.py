"""Tables of SQLite for trusted publishers, their pins, and the publishers that projects trust."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from pytp_broker.grants import Trust
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Place
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.trust.publishers import TrustedPublisher

# A project's jobs come again and again, and a publisher seldom changes. One of a thousand projects
# has a document of some 20 KB.
_REMEMBERED: Final = 256
_TRUSTING: Final = "SELECT project FROM trust WHERE publisher_id = ?"


class PublisherTables(Database):
    """Trusted publishers, and the publishers that a project trusts."""

    def list_publishers(self, identity_key: str) -> Sequence[TrustedPublisher]:
        """Return every publisher of all registries with this identity key."""
        with self._read() as connection:
            return list_publishers(connection, "identity_key = ?", (identity_key,))

    def pin_publisher(
        self, publisher: TrustedPublisher, pins: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """Pin immutable ids that are not pinned yet; return those in force.

        None when the publisher has been removed.
        """
        mine = (publisher.publisher_id,)
        with self._write() as connection:
            if not list_publishers(connection, "publisher_id = ?", mine):
                return None
            save_pins(connection, [publisher.with_pins(pins)])
            return dict(
                connection.execute("SELECT name, value FROM pins WHERE publisher_id = ?", mine)
            )

    def list_trust(self, places: Sequence[Place]) -> Mapping[Place, Trust]:
        """Return the publishers that each of these projects trusts now."""
        with self._read() as connection:
            return {place: list_trusted(connection, place) for place in places}


def list_publishers(
    connection: sqlite3.Connection, condition: str, values: tuple[str, ...]
) -> list[TrustedPublisher]:
    """Return the publishers that meet a condition of SQL, with their pins."""
    rows = connection.execute(
        "SELECT publishers.publisher_id, document, name, value FROM publishers "  # noqa: S608 - ours
        f"LEFT JOIN pins USING (publisher_id) WHERE {condition} ORDER BY rules_hash",
        values,
    ).fetchall()
    documents = {publisher_id: document for publisher_id, document, _, _ in rows}
    pins: dict[str, dict[str, str]] = {publisher_id: {} for publisher_id in documents}
    for publisher_id, _, name, value in rows:
        if name is not None:
            pins[publisher_id][name] = value
    return [
        _read_publisher(document, tuple(pins[publisher_id].items()))
        for publisher_id, document in documents.items()
    ]


@lru_cache(_REMEMBERED)
def _read_publisher(document: str, pins: tuple[tuple[str, str], ...]) -> TrustedPublisher:
    return TrustedPublisher.from_document(json.loads(document), dict(pins))


def list_trusted(connection: sqlite3.Connection, place: Place) -> Trust:
    """Return the publishers that a project trusts."""
    return dict(
        connection.execute(
            "SELECT publisher_id, generation FROM trust WHERE registry = ? AND project = ?", place
        )
    )


def find_trusted(
    connection: sqlite3.Connection, place: Place, publisher_ids: Sequence[str]
) -> Trust:
    """Return those of these publishers that a project trusts; a registry may trust very many."""
    return dict(
        connection.execute(
            "SELECT publisher_id, generation FROM trust WHERE registry = ? AND project = ? "
            "AND publisher_id IN (SELECT value FROM json_each(?))",
            (*place, json.dumps(publisher_ids)),
        )
    )


def add_publishers(
    connection: sqlite3.Connection, publishers: Mapping[str, TrustedPublisher]
) -> None:
    """Write new publishers, by their rules, and the projects that trust them."""
    connection.executemany(
        "INSERT INTO publishers (publisher_id, rules_hash, identity_key, document) "
        "VALUES (?, ?, ?, ?)",
        (
            (p.publisher_id, rules, p.identity_key, dump(p.document()))
            for rules, p in publishers.items()
        ),
    )
    for publisher in publishers.values():
        _trust(connection, publisher, _wanted_trust(publisher))


def change_publisher(
    connection: sqlite3.Connection, rules: str, publisher: TrustedPublisher
) -> None:
    """Write a publisher with these rules anew, and the projects that trust it."""
    connection.execute(
        "UPDATE publishers SET identity_key = ?, document = ? WHERE rules_hash = ?",
        (publisher.identity_key, dump(publisher.document()), rules),
    )
    mine = (publisher.publisher_id,)
    trusting = {p for (p,) in connection.execute(_TRUSTING, mine)}
    wanted = _wanted_trust(publisher)
    connection.executemany(
        "DELETE FROM trust WHERE registry = ? AND project = ? AND publisher_id = ?",
        [(publisher.registry, project, *mine) for project in trusting.difference(wanted)],
    )
    new = {project: since for project, since in wanted.items() if project not in trusting}
    _trust(connection, publisher, new)


def _wanted_trust(publisher: TrustedPublisher) -> Trust:
    """Return the projects that trust a publisher from now on, each with its generation."""
    return {WHOLE_REGISTRY: 0, **dict.fromkeys(publisher.projects, publisher.generation)}


def _trust(connection: sqlite3.Connection, publisher: TrustedPublisher, projects: Trust) -> None:
    connection.executemany(
        "INSERT INTO trust (registry, project, publisher_id, generation) VALUES (?, ?, ?, ?)",
        [
            (publisher.registry, project, publisher.publisher_id, since)
            for project, since in projects.items()
        ],
    )


def save_pins(connection: sqlite3.Connection, publishers: Iterable[TrustedPublisher]) -> None:
    """Write the pins of these publishers that have none of the same name yet."""
    connection.executemany(
        "INSERT OR IGNORE INTO pins (publisher_id, name, value) VALUES (?, ?, ?)",
        [(p.publisher_id, name, value) for p in publishers for name, value in p.pins.items()],
    )
