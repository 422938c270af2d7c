"""Where the files of a project come from, release by release, and what a publication changes.

A file has provenance if a job published it, because the registry has verified the job's identity. A
file that an operator published or imported has none. Attestations are compared apart: the job has
signed them, and a person who has only stolen an upload token cannot make them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from packaging.version import Version

from pytp_broker.audit.findings import Basis, ProvenanceChange
from pytp_broker.index.attesting import PENDING
from pytp_broker.index.releases import key_of
from pytp_broker.provenance.attester import AttestationStatus
from pytp_broker.provenance.continuity import (
    Continuity,
    ReleaseSources,
    Source,
    Word,
    compare,
    compare_all,
)
from pytp_broker.provenance.sources import find_source
from pytp_broker.registries import Issuer
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.trust.providers import PROVIDERS, provider_at
from pytp_broker.trust.providers.model import Provider, Role

Issuers: TypeAlias = Mapping[str, Issuer]
# The files of each release by the release's key, the lowest version first.
Releases: TypeAlias = Mapping[str, Sequence[PublishedFile]]
# Returns the source of a file; None if it has none.
FindSource: TypeAlias = Callable[[PublishedFile], Source | None]

# A record names this many files and sources.
_MAX_NAMED: Final = 100
_MAX_SOURCES: Final = 10
# What is said of a release that has no file.
_NOTHING: Final = Continuity((), 0, 0)


@dataclass(frozen=True, slots=True)
class ReleaseProvenance:
    """The provenance of a release: by who published its files, and by verified attestations."""

    published: Continuity
    attested: Continuity


def group_releases(files: Iterable[PublishedFile]) -> Releases:
    """Return the files of a project by the keys of their releases, the lowest version first."""
    spelled: dict[str, list[PublishedFile]] = {}
    for file in files:
        spelled.setdefault(file.version, []).append(file)
    found: dict[str, list[PublishedFile]] = {}
    for version, spelling in sorted((Version(spelling), spelling) for spelling in spelled):
        found.setdefault(key_of(version), []).extend(spelled[spelling])
    return found


def compare_releases(releases: Releases, issuers: Issuers) -> Mapping[str, ReleaseProvenance]:
    """Return the provenance of each release of a project, by the release's key."""
    sources = _Sources(issuers)
    published = _compare(releases, sources.of_publication)
    attested = _compare(releases, sources.of_verified_attestations)
    return {key: ReleaseProvenance(published[key], attested[key]) for key in releases}


def find_changes(
    files: Sequence[PublishedFile], issuers: Issuers, index: Index
) -> Sequence[ProvenanceChange]:
    """Return what a project loses when these files of one release become visible.

    It takes the round trips of a listing. Raises StoreUnavailable, so that nothing is published
    without this look.
    """
    first = files[0]
    found = index.store.find_files(first.registry, first.project)
    return list_changes(found.files if found else (), files, issuers)


def find_lost_attestations(file: PublishedFile, index: Index) -> Sequence[ProvenanceChange]:
    """Return what the release of a visible file lost when its attestations were not verified.

    While they were pending they counted, as if they were good. Raises StoreUnavailable.
    """
    found = index.store.find_files(file.registry, file.project)
    others = [each for each in (found.files if found else ()) if each.filename != file.filename]
    # The record of a file with attestations names its provider, so no issuer is needed.
    find, key = _Sources({}).of_attestations, key_of(Version(file.version))
    was, now = (
        _compare_one(key, group_releases([*others, each]), find)
        for each in (file.with_attestation_state(PENDING), file)
    )
    change = _find_change("attestation", was, now, [file])
    return [] if change is None else [change]


def report_changes(changes: Sequence[ProvenanceChange], index: Index) -> None:
    """Leave the records: of a publication, just before the decisive write.

    If the write was made and its answer is lost, the client sends the file again, and then nothing
    is written or looked at. So a record may be one too many, and never one too few.
    """
    for change in changes:
        index.audit(change.accepted())


def list_changes(
    present: Iterable[PublishedFile], files: Sequence[PublishedFile], issuers: Issuers
) -> Sequence[ProvenanceChange]:
    """Return what a project loses when these files of one release join those that are present."""
    names = {file.filename for file in files}
    others = [file for file in present if file.filename not in names]
    before, after = group_releases(others), group_releases([*others, *files])
    sources = _Sources(issuers)
    by_basis: dict[Basis, FindSource] = {
        "publication": sources.of_publication,
        "attestation": sources.of_attestations,
    }
    key = key_of(Version(files[0].version))
    found = (
        _find_change(basis, _compare_one(key, before, find), _compare_one(key, after, find), files)
        for basis, find in by_basis.items()
    )
    return [change for change in found if change is not None]


