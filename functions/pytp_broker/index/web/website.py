"""What the pages for people show: the projects of a registry, and one project with a release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Generic, Self, TypeVar

from pytp_broker.http import paths
from pytp_broker.index.provenance import Issuers, ReleaseProvenance, compare_releases
from pytp_broker.index.reading import find_listing, read_metadata
from pytp_broker.index.web.about import About, Abouts
from pytp_broker.index.web.descriptions import Render
from pytp_broker.index.web.origins import Origin, find_origins
from pytp_broker.index.web.versions import ShownRelease, find_latest, find_release, releases_of
from pytp_broker.index.web.words import ShownContinuity, explain, marks
from pytp_broker.names import normalize
from pytp_broker.provenance.attester import AttestationStatus
from pytp_broker.registries import Configuration
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import Place

T = TypeVar("T")

PART_ITEMS: Final = 200
_SERVED: Final = frozenset({AttestationStatus.VERIFIED, AttestationStatus.UNVERIFIED})


@dataclass(frozen=True, slots=True)
class Website(Index):
    """The services of the pages for people."""

    abouts: Abouts


def build_website(index: Index, render: Render | None = None) -> Website:
    """Return the services of the pages for people.

    ``render`` renders descriptions; without it, each is rendered in a process of its own.
    """
    shared = {each.name: getattr(index, each.name) for each in fields(Index)}
    return Website(**shared, abouts=Abouts(render))


@dataclass(frozen=True, slots=True)
class Site:
    """The registry that the pages are of.

    ``origin`` is the scheme and the host of the client's URL; ``base_path`` leads to the registry.
    """

    registry: str
    origin: str
    base_path: str
    is_private: bool

    @property
    def index_url(self) -> str:
        """Return the URL that installers take."""
        return paths.PROJECTS.url(self.origin + self.base_path)

    @property
    def home(self) -> str:
        """Return the path of the list of projects."""
        return paths.HOME.url(self.base_path)

    def project(self, name: str) -> str:
        """Return the path of a project's page."""
        return paths.PROJECT_PAGE.url(self.base_path, project=name)

    def release(self, project: str, version: str) -> str:
        """Return the path of a release's page."""
        return paths.RELEASE_PAGE.url(self.base_path, project=project, version=version)

    def file(self, file: PublishedFile) -> str:
        """Return the path of a file."""
        return paths.FILE.url(self.base_path, sha256=file.sha256, filename=file.filename)

    def receipt(self, file: PublishedFile) -> str:
        """Return the path of a file's receipt."""
        return paths.RECEIPT.url(self.base_path, **_place_of(file))

    def attestations(self, file: PublishedFile) -> str | None:
        """Return the path of a file's attestations; None if nobody is given them."""
        state = file.attestation_state
        if state is None or state.status not in _SERVED:
            return None
        return paths.PROVENANCE.url(self.base_path, **_place_of(file))


def _place_of(file: PublishedFile) -> dict[str, str]:
    return {"project": file.project, "version": file.version, "filename": file.filename}


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """One part of a long list; ``number`` counts from 1."""

    items: Sequence[T]
    number: int
    count: int
    total: int

    @classmethod
    def of(cls, items: Sequence[T], number: int) -> Self:
        """Return the part of this number, or the last one if there are fewer."""
        count = max(1, -(-len(items) // PART_ITEMS))
        number = min(max(1, number), count)
        start = (number - 1) * PART_ITEMS
        return cls(items[start : start + PART_ITEMS], number, count, len(items))


@dataclass(frozen=True, slots=True)
class Details:
    """The release that a page shows: what it says about itself, and who published its files.

    ``provenance`` compares it with earlier releases.
    """

    release: ShownRelease
    about: About
    origins: Sequence[Origin]
    provenance: Sequence[ShownContinuity]


@dataclass(frozen=True, slots=True)
class ShownProject:
    """A project as its page shows it.

    ``latest`` is the version that an installer would take, or empty if all are yanked. ``marks``
    has the words of warning about the provenance of each release by its key. A quarantined project
    has no releases and no ``details``.
    """

    project: str
    status: ProjectStatus
    releases: Part[ShownRelease]
    latest: str
    marks: Mapping[str, Sequence[str]]
    details: Details | None


def find_projects(registry: str, query: str, website: Website) -> Sequence[str]:
    """Return the names of projects that have the query in them, however it is spelled."""
    names = website.store.list_projects(registry)
    wanted = normalize(query)
    return [name for name in names if wanted in name]


def find_project(
    place: Place, version: str | None, part: int, configuration: Configuration, website: Website
) -> ShownProject:
    """Return a project as its page shows it: with this release, or else with the latest.

    If all releases are yanked, none is the latest, and the page shows the highest version. Raises
    NotFound. It takes the round trips of a listing, those of ``find_origins``, and one for the
    metadata unless it is remembered.
    """
    listing = find_listing(*place, website)
    releases = releases_of(listing)
    latest = find_latest(releases)
    shown = _choose(releases, latest) if version is None else find_release(releases, version)
    shown_part = Part.of(releases, part)
    provenance = _compare(releases, configuration.issuers)
    return ShownProject(
        project=listing.project,
        status=listing.status,
        releases=shown_part,
        latest=latest.spelling if latest else "",
        marks={each.key: marks(provenance[each.key]) for each in shown_part.items},
        details=_find_details(shown, provenance, configuration, website) if shown else None,
    )


def _compare(releases: Sequence[ShownRelease], issuers: Issuers) -> Mapping[str, ReleaseProvenance]:
    lowest_first = reversed(releases)
    files = {each.key: [listed.file for listed in each.files] for each in lowest_first}
    return compare_releases(files, issuers)


def _choose(releases: Sequence[ShownRelease], latest: ShownRelease | None) -> ShownRelease | None:
    """Return the latest release, or else the highest of those that are yanked."""
    return latest or next(iter(releases), None)


def _find_details(
    release: ShownRelease,
    provenance: Mapping[str, ReleaseProvenance],
    configuration: Configuration,
    website: Website,
) -> Details:
    file = release.described_by
    about = website.abouts.find(file.metadata_sha256, lambda: read_metadata(file, website))
    origins = find_origins(release.files, configuration, website)
    return Details(release, about, origins, explain(provenance[release.key]))
