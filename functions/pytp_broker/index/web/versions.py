"""The releases of a project, and which of them its page shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from packaging.version import InvalidVersion, Version

from pytp_broker.errors import NotFound
from pytp_broker.index.listings import ListedFile, ProjectListing
from pytp_broker.index.releases import key_of, latest_of
from pytp_broker.names import is_wheel
from pytp_broker.redaction import printable
from pytp_broker.storage.file_records import PublishedFile


@dataclass(frozen=True, slots=True)
class ShownRelease:
    """A release with its files; the metadata of one of them says what the release is."""

    key: str
    version: Version
    files: tuple[ListedFile, ...]

    @property
    def spelling(self) -> str:
        """Return the version as the release's own files spell it."""
        return self.files[0].file.version

    @property
    def yanked(self) -> str | None:
        """Return why the release is yanked; None if a file of it is not."""
        reasons = [listed.state.yanked for listed in self.files]
        return None if None in reasons else reasons[0]

    @property
    def published_at(self) -> datetime:
        """Return when the first file was published."""
        return min(listed.file.uploaded_at for listed in self.files)

    @property
    def described_by(self) -> PublishedFile:
        """Return the file whose metadata is shown: a wheel if there is one."""
        return min((each.file for each in self.files), key=lambda file: not is_wheel(file.filename))


def releases_of(listing: ProjectListing) -> tuple[ShownRelease, ...]:
    """Return the releases of a project, the highest version first."""
    versions = {each.file.version: Version(each.file.version) for each in listing.files}

    def key(listed: ListedFile) -> str:
        return key_of(versions[listed.file.version])

    grouped = groupby(sorted(listing.files, key=key), key)
    releases = [
        ShownRelease(name, versions[files[0].file.version], files)
        for name, files in ((name, tuple(group)) for name, group in grouped)
    ]
    return tuple(sorted(releases, key=lambda release: release.version, reverse=True))


def find_latest(releases: Sequence[ShownRelease]) -> ShownRelease | None:
    """Return the release that an installer would take; None if all are yanked."""
    offered = {release.version: release for release in releases if release.yanked is None}
    latest = latest_of(offered)
    return None if latest is None else offered[latest]


def find_release(releases: Sequence[ShownRelease], version: str) -> ShownRelease:
    """Return the release of a version, however it is spelled; raise NotFound."""
    no_release = NotFound(f"the project has no release `{printable(version)}`")
    try:
        key = key_of(Version(version))
    except (InvalidVersion, ValueError):  # ValueError: more digits than Python reads
        raise no_release from None
    for release in releases:
        if release.key == key:
            return release
    raise no_release
