"""The tables of the database file, and how a file of an older version gets them.

SQLite's ``user_version`` is the version of the layout, and ``written_by`` has the version of
pytp-broker that made it so. A file of a later layout is refused, with the version to use.
"""

import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from pytp_broker import __version__
from pytp_broker.errors import StoreUnavailable
from pytp_broker.redaction import printable
from pytp_broker.storage.sqlite.editions import EDITIONS, add_editions, has_editions

SCHEMA_VERSION: Final = 9

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
_YANKED: Final = (
    """CREATE TABLE yanked_releases (
        registry TEXT NOT NULL,
        project TEXT NOT NULL,
        release TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (registry, project, release)
    )""",
)
_STATUSES: Final = (
    """CREATE TABLE project_statuses (
        registry TEXT NOT NULL,
        project TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (registry, project)
    )""",
)
_DELETED: Final = (
    """CREATE TABLE deleted_files (
        registry TEXT NOT NULL,
        project TEXT NOT NULL,
        filename TEXT NOT NULL,
        reason TEXT NOT NULL,
        deleted_by TEXT NOT NULL,
        deleted_at INTEGER NOT NULL,
        PRIMARY KEY (registry, project, filename)
    )""",
)
_SESSIONS: Final = (
    """CREATE TABLE sessions (
        token TEXT PRIMARY KEY,
        registry TEXT NOT NULL,
        project TEXT NOT NULL,
        release TEXT NOT NULL,
        status TEXT NOT NULL,
        revision INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        kept_until INTEGER NOT NULL,
        document BLOB NOT NULL
    )""",
    "CREATE INDEX sessions_by_release ON sessions (registry, project, release)",
    """CREATE TABLE reserved_files (
        registry TEXT NOT NULL,
        filename TEXT NOT NULL,
        project TEXT NOT NULL,
        document TEXT NOT NULL,
        reservation TEXT NOT NULL,
        PRIMARY KEY (registry, filename)
    )""",
    "CREATE INDEX reserved_files_by_session ON reserved_files (reservation)",
)
_RECEIPT_KEYS: Final = (
    "CREATE TABLE receipt_keys (key_id TEXT PRIMARY KEY, document TEXT NOT NULL)",
)
_TIMESTAMPING: Final = ("CREATE TABLE timestamping (url TEXT PRIMARY KEY, document TEXT NOT NULL)",)
# Version 0.1.0 has the same layout but for this table and EDITIONS, which it passes by.
_WRITTEN_BY: Final = "CREATE TABLE IF NOT EXISTS written_by (version TEXT NOT NULL)"
# Values that queries search for have columns; the rest is a JSON document, read back whole.
SCHEMA: Final = (
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
        attestation_state TEXT,
        PRIMARY KEY (registry, filename)
    )""",
    "CREATE INDEX files_by_project ON files (registry, project, filename)",
    *_RELEASES,
    *_YANKED,
    *_STATUSES,
    *_DELETED,
    *_SESSIONS,
    *_RECEIPT_KEYS,
    *_TIMESTAMPING,
    "CREATE TABLE written_by (version TEXT NOT NULL)",
)
# By version of the file: the statements that bring the file to the next version.
_MIGRATIONS: Final = {
    1: ("ALTER TABLE trust ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",),
    2: _RELEASES,
    3: _YANKED,
    4: _STATUSES,
    5: _DELETED,
    # A registry as a whole trusts each of its publishers, and has no project's name.
    6: (
        """INSERT INTO trust (registry, project, publisher_id, generation)
        SELECT json_extract(document, '$.registry'), '', publisher_id, 0 FROM publishers""",
    ),
    7: _SESSIONS,
    8: (
        "ALTER TABLE files ADD COLUMN attestation_state TEXT",
        *_RECEIPT_KEYS,
        *_TIMESTAMPING,
    ),
}


def create(path: Path) -> None:
    """Create the file with empty tables, unless the file exists."""
    # We make the file beside its place, then link it there, unless another process was first. So no
    # process opens a half-made file, or one that is just changing to a write-ahead log.
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        made = Path(folder) / "made"
        with closing(sqlite3.connect(made)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in (*SCHEMA, *EDITIONS):
                connection.execute(statement)
            _sign(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        # Other users may be able to read files in the folder, but not this one. SQLite gives its
        # other files the same mode.
        made.chmod(0o600)
        with suppress(FileExistsError):
            path.hardlink_to(made)


def is_current(connection: sqlite3.Connection) -> bool:
    """Say whether the file has this version's schema; raise StoreUnavailable if it cannot get it.

    A later version's file is left alone.
    """
    version, written_by = _version(connection), _written_by(connection)
    if version > SCHEMA_VERSION:
        named = f"pytp-broker {printable(written_by)}" if written_by else "a later pytp-broker"
        raise StoreUnavailable(
            f"{named} has written the database file, in the layout {version}, and this is"
            f" {__version__}, which knows the layout {SCHEMA_VERSION}: use {named}"
            f"{' or later' if written_by else ''}; nothing was changed"
        )
    if version != SCHEMA_VERSION and version not in _MIGRATIONS:
        raise StoreUnavailable("the database file is not one of pytp-broker; nothing was changed")
    return version == SCHEMA_VERSION and written_by is not None and has_editions(connection)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables of an older file to this version."""
    # The version is read again, because another process may have migrated the file meanwhile.
    for version in range(_version(connection), SCHEMA_VERSION):
        for statement in _MIGRATIONS[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")
    add_editions(connection)
    _sign(connection)


def _sign(connection: sqlite3.Connection) -> None:
    connection.execute(_WRITTEN_BY)
    connection.execute("DELETE FROM written_by")
    connection.execute("INSERT INTO written_by VALUES (?)", (__version__,))


def _written_by(connection: sqlite3.Connection) -> str | None:
    """Return the version of pytp-broker that made the layout; None if the file does not say it."""
    tables = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'written_by'"
    if connection.execute(tables).fetchone() is None:
        return None
    row = connection.execute("SELECT version FROM written_by").fetchone()
    return None if row is None else str(row[0])


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
