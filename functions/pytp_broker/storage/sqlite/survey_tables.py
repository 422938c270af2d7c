"""A survey of a registry in SQLite: every table that says something of its projects."""

import sqlite3
from collections.abc import Iterator

from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import WHOLE_REGISTRY
from pytp_broker.storage.sqlite.database import Database
from pytp_broker.storage.sqlite.file_tables import read_file, read_tombstone
from pytp_broker.storage.survey import (
    DeletedFile,
    GivenStatus,
    Piece,
    TrustedBy,
    YankedRelease,
)


class SurveyTables(Database):
    """All projects of a registry at once."""

    def survey(self, registry: str) -> Iterator[Piece]:
        """Yield all that is known of a registry's projects, in any order."""
        with self._read() as connection:
            yield from _marks(connection, registry)
            query = "SELECT document, attestation_state FROM files WHERE registry = ?"
            for row in connection.execute(query, (registry,)):
                yield read_file(*row)


def _marks(connection: sqlite3.Connection, registry: str) -> Iterator[Piece]:
    """Yield what is known beside the files."""
    here = (registry,)
    trust = "SELECT project, publisher_id FROM trust WHERE registry = ? AND project != ?"
    for row in connection.execute(trust, (registry, WHOLE_REGISTRY)):
        yield TrustedBy(*row)
    statuses = "SELECT project, status, reason FROM project_statuses WHERE registry = ?"
    for project, *status in connection.execute(statuses, here):
        yield GivenStatus(project, ProjectStatus(*status))
    yanked = "SELECT project, release, reason FROM yanked_releases WHERE registry = ?"
    for row in connection.execute(yanked, here):
        yield YankedRelease(*row)
    deleted = (
        "SELECT project, filename, reason, deleted_by, deleted_at FROM deleted_files "
        "WHERE registry = ?"
    )
    for project, filename, *tombstone in connection.execute(deleted, here):
        yield DeletedFile(project, filename, read_tombstone(*tombstone))
