"""The embedded store: one SQLite file, safe with many threads and several processes.

Writers take turns: the threads of a process in the order in which they asked, processes as SQLite
lets them (``BEGIN IMMEDIATE``). Readers see one moment of the whole file and wait for nobody
(write-ahead log). What is committed survives a power failure: a used identity token stays used.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pytp_broker.audit import AuditRecord
from pytp_broker.errors import StoreUnavailable
from pytp_broker.oidc.keysets import StoredKeySet
from pytp_broker.registries import Configuration, Issuer, Registry
from pytp_broker.storage.batches import Writer
from pytp_broker.storage.protocols import (
    AlreadyExchangedError,
    AlreadyPublishedError,
    Approve,
    Changes,
    Place,
    PublishedFile,
    Release,
    Setup,
    carry_over,
    unexpired,
)
from pytp_broker.tokens import TokenRecord, Trust
from pytp_broker.trust.publishers import TrustedPublisher

# Clients give the exchange five seconds; after four of waiting for a writer we can still say 503.
BUSY_SECONDS: Final = 4.0
SCHEMA_VERSION: Final = 3

_RELEASES: Final = (
    """CREATE TABLE releases (
        registry TEXT NOT NULL,
        project TEXT NOT NULL,
        release TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (registry, project, release)
    )""",
    """CREATE TABLE reopened_releases (
        registry TEXT NOT NULL,
        project TEXT NOT NULL,
        release TEXT NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (registry, project, release)
    )""",
)
# Values that queries search for have columns; the rest is a JSON document, read back whole.
_SCHEMA: Final = (
    "CREATE TABLE switches (name TEXT PRIMARY KEY, enabled INTEGER NOT NULL)",
    "CREATE TABLE issuers (url TEXT PRIMARY KEY, document TEXT NOT NULL)",
    "CREATE TABLE registries (name TEXT PRIMARY KEY, document TEXT NOT NULL)",
    """CREATE TABLE publishers (
        publisher_id TEXT PRIMARY KEY,
        rules_hash TEXT NOT NULL UNIQUE,
        identity_key TEXT NOT NULL,
        document TEXT NOT NULL
    )""",
    "CREATE INDEX publishers_by_identity ON publishers (identity_key)",
    """CREATE TABLE pins (
        publisher_id TEXT NOT NULL REFERENCES publishers ON DELETE CASCADE,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (publisher_id, name)
    )""",
    """CREATE TABLE trust (
        registry TEXT NOT NULL,
        project TEXT NOT NULL,
        publisher_id TEXT NOT NULL REFERENCES publishers ON DELETE CASCADE,
        generation INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (registry, project, publisher_id)
    )""",
    "CREATE INDEX trust_by_publisher ON trust (publisher_id)",
    """CREATE TABLE tokens (
        lookup_id TEXT PRIMARY KEY,
        token_hash TEXT NOT NULL,
        document TEXT NOT NULL,
        kept_until INTEGER NOT NULL,
        burned_at INTEGER,
        used_for TEXT
    )""",
    "CREATE INDEX tokens_by_end ON tokens (kept_until)",
    """CREATE TABLE token_registries (
        lookup_id TEXT NOT NULL REFERENCES tokens ON DELETE CASCADE,
        registry TEXT NOT NULL,
        PRIMARY KEY (lookup_id, registry)
    )""",
    """CREATE TABLE key_sets (
        issuer TEXT PRIMARY KEY,
        keys TEXT NOT NULL,
        fetched_at TEXT NOT NULL
    )""",
    """CREATE TABLE key_set_refreshes (
        issuer TEXT PRIMARY KEY,
        claimed_at INTEGER NOT NULL
    )""",
    "CREATE TABLE operator_records (number INTEGER PRIMARY KEY, document TEXT NOT NULL)",
    """CREATE TABLE files (
        registry TEXT NOT NULL,
        filename TEXT NOT NULL,
        project TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (registry, filename)
    )""",
    "CREATE INDEX files_by_project ON files (registry, project, filename)",
    *_RELEASES,
)
_TRUSTING: Final = "SELECT project FROM trust WHERE publisher_id = ?"
# By version of the file: the statements that bring the file to the next version.
_MIGRATIONS: Final = {
    1: ("ALTER TABLE trust ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",),
    2: _RELEASES,
}


class SqliteStore:
    """A Store in one SQLite file."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the file, and create it if it is not there; raise StoreUnavailable."""
        self._path = Path(path)
        self._writer = Writer(self._borrow, self._give_back)
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        try:
            _create(self._path)
            with self._read() as connection:
                is_current = _check_version(connection)
            if not is_current:
                with self._write() as connection:
                    _migrate(connection)
        except OSError:
            raise StoreUnavailable("the database file cannot be created") from None
        except StoreUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection; a call that is still at work closes its own when it ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # What the operator writes

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
            present = {p.rules_hash: p for p in _list_publishers(connection, "TRUE", ())}
            before = Setup(_load_configuration(connection), present)
            after = Setup(configuration, carry_over(present.values(), publishers))
            changes = Changes.between(before, after)
            if approve is not None and not approve(changes):
                return changes
            _save_configuration(connection, configuration)
            _remove_publishers(connection, present.keys() - after.publishers.keys())
            for publisher in after.publishers.values():
                _save_publisher(connection, publisher)
        return changes

    def list_tokens(self, now: datetime) -> Sequence[TokenRecord]:
        """Return every token that has not expired, also burned and used ones."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document, burned_at, used_for FROM tokens WHERE kept_until >= ?",
                (int(now.timestamp()),),
            ).fetchall()
        records = [TokenRecord.from_document(json.loads(d), *marks) for d, *marks in found]
        return unexpired(records, now)

    def add_operator_record(self, record: AuditRecord, at: datetime) -> None:
        """Keep an audit record of what an operator does."""
        document = _dump({"time": at.isoformat(), **record.document()})
        with self._write() as connection:
            connection.execute("INSERT INTO operator_records (document) VALUES (?)", (document,))

    def list_operator_records(self) -> Sequence[Mapping[str, Any]]:
        """Return those records in their order."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document FROM operator_records ORDER BY number"
            ).fetchall()
        return [json.loads(document) for (document,) in found]

    def follow_operator_records(self, after: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return the records after this number, each with its own: those that others have added."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT number, document FROM operator_records WHERE number > ? ORDER BY number",
                (after,),
            ).fetchall()
        return [(number, json.loads(document)) for number, document in found]

    def last_operator_record(self) -> int:
        """Return the number of the last record; 0 when there is none."""
        with self._read() as connection:
            (number,) = connection.execute(
                "SELECT coalesce(max(number), 0) FROM operator_records"
            ).fetchone()
        return int(number)

    # What the exchange and the token check need

    def list_publishers(self, identity_key: str) -> Sequence[TrustedPublisher]:
        """Return every publisher of all registries with this identity key."""
        with self._read() as connection:
            return _list_publishers(connection, "identity_key = ?", (identity_key,))

    def pin_publisher(
        self, publisher: TrustedPublisher, pins: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """Pin immutable ids that are not pinned yet; return those in force.

        None when the publisher has been removed.
        """
        mine = (publisher.publisher_id,)
        with self._write() as connection:
            if not _list_publishers(connection, "publisher_id = ?", mine):
                return None
            _save_pins(connection, publisher.publisher_id, pins)
            return dict(
                connection.execute("SELECT name, value FROM pins WHERE publisher_id = ?", mine)
            )

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
                _insert_token(connection, record)
            elif held != (record.token_hash,):
                raise AlreadyExchangedError

    def find_token(
        self, lookup_id: str, registry: str, project: str
    ) -> tuple[TokenRecord, Trust] | None:
        """Return the record and the publishers that the project trusts now."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document, burned_at, used_for FROM tokens WHERE lookup_id = ?", (lookup_id,)
            ).fetchone()
            trusted = _list_trusted(connection, (registry, project))
        if found is None:
            return None
        document, burned_at, used_for = found
        record = TokenRecord.from_document(json.loads(document), burned_at, used_for)
        return record, trusted

    def list_trust(self, places: Sequence[Place]) -> Mapping[Place, Trust]:
        """Return the publishers that each of these projects trusts now."""
        with self._read() as connection:
            return {place: _list_trusted(connection, place) for place in places}

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

    def find_key_set(self, issuer_url: str) -> StoredKeySet | None:
        """Return the issuer's last good key set."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT keys, fetched_at FROM key_sets WHERE issuer = ?", (issuer_url,)
            ).fetchone()
        if found is None:
            return None
        keys, fetched_at = found
        return StoredKeySet(json.loads(keys), datetime.fromisoformat(fetched_at))

    def save_key_set(self, issuer_url: str, key_set: StoredKeySet) -> None:
        """Keep a good key set."""
        keys = json.dumps([dict(key) for key in key_set.keys])
        with self._write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO key_sets (issuer, keys, fetched_at) VALUES (?, ?, ?)",
                (issuer_url, keys, key_set.fetched_at.isoformat()),
            )

    def claim_key_set_refresh(self, issuer_url: str, now: datetime, cooldown: timedelta) -> bool:
        """Claim the issuer's next refresh; say whether it is ours."""
        with self._write() as connection:
            claimed = connection.execute(
                "INSERT INTO key_set_refreshes (issuer, claimed_at) VALUES (:issuer, :now) "
                "ON CONFLICT (issuer) DO UPDATE SET claimed_at = :now "
                "WHERE abs(:now - claimed_at) >= :cooldown",
                {
                    "issuer": issuer_url,
                    "now": int(now.timestamp()),
                    "cooldown": int(cooldown.total_seconds()),
                },
            )
            return claimed.rowcount == 1

    # What the index needs

    def find_file(self, registry: str, project: str, filename: str) -> PublishedFile | None:
        """Return the file of this name in a project."""
        place = (registry, project, filename)
        found = self._list_files("registry = ? AND project = ? AND filename = ?", place)
        return found[0] if found else None

    def add_file(self, file: PublishedFile) -> None:
        """Make the file visible; raise AlreadyPublishedError when the name is taken."""
        document = _dump(file.document())
        with self._write() as connection:
            held = connection.execute(
                "SELECT document FROM files WHERE registry = ? AND filename = ?",
                (file.registry, file.filename),
            ).fetchone()
            if held is None:
                connection.execute(
                    "INSERT INTO files (registry, filename, project, document) VALUES (?, ?, ?, ?)",
                    (file.registry, file.filename, file.project, document),
                )
            elif held != (document,):
                raise AlreadyPublishedError

    def find_release(
        self, registry: str, project: str, key: str
    ) -> tuple[Release | None, datetime | None]:
        """Return the record of a release, and until when the operator has reopened it."""
        place = (registry, project, key)
        with self._read() as connection:
            document = _find_release(connection, place)
            reopened = connection.execute(
                "SELECT until FROM reopened_releases "
                "WHERE registry = ? AND project = ? AND release = ?",
                place,
            ).fetchone()
        release = None if document is None else Release.from_document(json.loads(document))
        return release, datetime.fromtimestamp(reopened[0], UTC) if reopened else None

    def save_release(self, release: Release, present: Release | None) -> bool:
        """Write the record in place of the present one; say whether it is there now."""
        place = (release.registry, release.project, release.key)
        document = _dump(release.document())
        expected = None if present is None else _dump(present.document())
        with self._write() as connection:
            held = _find_release(connection, place)
            if held == expected:
                connection.execute(
                    "INSERT OR REPLACE INTO releases (registry, project, release, document) "
                    "VALUES (?, ?, ?, ?)",
                    (*place, document),
                )
        return held in {expected, document}

    def reopen_release(self, registry: str, project: str, key: str, until: datetime) -> None:
        """Let a release take files until then."""
        with self._write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO reopened_releases (registry, project, release, until) "
                "VALUES (?, ?, ?, ?)",
                (registry, project, key, int(until.timestamp())),
            )

    def list_files(self, registry: str, project: str) -> Sequence[PublishedFile]:
        """Return the files of a project, ordered by name."""
        return self._list_files("registry = ? AND project = ?", (registry, project))

    def list_projects(self, registry: str) -> Sequence[str]:
        """Return the normalised names of all projects with a file, ordered."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT DISTINCT project FROM files WHERE registry = ? ORDER BY project",
                (registry,),
            ).fetchall()
        return [project for (project,) in found]

    def _list_files(self, condition: str, values: tuple[str, ...]) -> list[PublishedFile]:
        query = f"SELECT document FROM files WHERE {condition} ORDER BY filename"  # noqa: S608 - ours
        with self._read() as connection:
            found = connection.execute(query, values).fetchall()
        return [PublishedFile.from_document(json.loads(document)) for (document,) in found]

    # Connections

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
        # As many connections as calls at one time; opening one costs more than most calls.
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


def _create(path: Path) -> None:
    # We make the file beside its place, then link it there, unless another process was first. So no
    # process opens a half-made file, or one that is just changing to a write-ahead log.
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        made = Path(folder) / "made"
        with closing(sqlite3.connect(made)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        # Others may be able to read in the folder. SQLite gives its other files the same mode.
        made.chmod(0o600)
        with suppress(FileExistsError):
            path.hardlink_to(made)


@contextmanager
def _told_as_unavailable() -> Iterator[None]:
    # Text that is not Unicode (a lone surrogate) cannot be encoded, nor be one of our keys.
    try:
        yield
    except (sqlite3.Error, UnicodeEncodeError, TimeoutError) as error:
        # SQLite's name for it, without the words of a statement, is what an operator may know.
        cause = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StoreUnavailable("the store did not answer", operator_detail=cause) from None


def _check_version(connection: sqlite3.Connection) -> bool:
    """Say whether the file has this version's schema; raise StoreUnavailable if it cannot get it.

    A later version's file is left alone.
    """
    version = _version(connection)
    if version != SCHEMA_VERSION and version not in _MIGRATIONS:
        raise StoreUnavailable("the database file is not of this version of pytp-broker")
    return version == SCHEMA_VERSION


def _migrate(connection: sqlite3.Connection) -> None:
    # The version is read again, because another process may have migrated the file meanwhile.
    for version in range(_version(connection), SCHEMA_VERSION):
        for statement in _MIGRATIONS[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # On purpose, though it is the default: a commit that a power failure undoes would let an
        # identity token be used again.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)


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
        [(issuer.url, _dump(issuer.document())) for issuer in configuration.issuers.values()],
    )
    connection.executemany(
        "INSERT INTO registries (name, document) VALUES (?, ?)",
        [(r.name, _dump(r.document())) for r in configuration.registries.values()],
    )


def _list_publishers(
    connection: sqlite3.Connection, condition: str, values: tuple[str, ...]
) -> list[TrustedPublisher]:
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
        TrustedPublisher.from_document(json.loads(document), pins[publisher_id])
        for publisher_id, document in documents.items()
    ]


def _list_trusted(connection: sqlite3.Connection, place: Place) -> Trust:
    return dict(
        connection.execute(
            "SELECT publisher_id, generation FROM trust WHERE registry = ? AND project = ?", place
        )
    )


def _find_release(connection: sqlite3.Connection, place: tuple[str, str, str]) -> str | None:
    found = connection.execute(
        "SELECT document FROM releases WHERE registry = ? AND project = ? AND release = ?", place
    ).fetchone()
    return found[0] if found else None


def _remove_publishers(connection: sqlite3.Connection, rules_hashes: set[str]) -> None:
    # This also removes their pins and every project's trust in them.
    connection.executemany(
        "DELETE FROM publishers WHERE rules_hash = ?", [(key,) for key in rules_hashes]
    )


def _save_publisher(connection: sqlite3.Connection, publisher: TrustedPublisher) -> None:
    publisher_id, document = publisher.publisher_id, _dump(publisher.document())
    connection.execute(
        "INSERT INTO publishers (publisher_id, rules_hash, identity_key, document) "
        "VALUES (?, ?, ?, ?) ON CONFLICT (rules_hash) DO UPDATE "
        "SET identity_key = excluded.identity_key, document = excluded.document",
        (publisher_id, publisher.rules_hash, publisher.identity_key, document),
    )
    _save_pins(connection, publisher_id, publisher.pins)
    _save_trust(connection, publisher)


def _save_trust(connection: sqlite3.Connection, publisher: TrustedPublisher) -> None:
    mine = (publisher.publisher_id,)
    trusting = {p for (p,) in connection.execute(_TRUSTING, mine)}
    wanted = dict.fromkeys(publisher.projects)
    connection.executemany(
        "DELETE FROM trust WHERE registry = ? AND project = ? AND publisher_id = ?",
        [(publisher.registry, project, *mine) for project in trusting.difference(wanted)],
    )
    connection.executemany(
        "INSERT INTO trust (registry, project, publisher_id, generation) VALUES (?, ?, ?, ?)",
        [
            (publisher.registry, project, *mine, publisher.generation)
            for project in wanted
            if project not in trusting
        ],
    )


def _save_pins(connection: sqlite3.Connection, publisher_id: str, pins: Mapping[str, str]) -> None:
    # An existing pin stays.
    connection.executemany(
        "INSERT OR IGNORE INTO pins (publisher_id, name, value) VALUES (?, ?, ?)",
        [(publisher_id, name, value) for name, value in pins.items()],
    )


def _insert_token(connection: sqlite3.Connection, record: TokenRecord) -> None:
    connection.execute(
        "INSERT INTO tokens (lookup_id, token_hash, document, kept_until) VALUES (?, ?, ?, ?)",
        (
            record.lookup_id,
            record.token_hash,
            _dump(record.document()),
            int(record.kept_until.timestamp()),
        ),
    )
    connection.executemany(
        "INSERT INTO token_registries (lookup_id, registry) VALUES (?, ?)",
        [(record.lookup_id, registry) for registry in record.registries],
    )
