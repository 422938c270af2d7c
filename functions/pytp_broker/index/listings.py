"""The listing of a project: its files with their states, and its status.

A published file never changes. What may change, such as a yank, is kept in a separate state.
"""

from dataclasses import dataclass

from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ProjectStatus


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of a published file: what may change about it.

    ``yanked`` is why the file's release is yanked, which may be empty; it is None for a file that
    is not yanked (PEP 592).
    """

    yanked: str | None = None


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a listing, with its state."""

    file: PublishedFile
    state: FileState


@dataclass(frozen=True, slots=True)
class ProjectListing:
    """A project as its page shows it.

    Listings of one ``edition`` are alike; it is None while the store cannot name one.
    """

    project: str
    files: tuple[ListedFile, ...]
    status: ProjectStatus
    edition: str | None = None
