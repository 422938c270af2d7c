"""Releases: each has one spelling of its version and one sdist, and closes after some time.

A stolen token must not change what ``==1.0`` installs by publishing one more file later. So a
release takes files only for some days after its first one, and all of them spell its version alike.

Each release has a record, which is written before the file becomes visible. If two files with
different spellings arrive at one time, one of them loses. The record is a claim that holds for five
minutes; an upload that finds it older than a quarter of that renews it. If the process ends between
the two writes, no file follows the claim, and after five minutes any upload may replace it. So
before a record refuses a file, it is compared with the files that are published.
"""

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from packaging.utils import canonicalize_version
from packaging.version import Version

from pytp_broker.errors import InvalidRelease, StoreUnavailable
from pytp_broker.index.distributions import SDIST, WHEEL, Distribution
from pytp_broker.names import NormalizedName, is_wheel, version_in
from pytp_broker.registries import Registry
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile, Release

# Far longer than the writes that follow a claim, even when the store is slow and the clocks of two
# functions differ: the last write begins within half of this time.
CLAIM: Final = timedelta(minutes=5)
# Another upload may write the record between our read and our write.
_ATTEMPTS: Final = 10

# The record of a release, and until when an operator has reopened it; each None if there is none.
Found: TypeAlias = tuple[Release | None, datetime | None]

_RELEASE_SEGMENT: Final = re.compile(r"v?([0-9]+!)?[0-9]+(\.[0-9]+)*", re.IGNORECASE)


def key_of(version: Version) -> str:
    """Return the text that all spellings of a version share: `1` for `1.0`, `1.0.0` and `v1.0`."""
    return canonicalize_version(version)


def latest_of(versions: Iterable[Version]) -> Version | None:
    """Return the version that installers take of those that are not yanked; None if none is left.

    A pre-release counts only if there is no other version.
    """
    found = [*versions]
    final = [version for version in found if not version.is_prerelease]
    return max(final or found, default=None)


def is_same(spelling: str, other: str) -> bool:
    """Say whether two texts spell the same version in the same way.

    The release segment must be the same text. A tool may write what follows it in one way for an
    sdist and in another for the wheels: `1.0b2` and `1.0_beta.2`, `1.0+ubuntu.1` and
    `1.0+ubuntu_1`.
    """
    same_segment = _segment(spelling) == _segment(other)
    return same_segment and str(Version(spelling)) == str(Version(other))


def _segment(spelling: str) -> str:
    found = _RELEASE_SEGMENT.match(spelling)
    return found[0] if found else spelling


def files_of(key: str, files: Iterable[PublishedFile]) -> list[PublishedFile]:
    """Return the files of a release in the order of their publication."""
    mine = [file for file in files if key_of(Version(file.version)) == key]
    return sorted(mine, key=lambda file: (file.uploaded_at, file.filename))


@dataclass(frozen=True, slots=True)
class Admission:
    """A release that takes a file: the stored record, if there is one, and the one to write."""

    distribution: Distribution
    registry: Registry
    stored: Release | None
    wanted: Release


def closes_at(
    release: Release, reopened_until: datetime | None, registry: Registry
) -> datetime | None:
    """Return when the release closes or has closed; None if it never closes."""
    if registry.release_open_days is None:
        return None
    closes = release.opened_at + timedelta(days=registry.release_open_days)
    return closes if reopened_until is None else max(closes, reopened_until)


def claim_release(admission: Admission, index: Index) -> Release:
    """Write a record of the release that includes this file, and return it.

    This happens just before the file becomes visible; a record that was written a moment ago is not
    written again. Raises InvalidRelease if the release does not take the file any more, or
    StoreUnavailable.
    """
    for _ in range(_ATTEMPTS):
        stored, now = admission.stored, index.now()
        if stored is not None and now - stored.claimed_at < CLAIM / 4:
            return stored
        claimed = replace(admission.wanted, claimed_at=now)
        if index.store.save_release(claimed, stored):
            return claimed
        admission = check_release(admission.distribution, admission.registry, index)
    raise StoreUnavailable("other files of this release are being published: try again")


