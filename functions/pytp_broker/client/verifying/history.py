"""Compare who published a release, and who attested it, with the releases before it.

The words are those of ``provenance.continuity``. The index says which files there are and which
have attestations; their receipts and the attestations say all the rest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from packaging.version import Version

from pytp_broker.client.publishing.parallel import in_parallel
from pytp_broker.client.verifying.evidence import Evidence
from pytp_broker.client.verifying.offers import Offered
from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.client.verifying.targets import Target
from pytp_broker.names import NormalizedName
from pytp_broker.provenance.continuity import Continuity, ReleaseSources, Source, compare
from pytp_broker.provenance.receipts import Publication, Receipt
from pytp_broker.provenance.sources import find_source

# A release before which are more releases without provenance is compared with none of them.
MOST_RELEASES: Final = 10
MOST_FILES: Final = 200
# A generic issuer's subject may have another text in each run.
_GENERIC: Final = "generic"


class Proofs(Protocol):
    """Reads who published a file. Each method raises NotVerifiedError if that is not proven."""

    def read_receipt(self, target: Target) -> Receipt:
        """Return the receipt of a file if it is good."""

    def read_attested_receipt(self, target: Target) -> Receipt:
        """Return the receipt of a file if it and the file's attestations are good."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a release compares with an earlier one, or why nobody knows."""

    continuity: Continuity | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """How a release compares with earlier ones, by who published it and by attestations.

    ``attested`` is None if the index links no attestations of it or of an earlier release.
    """

    project: NormalizedName
    version: Version
    published: Comparison
    attested: Comparison | None = None


def find_histories(
    releases: Iterable[tuple[NormalizedName, Version]],
    evidence: Evidence,
    proofs: Proofs,
    jobs: int,
) -> list[History]:
    """Return how each release compares with the one before it, in their order."""
    wanted = list(dict.fromkeys(releases))
    found: dict[tuple[NormalizedName, Version], History] = {}

    def find(project: NormalizedName, version: Version) -> None:
        found[project, version] = _find(project, version, evidence, proofs)

    in_parallel([partial(find, *release) for release in wanted], jobs)
    return [found[release] for release in wanted]


def _find(project: NormalizedName, version: Version, evidence: Evidence, proofs: Proofs) -> History:
    try:
        present, before = _split(version, _group(evidence.list_files(project)))
    except NotVerifiedError as error:
        return History(project, version, Comparison(why_not=str(error)))
    published = _compare(partial(_compare_published, present, before, proofs))
    if not any(map(_has_attestations, (present, *before))):
        return History(project, version, published)
    attested = _compare(partial(_compare_attested, present, before, proofs))
    return History(project, version, published, attested)


def _compare(find: Callable[[], Continuity]) -> Comparison:
    try:
        return Comparison(find())
    except NotVerifiedError as error:
        return Comparison(why_not=str(error))


def _split(
    version: Version, releases: Mapping[Version, Sequence[Offered]]
) -> tuple[Sequence[Offered], Sequence[Sequence[Offered]]]:
    """Return the files of a release, and those of each earlier one, the latest of them first."""
    present = releases.get(version)
    if present is None:
        raise NotVerifiedError("not-in-registry", "the index does not list the release")
    begun = _begun(present)
    before = [files for files in releases.values() if _begun(files) < begun]
    return present, sorted(before, key=_begun, reverse=True)


def _compare_published(
    present: Sequence[Offered], before: Sequence[Sequence[Offered]], proofs: Proofs
) -> Continuity:
    release = _read_published(present, proofs)
    return compare(release, _find_earlier(before, proofs))


def _compare_attested(
    present: Sequence[Offered], before: Sequence[Sequence[Offered]], proofs: Proofs
) -> Continuity:
    """Compare with the latest earlier release of which the index links attestations."""
    release = _read_attested(present, proofs)
    earlier = next(filter(_has_attestations, before), None)
    return compare(release, None if earlier is None else _read_attested(earlier, proofs))


def _find_earlier(before: Sequence[Sequence[Offered]], proofs: Proofs) -> ReleaseSources | None:
    """Return the latest earlier release that has provenance; None if none has any."""
    for files in before[:MOST_RELEASES]:
        found = _read_published(files, proofs)
        if found.covered:
            return found
    if len(before) > MOST_RELEASES:
        why = f"the {MOST_RELEASES} releases before it have no provenance"
        raise NotVerifiedError("no-receipt", why)
    return None


def _read_published(files: Sequence[Offered], proofs: Proofs) -> ReleaseSources:
    """Return who published each file of a release; raise NotVerifiedError if one is not good."""
    _check_number(files)
    receipts = [_read_one(offered.target, proofs.read_receipt) for offered in files]
    return _release(files, [_source_of(receipt.publication) for receipt in receipts])


def _read_attested(files: Sequence[Offered], proofs: Proofs) -> ReleaseSources:
    """Return who attested each file of a release; raise NotVerifiedError if one is not good."""
    _check_number(files)
    return _release(files, [_attested_source(offered, proofs) for offered in files])


def _attested_source(offered: Offered, proofs: Proofs) -> Source | None:
    if not offered.is_attested:
        return None
    return _source_of(proofs.read_attested_receipt(offered.target).publication)


def _check_number(files: Sequence[Offered]) -> None:
    if len(files) > MOST_FILES:
        raise NotVerifiedError("no-receipt", f"a release has more than {MOST_FILES} files")


def _release(files: Sequence[Offered], sources: Sequence[Source | None]) -> ReleaseSources:
    return ReleaseSources(str(files[0].target.version), _begun(files), tuple(sources))


def _read_one(target: Target, read_receipt: Callable[[Target], Receipt]) -> Receipt:
    try:
        return read_receipt(target)
    except NotVerifiedError as error:
        why = f"{target.filename} is not verified ({error.reason})"
        raise NotVerifiedError(error.reason, why) from None


def _begun(files: Sequence[Offered]) -> datetime:
    return min(offered.uploaded_at for offered in files)


def _has_attestations(files: Sequence[Offered]) -> bool:
    return any(offered.is_attested for offered in files)


def _group(files: Sequence[Offered]) -> Mapping[Version, Sequence[Offered]]:
    releases: dict[Version, list[Offered]] = {}
    for offered in files:
        releases.setdefault(offered.target.version, []).append(offered)
    return releases


def _source_of(publication: Publication) -> Source | None:
    """Return the job that published a file; None if no job did."""
    if publication.issuer is None:
        return None
    is_generic = publication.provider == _GENERIC
    return find_source(
        publication.issuer,
        publication.claims,
        publishers=", ".join(publication.publishers) if is_generic else "",
        ids=publication.pins,
    )
