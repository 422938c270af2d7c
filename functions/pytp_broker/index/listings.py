"""The listing of a project: its files with their states, and its status.

A published file never changes. What may change, such as a yank, is kept in a separate state.
"""

from dataclasses import dataclass
from typing import Final

from pytp_broker.storage.file_records import PublishedFile


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of a published file: what may change about it.

    ``yanked`` is why the file's release is yanked, which may be empty; it is None for a file that
    is not yanked (PEP 592).
    """

    yanked: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """The status of a project and the reason for it, which may be empty (PEP 792)."""

    status: str
    reason: str = ""


ACTIVE: Final = ProjectStatus("active")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a listing, with its state."""

    file: PublishedFile
    state: FileState


@dataclass(frozen=True, slots=True)
class ProjectListing:
    """A project as its page shows it."""

    project: str
    files: tuple[ListedFile, ...]
    status: ProjectStatus
