"""Releases: one spelling of the version, one sdist, and a time after which no file is added.

What ``==1.0`` installs must not change later, when a stolen token could publish one more file. So a
release takes files for some days after its first one, all of them with its spelling of the version.

A release has a record of its own, which is written before the file becomes visible: of two files
with different spellings at one time, one loses. The record is a claim that holds for five minutes.
An upload that finds it older than a quarter of that renews it. Where no file followed, because the
process ended between the two writes, any upload may replace it after that time. So what a record
refuses is held against the files that are there.
"""

import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from packaging.utils import canonicalize_version
from packaging.version import Version

from pytp_broker.errors import InvalidRelease, StoreUnavailable
from pytp_broker.index.distributions import SDIST, WHEEL, Distribution
from pytp_broker.registries import Registry
from pytp_broker.services import Index
from pytp_broker.storage.protocols import PublishedFile, Release

# Far longer than a store may take for the writes that follow a claim, though each is slow and the
# clocks of two functions differ: the last one begins within half of it.
CLAIM: Final = timedelta(minutes=5)
# Others may have written the record between our reading and our writing it.
_ATTEMPTS: Final = 10

_RELEASE_SEGMENT: Final = re.compile(r"v?([0-9]+!)?[0-9]+(\.[0-9]+)*", re.IGNORECASE)


def key_of(version: Version) -> str:
    """Return what all spellings of a version have in common: `1.0`, `1.0.0` and `v1.0` have `1`."""
    return canonicalize_version(version)


def is_same(spelling: str, other: str) -> bool:
    """Say whether two texts spell the same version in the same way.

    The release segment must be the same text. Behind it a tool may write the same thing in two ways
    for an sdist and its wheels: `1.0b2` and `1.0_beta.2`, `1.0+ubuntu.1` and `1.0+ubuntu_1`.
    """
    same_segment = _segment(spelling) == _segment(other)
    return same_segment and str(Version(spelling)) == str(Version(other))


def _segment(spelling: str) -> str:
    found = _RELEASE_SEGMENT.match(spelling)
    return found[0] if found else spelling


def spelling_of(filename: str) -> str:
    """Return how a published file's name spells the version; it was checked at its upload."""
    if filename.endswith(".whl"):
        return filename.split("-")[1]
    return filename.removesuffix(".tar.gz").rpartition("-")[2]


def files_of(key: str, files: Iterable[PublishedFile]) -> list[PublishedFile]:
    """Return the files of a release in the order of their publication."""
    mine = [file for file in files if key_of(Version(file.version)) == key]
    return sorted(mine, key=lambda file: (file.uploaded_at, file.filename))


@dataclass(frozen=True, slots=True)
class Admission:
    """A release that takes a file: its record as it is stored, if it is, and as it must be."""

    stored: Release | None
    wanted: Release


def closes_at(
    release: Release, reopened_until: datetime | None, registry: Registry
) -> datetime | None:
    """Return when the release closes, or closed; None if it never does."""
    if registry.release_open_days is None:
        return None
    closes = release.opened_at + timedelta(days=registry.release_open_days)
    return closes if reopened_until is None else max(closes, reopened_until)


def claim_release(
    distribution: Distribution, registry: Registry, admission: Admission, index: Index
) -> Release:
    """Write the release's record as one that this file belongs to; return it.

    Just before the file becomes visible, and not again where it has just been written. Raises
    InvalidRelease if the release does not take the file any more, or StoreUnavailable.
    """
    for _ in range(_ATTEMPTS):
        stored, now = admission.stored, index.now()
        if stored is not None and now - stored.claimed_at < CLAIM / 4:
            return stored
        claimed = replace(admission.wanted, claimed_at=now)
        if index.store.save_release(claimed, stored):
            return claimed
        admission = check_release(distribution, registry, index)
    raise StoreUnavailable("other files of this release are being published: try again")


def check_claim(claimed: Release, index: Index) -> None:
    """Check that a claim holds for as long as the write that makes the file visible may take.

    Raises StoreUnavailable. Who sends the file again claims the release anew.
    """
    if index.now() - claimed.claimed_at > CLAIM / 2:
        raise StoreUnavailable("the store was too slow: try again")


def check_release(distribution: Distribution, registry: Registry, index: Index) -> Admission:
    """Check that the release takes this file, and write nothing; raise InvalidRelease.

    A record that refuses the file is held against the files that are there:
    it may be a claim that no file followed.
    """
    key = key_of(distribution.version)
    stored, reopened_until = index.store.find_release(registry.name, distribution.project, key)
    rules = _Rules(distribution, registry, reopened_until, index.now())
    if stored is not None and rules.refusal(stored) is None:
        return Admission(stored, stored)
    files = index.store.list_files(registry.name, distribution.project)
    wanted = _combine(read_release(key, files), stored, rules)
    problem = rules.refusal(wanted)
    if problem is not None:
        raise problem
    return Admission(stored, wanted)


@dataclass(frozen=True, slots=True)
class _Rules:
    """Whether a release takes this file now."""

    distribution: Distribution
    registry: Registry
    reopened_until: datetime | None
    now: datetime

    def refusal(self, release: Release) -> InvalidRelease | None:
        """Return why the release does not take the file, or None."""
        version, filename = release.spellings[0], self.distribution.filename
        closes = closes_at(release, self.reopened_until, self.registry)
        if closes is not None and self.now >= closes:
            return InvalidRelease(self._closed(version, closes))
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
            # An sdist's name says nothing about how wheels' names have what is behind `1.0`.
            is_after_sdist = not release.filename.endswith(".whl")
            is_like = is_same if is_after_sdist else operator.eq
            return any(is_like(spelling, each) for each in release.spellings)
        # An sdist's name has the normalised version (PEP 625), whatever its wheels' names have.
        return spelling == str(Version(release.spellings[0]))

    def _respelled(self, version: str) -> str:
        name, _, rest = self.distribution.filename.partition("-")
        if self.distribution.filetype == WHEEL:
            return f"{name}-{version}-{rest.partition('-')[2]}"
        return f"{name}-{Version(version)}.tar.gz"


def _combine(actual: Release | None, stored: Release | None, rules: _Rules) -> Release:
    """Return what counts: the files that are there, and a claim whose file may still follow."""
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
    """Return what a project's files say of a release, or None if none of them belongs to it.

    Those that were published before releases had records may have several spellings.
    """
    mine = files_of(key, files)
    if not mine:
        return None
    first = mine[0]
    sdists = [file.filename for file in mine if not file.filename.endswith(".whl")]
    return Release(
        registry=first.registry,
        project=first.project,
        key=key,
        spellings=tuple(dict.fromkeys(spelling_of(file.filename) for file in mine)),
        filename=first.filename,
        sdist=sdists[0] if sdists else None,
        opened_at=first.uploaded_at,
        claimed_at=first.uploaded_at,
    )
