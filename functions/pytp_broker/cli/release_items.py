"""What commands list and show of releases: their files, and what is said of their provenance."""

from typing import Final

from packaging.version import Version

from pytp_broker.cli.listing import Item
from pytp_broker.index.inventory import ProjectInventory
from pytp_broker.index.provenance import (
    Issuers,
    ReleaseProvenance,
    compare_releases,
    group_releases,
)
from pytp_broker.index.releases import key_of
from pytp_broker.provenance.continuity import Continuity
from pytp_broker.storage.file_records import PublishedFile

_NOTHING: Final = Continuity((), 0, 0)
_NO_RELEASE: Final = ReleaseProvenance(_NOTHING, _NOTHING)


def release_items(project: ProjectInventory, issuers: Issuers) -> list[Item]:
    """Return the releases of a project in short, the latest first; none has a deleted file."""
    compared = compare_releases(group_releases(project.kept), issuers)
    return [
        {
            "version": version,
            "files": len(files),
            "size": sum(file.size for file in files),
            "first_upload_at": min(file.uploaded_at for file in files),
            "yanked": project.yank_of(files[0]),
            **_said(compared[key_of(Version(version))]),
        }
        for version, files in project.releases()
    ]


def provenance_item(version: str, project: ProjectInventory, issuers: Issuers) -> Item:
    """Return what is said of a release: by who published its files, and by attestations.

    Nothing is said of a release whose files are all deleted.
    """
    compared = compare_releases(group_releases(project.kept), issuers)
    found = compared.get(key_of(Version(version)), _NO_RELEASE)
    return {
        "published": _continuity_item(found.published),
        "attested": _continuity_item(found.attested),
    }


def filenames_of(version: str, files: list[PublishedFile]) -> list[str]:
    """Return the names of the files of a release."""
    key = key_of(Version(version))
    return [file.filename for file in files if key_of(Version(file.version)) == key]


def _said(found: ReleaseProvenance) -> Item:
    """Return the words for a release; none for attestations in a project that never has any."""
    attested = found.attested
    is_attested = attested.covered > 0 or attested.compared_with is not None
    return {
        "provenance": _words(found.published),
        "attestations": _words(attested) if is_attested else [],
    }


def _continuity_item(continuity: Continuity) -> Item:
    return {
        "words": _words(continuity),
        "files": continuity.files,
        "with_provenance": continuity.covered,
        "compared_with": continuity.compared_with,
        "added": [str(source) for source in continuity.added],
        "removed": [str(source) for source in continuity.removed],
    }


def _words(continuity: Continuity) -> list[str]:
    return [word.value for word in continuity.words]