def check_for_all(
    distributions: Sequence[Distribution], registry: Registry, index: Index
) -> Admission:
    """Check that the release takes all of these files, and write nothing; raise InvalidRelease.

    An sdist comes first: wheels may spell what follows the version's numbers in another way.
    """
    first, *others = sorted(distributions, key=lambda each: (each.filetype != SDIST, each.filename))
    admission = check_release(first, registry, index)
    _check_fit(others, admission.wanted, admission, index)
    return admission


def claim_for_all(
    distributions: Sequence[Distribution], registry: Registry, index: Index
) -> Release:
    """Write a record of the release that includes these files, and return it.

    Raises InvalidRelease if the release does not take them all, or StoreUnavailable.
    """
    admission = check_for_all(distributions, registry, index)
    claimed = claim_release(admission, index)
    _check_fit(distributions, claimed, admission, index)
    return claimed


def _check_fit(
    distributions: Iterable[Distribution], release: Release, admission: Admission, index: Index
) -> None:
    for each in distributions:
        problem = _Rules(each, admission.registry, None, index.now()).misfit(release)
        if problem is not None:
            raise problem


def check_claim(claimed: Release, index: Index) -> None:
    """Check that a claim holds for as long as the write that makes the file visible may take.

    Raises StoreUnavailable. The client then sends the file again, which claims the release anew.
    """
    if index.now() - claimed.claimed_at > CLAIM / 2:
        raise StoreUnavailable("the store was too slow: try again")


def check_release(distribution: Distribution, registry: Registry, index: Index) -> Admission:
    """Check that the release takes this file, and write nothing; raise InvalidRelease."""
    found = find_release(distribution, registry, index)
    return check_found(found, distribution, registry, index)


def find_release(distribution: Distribution, registry: Registry, index: Index) -> Found:
    """Return what the store has of the file's release."""
    key = key_of(distribution.version)
    return index.store.find_release(registry.name, distribution.project, key)


def check_found(
    found: Found, distribution: Distribution, registry: Registry, index: Index
) -> Admission:
    """Check that the release that was found takes this file; raise InvalidRelease.

    If the record refuses the file, the published files decide: the record may be a claim that no
    file followed.
    """
    return _admit(found, distribution, registry, index, _Rules.refusal)


def check_version(
    project: NormalizedName, version: Version, registry: Registry, index: Index
) -> None:
    """Check that the release takes files at all, before any is named; raise InvalidRelease."""
    spelling = str(version)
    unnamed = Distribution(f"{project}-{spelling}", "", project, version, spelling)
    found = find_release(unnamed, registry, index)
    _admit(found, unnamed, registry, index, _Rules.refusal_of_all)


def _admit(
    found: Found,
    distribution: Distribution,
    registry: Registry,
    index: Index,
    refusal: Callable[["_Rules", Release], InvalidRelease | None],
) -> Admission:
    stored, reopened_until = found
    rules = _Rules(distribution, registry, reopened_until, index.now())
    if stored is not None and refusal(rules, stored) is None:
        return Admission(distribution, registry, stored, stored)
    files = index.store.list_files(registry.name, distribution.project)
    wanted = _combine(read_release(key_of(distribution.version), files), stored, rules)
    problem = refusal(rules, wanted)
    if problem is not None:
        raise problem
    return Admission(distribution, registry, stored, wanted)


