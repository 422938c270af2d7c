"""The files of a project as its page shows them, with what operators said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ProjectStatus


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The visible files of a project, ordered by name; no deleted file is among them.

    ``yanked`` has the reason of each yanked release by the release's key. ``edition`` names all of
    this: what has another edition may differ, and what has the same one does not. It is None while
    the store cannot name it, because somebody is changing the project.
    """

    files: Sequence[PublishedFile]
    yanked: Mapping[str, str]
    status: ProjectStatus
    edition: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A file that is about to become visible: the files that its project shows until then."""

    files: Sequence[PublishedFile]
