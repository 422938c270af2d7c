"""Compare who published a release with who published the one before it, by their receipts.

The words are those of ``provenance.continuity``. The index says which files there are, and the
receipts say all the rest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

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

# Returns the receipt of a file if it is good; raises NotVerifiedError.
ReadReceipt = Callable[[Target], Receipt]


@dataclass(frozen=True, slots=True)
class History:
    """How a release compares with the one before it, or why nobody knows."""

    project: NormalizedName
    version: Version
    continuity: Continuity | None = None
    why_not: str = ""


def find_histories(
    releases: Iterable[tuple[NormalizedName, Version]],
    evidence: Evidence,
    read_receipt: ReadReceipt,
    jobs: int,
) -> list[History]:
    """Return how each release compares with the one before it, in their order."""
    wanted = list(dict.fromkeys(releases))
    found: dict[tuple[NormalizedName, Version], History] = {}

    def find(project: NormalizedName, version: Version) -> None:
        found[project, version] = _find(project, version, evidence, read_receipt)

    in_parallel([partial(find, *release) for release in wanted], jobs)
    return [found[release] for release in wanted]


def _find(
    project: NormalizedName, version: Version, evidence: Evidence, read_receipt: ReadReceipt
) -> History:
    try:
        releases = _group(evidence.list_files(project))
        present = _read(releases.get(version, ()), read_receipt)
        earlier = _find_earlier(version, releases, read_receipt)
    except NotVerifiedError as error:
        return History(project, version, why_not=str(error))
    return History(project, version, compare(present, earlier))


def _find_earlier(
    version: Version, releases: Mapping[Version, Sequence[Offered]], read_receipt: ReadReceipt
) -> ReleaseSources | None:
    """Return the latest release before this one that has provenance; None if none has any."""
    first = {each: min(o.uploaded_at for o in files) for each, files in releases.items()}
    before = [each for each, time in first.items() if time < first[version]]
    latest = sorted(before, key=lambda each: first[each], reverse=True)
    for each in latest[:MOST_RELEASES]:
        found = _read(releases[each], read_receipt)
        if found.covered:
            return found
    if len(latest) > MOST_RELEASES:
        why = f"the {MOST_RELEASES} releases before it have no provenance"
        raise NotVerifiedError("no-receipt", why)
    return None


def _read(files: Sequence[Offered], read_receipt: ReadReceipt) -> ReleaseSources:
    """Return the sources of a release's files; raise NotVerifiedError if one is not good."""
    if not files:
        raise NotVerifiedError("not-in-registry", "the index does not list the release")
    if len(files) > MOST_FILES:
        raise NotVerifiedError("no-receipt", f"a release has more than {MOST_FILES} files")
    receipts = [_read_one(offered.target, read_receipt) for offered in files]
    return ReleaseSources(
        version=receipts[0].version,
        published_at=min(receipt.uploaded_at for receipt in receipts),
        sources=tuple(_source_of(receipt.publication) for receipt in receipts),
    )


def _read_one(target: Target, read_receipt: ReadReceipt) -> Receipt:
    try:
        return read_receipt(target)
    except NotVerifiedError as error:
        why = f"{target.filename} is not verified ({error.reason})"
        raise NotVerifiedError(error.reason, why) from None


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
