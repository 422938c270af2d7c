"""The pieces of which a survey of a registry consists, beside its published files.

A command that looks at all projects reads them in one pass: asking for each project by itself would
take several round trips a project.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.withdrawals import Tombstone


@dataclass(frozen=True, slots=True)
class TrustedBy:
    """A project trusts a publisher; the project may have no file yet."""

    project: str
    publisher_id: str


@dataclass(frozen=True, slots=True)
class GivenStatus:
    """An operator has given a project a status."""

    project: str
    status: ProjectStatus


@dataclass(frozen=True, slots=True)
class YankedRelease:
    """An operator has yanked a release, for a reason."""

    project: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeletedFile:
    """An operator has deleted a file; its record is a piece, too."""

    project: str
    filename: str
    tombstone: Tombstone


Piece: TypeAlias = PublishedFile | TrustedBy | GivenStatus | YankedRelease | DeletedFile