def _find_change(
    basis: Basis,
    was: Continuity,
    now: Continuity,
    files: Sequence[PublishedFile],
) -> ProvenanceChange | None:
    """Return what the release of these files has lost, or a source that is new in it.

    A release that lacks a source of the earlier one may not be complete: by the legacy API, files
    of another job may follow. So that alone is shown on pages, and leaves no record.
    """
    is_lost = Word.LOST in now.words and Word.LOST not in was.words
    new = [source for source in now.added if source not in was.added]
    if not is_lost and not new:
        return None
    first = files[0]
    return ProvenanceChange(
        registry=first.registry,
        project=first.project,
        version=first.version,
        filenames=[file.filename for file in files[:_MAX_NAMED]],
        basis=basis,
        provenance=[word.value for word in now.words],
        compared_with=now.compared_with or "",
        new_sources=[str(source) for source in new[:_MAX_SOURCES]],
    )


def _compare(releases: Releases, find_source: FindSource) -> Mapping[str, Continuity]:
    described = {key: _describe(files, find_source) for key, files in releases.items()}
    compared = compare_all(described.values())
    return {key: compared[release.version] for key, release in described.items()}


def _compare_one(key: str, releases: Releases, find_source: FindSource) -> Continuity:
    """Return what ``_compare`` says of one release, without a look at all others."""
    if key not in releases:
        return _NOTHING
    in_order = sorted(releases, key=lambda each: _published_at(releases[each]))
    before = reversed(in_order[: in_order.index(key)])
    described = (_describe(releases[each], find_source) for each in before)
    earlier = next((release for release in described if release.covered), None)
    return compare(_describe(releases[key], find_source), earlier)


def _describe(files: Sequence[PublishedFile], find_source: FindSource) -> ReleaseSources:
    sources = tuple(map(find_source, files))
    return ReleaseSources(files[0].version, _published_at(files), sources)


def _published_at(files: Sequence[PublishedFile]) -> datetime:
    return min(file.uploaded_at for file in files)


class _Sources:
    """Finds the sources of files. A project may have thousands, of which a few are different."""

    def __init__(self, issuers: Issuers) -> None:
        self._issuers = issuers
        self._found: dict[tuple[tuple[str, str], ...], Source | None] = {}

    def of_publication(self, file: PublishedFile) -> Source | None:
        """Return the job that published a file; None if an operator did, or an import."""
        recorded = file.published_by
        key = tuple(recorded.items())
        if key not in self._found:
            self._found[key] = self._read(recorded)
        return self._found[key]

    def _read(self, recorded: Mapping[str, str]) -> Source | None:
        issuer = recorded.get("issuer")
        if issuer is None:
            return None
        provider = self._provider_of(issuer, recorded)
        return find_source(
            issuer,
            recorded,
            publishers=recorded.get("publishers", "") if provider and provider.is_generic else "",
            ids=_find_ids(recorded, provider),
        )

    def _provider_of(self, issuer: str, recorded: Mapping[str, str]) -> Provider | None:
        """Return the provider; records of older versions do not name it."""
        return PROVIDERS.get(recorded.get("provider", "")) or provider_at(issuer, self._issuers)

    def of_verified_attestations(self, file: PublishedFile) -> Source | None:
        """Return the job whose attestations of a file are verified, if they are."""
        return self._of_attestations(file, {AttestationStatus.VERIFIED})

    def of_attestations(self, file: PublishedFile) -> Source | None:
        """Return the job whose attestations of a file are verified, or may be soon."""
        return self._of_attestations(file, {AttestationStatus.VERIFIED, AttestationStatus.PENDING})

    def _of_attestations(
        self, file: PublishedFile, accepted: set[AttestationStatus]
    ) -> Source | None:
        state = file.attestation_state
        # They are verified against the job that published the file, so that is their source.
        return self.of_publication(file) if state and state.status in accepted else None


def _find_ids(recorded: Mapping[str, str], provider: Provider | None) -> Mapping[str, str]:
    pins = provider.fields_of(Role.PIN) if provider else ()
    return {pin.name: recorded[pin.name] for pin in pins if pin.name in recorded}
