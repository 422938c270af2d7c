"""The inventory of a registry: its projects with all that is known of each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from packaging.version import Version

from pytp_broker.index.releases import key_of, latest_of
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.survey import GivenStatus, Piece, TrustedBy, YankedRelease
from pytp_broker.storage.withdrawals import Tombstone


@dataclass(slots=True)
class ProjectInventory:
    """A project: its files, what operators have withdrawn, its status, and whom it trusts.

    ``files`` has deleted files, too. A project that trusts a publisher may have no file yet.
    """

    name: str
    files: list[PublishedFile] = field(default_factory=list)
    yanked: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, Tombstone] = field(default_factory=dict)
    status: ProjectStatus = ACTIVE
    publisher_ids: set[str] = field(default_factory=set)

    def add(self, piece: Piece) -> None:
        """Add what a piece of a survey says."""
        match piece:
            case PublishedFile():
                self.files.append(piece)
            case TrustedBy():
                self.publisher_ids.add(piece.publisher_id)
            case GivenStatus():
                self.status = piece.status
            case YankedRelease():
                self.yanked[piece.key] = piece.reason
            case _:
                self.deleted[piece.filename] = piece.tombstone

    @property
    def kept(self) -> list[PublishedFile]:
        """Return the files that are not deleted."""
        return [file for file in self.files if file.filename not in self.deleted]

    def yank_of(self, file: PublishedFile) -> str | None:
        """Return why the release of a file is yanked; None if it is not."""
        return self.yanked.get(key_of(Version(file.version))) if self.yanked else None

    @property
    def latest_version(self) -> str | None:
        """Return the version that installers take if they may choose; None if there is none."""
        found = {file.version for file in self.kept if self.yank_of(file) is None}
        latest = latest_of(map(Version, found))
        return None if latest is None else str(latest)

    def releases(self) -> Iterator[tuple[str, list[PublishedFile]]]:
        """Yield each version with its files that are not deleted, the latest version first."""
        found: dict[Version, list[PublishedFile]] = {}
        for file in self.kept:
            found.setdefault(Version(file.version), []).append(file)
        for version in sorted(found, reverse=True):
            yield str(version), found[version]


def take_inventory(pieces: Iterable[Piece]) -> list[ProjectInventory]:
    """Return the projects of a surveyed registry by name, each with its files by name."""
    found: dict[str, ProjectInventory] = {}
    for piece in pieces:
        found.setdefault(piece.project, ProjectInventory(piece.project)).add(piece)
    for project in found.values():
        project.files.sort(key=lambda file: file.filename)
    return [found[name] for name in sorted(found)]