@dataclass(frozen=True, slots=True)
class _Rules:
    """Whether a release takes this file now."""

    distribution: Distribution
    registry: Registry
    reopened_until: datetime | None
    now: datetime

    def refusal(self, release: Release) -> InvalidRelease | None:
        """Return why the release does not take the file, or None."""
        return self.closure(release) or self.misfit(release)

    def misfit(self, release: Release) -> InvalidRelease | None:
        """Return why an open release does not take the file, or None."""
        version, filename = release.spellings[0], self.distribution.filename
        if self.distribution.filetype == SDIST and release.sdist not in {None, filename}:
            return InvalidRelease(
                f"the release {version} has the sdist `{release.sdist}`, and a release has one "
                f"sdist: `{filename}` needs a new version"
            )
        if not self._has_its_spelling(release):
            return InvalidRelease(
                f"the release {version} is spelled `{version}` by its first file, "
                f"`{release.filename}`: name this file `{self._respelled(version)}`"
            )
        return None

    def refusal_of_all(self, release: Release) -> InvalidRelease | None:
        """Return why the release takes no file that spells the version like this, or None."""
        spelling = str(Version(release.spellings[0]))
        if self.distribution.spelling == spelling:
            return self.closure(release)
        return InvalidRelease(
            f"the release {spelling} is spelled `{spelling}` by its first file, "
            f"`{release.filename}`: publish further files of it as {spelling}"
        )

    def closure(self, release: Release) -> InvalidRelease | None:
        """Return why the release takes no file of any name, or None."""
        closes = closes_at(release, self.reopened_until, self.registry)
        if closes is None or self.now < closes:
            return None
        return InvalidRelease(self._closed(release.spellings[0], closes))

    def _closed(self, version: str, closes: datetime) -> str:
        place = f"{self.registry.name} {self.distribution.project} {version}"
        days = self.registry.release_open_days
        return (
            f"the release {version} closed to new files on {closes:%Y-%m-%d at %H:%M} UTC "
            f"(a release takes files for {days} days after its first one): publish a new version, "
            f"or ask the registry's operator to run `pytp-broker release reopen {place}`"
        )

    def _has_its_spelling(self, release: Release) -> bool:
        spelling = self.distribution.spelling
        if self.distribution.filetype == WHEEL:
            # An sdist's name does not say how wheels' names spell what follows `1.0`.
            is_after_sdist = not is_wheel(release.filename)
            is_like = is_same if is_after_sdist else operator.eq
            return any(is_like(spelling, each) for each in release.spellings)
        # An sdist's name has the normalised version (PEP 625), however its wheels spell it.
        return spelling == str(Version(release.spellings[0]))

    def _respelled(self, version: str) -> str:
        name, _, rest = self.distribution.filename.partition("-")
        if self.distribution.filetype == WHEEL:
            return f"{name}-{version}-{rest.partition('-')[2]}"
        return f"{name}-{Version(version)}.tar.gz"


def _combine(actual: Release | None, stored: Release | None, rules: _Rules) -> Release:
    """Return the release that decides: published files, and a claim whose file may still follow."""
    is_claimed = stored is not None and rules.now - stored.claimed_at < CLAIM
    if stored is None or not is_claimed:
        return actual or _new_release(rules)
    if actual is None:
        return stored
    return replace(actual, spellings=tuple(dict.fromkeys((*actual.spellings, *stored.spellings))))


def _new_release(rules: _Rules) -> Release:
    file = rules.distribution
    return Release(
        registry=rules.registry.name,
        project=file.project,
        key=key_of(file.version),
        spellings=(file.spelling,),
        filename=file.filename,
        sdist=file.filename if file.filetype == SDIST else None,
        opened_at=rules.now,
        claimed_at=rules.now,
    )


def read_release(key: str, files: Iterable[PublishedFile]) -> Release | None:
    """Return the release as a project's files show it, or None if no file belongs to it.

    Files that were published before releases had records may spell the version in several ways.
    """
    mine = files_of(key, files)
    if not mine:
        return None
    first = mine[0]
    sdists = [file.filename for file in mine if not is_wheel(file.filename)]
    return Release(
        registry=first.registry,
        project=first.project,
        key=key,
        spellings=tuple(dict.fromkeys(version_in(file.filename, file.project) for file in mine)),
        filename=first.filename,
        sdist=sdists[0] if sdists else None,
        opened_at=first.uploaded_at,
        claimed_at=first.uploaded_at,
    )
