"""Tables of SQLite for published files and releases."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pytp_broker.provenance.attester import AttestationState
from pytp_broker.storage.file_records import Entry, PublishedFile, Release
from pytp_broker.storage.project_files import Announcement, ProjectFiles
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError, ReservedError
from pytp_broker.storage.sqlite.database import Database, dump
from pytp_broker.storage.sqlite.editions import find_edition
from pytp_broker.storage.sqlite.session_tables import is_reserved
from pytp_broker.storage.withdrawals import Tombstone, Withdrawals

# The files of a project, and whether an operator has deleted each.
_SHOWN_FILES: Final = """
    SELECT document, attestation_state, deleted_files.filename IS NOT NULL
    FROM files LEFT JOIN deleted_files USING (registry, project, filename)
    WHERE registry = ? AND project = ? ORDER BY filename
"""


class FileTables(Database):
    """Records of published files and of releases; the bytes are elsewhere."""

    def find_entry(self, registry: str, project: str, filename: str) -> Entry:
        """Return the file of this name in a project, its tombstone, and the project's status."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document, attestation_state FROM files "
                "WHERE registry = ? AND project = ? AND filename = ?",
                (registry, project, filename),
            ).fetchone()
            tombstone = find_tombstone(connection, (registry, project, filename))
            status = _find_status(connection, (registry, project))
        return Entry(read_file(*found) if found else None, tombstone, status)

    def announce_file(self, registry: str, project: str, filename: str) -> Announcement:  # noqa: ARG002 - nothing is written ahead
        """Return what the project of a file shows that is about to become visible."""
        found = self.find_files(registry, project)
        return Announcement(found.files if found else [])

    def add_file(self, file: PublishedFile, announcement: Announcement | None = None) -> None:  # noqa: ARG002
        """Make the file visible; raise AlreadyPublishedError or ReservedError."""
        document = dump(file.document())
        with self._write() as connection:
            held = connection.execute(
                "SELECT document FROM files WHERE registry = ? AND filename = ?",
                (file.registry, file.filename),
            ).fetchone()
            if held is None:
                if is_reserved(connection, file, file.uploaded_at):
                    raise ReservedError
                connection.execute(
                    "INSERT INTO files (registry, filename, project, document) VALUES (?, ?, ?, ?)",
                    (file.registry, file.filename, file.project, document),
                )
            elif held != (document,):
                raise AlreadyPublishedError

    def save_attestation_state(
        self, registry: str, project: str, filename: str, state: AttestationState
    ) -> None:
        """Keep what is known now of a file's attestations."""
        with self._write() as connection:
            connection.execute(
                "UPDATE files SET attestation_state = ? "
                "WHERE registry = ? AND project = ? AND filename = ?",
                (dump(state.document()), registry, project, filename),
            )

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
        document = dump(release.document())
        expected = None if present is None else dump(present.document())
        with self._write() as connection:
            held = _find_release(connection, place)
            if held == expected:
                connection.execute(
                    "INSERT OR REPLACE INTO releases (registry, project, release, document) "
                    "VALUES (?, ?, ?, ?)",
                    (*place, document),
                )
        return held in {expected, document}

    def list_files(self, registry: str, project: str) -> Sequence[PublishedFile]:
        """Return all files of a project, ordered by name: deleted ones, too."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT document, attestation_state FROM files "
                "WHERE registry = ? AND project = ? ORDER BY filename",
                (registry, project),
            ).fetchall()
        return [read_file(*row) for row in found]

    def find_files(self, registry: str, project: str) -> ProjectFiles | None:
        """Return what a project's page shows; None if the project never had a file."""
        place = (registry, project)
        with self._read() as connection:
            found = connection.execute(_SHOWN_FILES, place).fetchall()
            yanked = _find_yanked(connection, place)
            status = _find_status(connection, place)
            edition = find_edition(connection, place)
        visible = [(document, state) for document, state, is_deleted in found if not is_deleted]
        # One text for all of them takes half the time that one for each would take.
        documents = json.loads(f"[{','.join(document for document, _ in visible)}]")
        states = (state for _, state in visible)
        files = [_file(*each) for each in zip(documents, states, strict=True)]
        return ProjectFiles(files, yanked, status, edition) if found else None

    def find_edition(self, registry: str, project: str) -> str | None:
        """Return the edition that ``find_files`` would return now."""
        with self._read() as connection:
            return find_edition(connection, (registry, project))

    def list_withdrawn(self, registry: str, project: str) -> Withdrawals:
        """Return the yanked releases and the deleted files of a project."""
        with self._read() as connection:
            yanked = _find_yanked(connection, (registry, project))
            deleted = connection.execute(
                "SELECT filename, reason, deleted_by, deleted_at FROM deleted_files "
                "WHERE registry = ? AND project = ?",
                (registry, project),
            ).fetchall()
        return Withdrawals(yanked, {name: read_tombstone(*row) for name, *row in deleted})

    def find_status(self, registry: str, project: str) -> ProjectStatus:
        """Return the status that an operator has given a project; without one it is active."""
        with self._read() as connection:
            return _find_status(connection, (registry, project))

    def list_projects(self, registry: str) -> Sequence[str]:
        """Return the normalised names of all projects with a file, ordered."""
        with self._read() as connection:
            found = connection.execute(
                "SELECT DISTINCT project FROM files WHERE registry = ? ORDER BY project",
                (registry,),
            ).fetchall()
        return [project for (project,) in found]


def read_file(document: str, state: str | None) -> PublishedFile:
    """Return the file that a row holds, with what is known of its attestations now."""
    return _file(json.loads(document), state)


def _file(document: Mapping[str, Any], state: str | None) -> PublishedFile:
    file = PublishedFile.from_document(document)
    if state is None:
        return file
    return file.with_attestation_state(AttestationState.from_document(json.loads(state)))


def find_tombstone(connection: sqlite3.Connection, place: tuple[str, str, str]) -> Tombstone | None:
    """Return the tombstone of the file of this registry, project and name."""
    found = connection.execute(
        "SELECT reason, deleted_by, deleted_at FROM deleted_files "
        "WHERE registry = ? AND project = ? AND filename = ?",
        place,
    ).fetchone()
    return read_tombstone(*found) if found else None


def read_tombstone(reason: str, deleted_by: str, deleted_at: int) -> Tombstone:
    """Return the tombstone that a row holds."""
    return Tombstone(reason, deleted_by, datetime.fromtimestamp(deleted_at, UTC))


def _find_yanked(connection: sqlite3.Connection, place: tuple[str, str]) -> dict[str, str]:
    found = connection.execute(
        "SELECT release, reason FROM yanked_releases WHERE registry = ? AND project = ?", place
    ).fetchall()
    return dict(found)


def _find_status(connection: sqlite3.Connection, place: tuple[str, str]) -> ProjectStatus:
    found = connection.execute(
        "SELECT status, reason FROM project_statuses WHERE registry = ? AND project = ?", place
    ).fetchone()
    return ProjectStatus(*found) if found else ACTIVE


def _find_release(connection: sqlite3.Connection, place: tuple[str, str, str]) -> str | None:
    found = connection.execute(
        "SELECT document FROM releases WHERE registry = ? AND project = ? AND release = ?", place
    ).fetchone()
    return found[0] if found else None
