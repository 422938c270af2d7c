"""Compare the provenance of each release with that of the releases before it, in six words.

The words are those of PyPI, and several may hold at once. A release is compared with the latest
earlier one that has any provenance, however old that is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Word(Enum):
    """What can be said of the provenance of a release.

    One of the first three always holds. ``LOST`` and ``CHANGED`` compare with the earlier release,
    and ``INCONSISTENT`` compares the files of the release with each other.
    """

    FULL = "full"
    PARTIAL = "partial"
    NO = "no"
    LOST = "lost"
    CHANGED = "changed"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """From where a file was published: an issuer, a repository or an account of it, a workflow.

    ``ids`` are the immutable ids of the repository or its owner, as names and values, as far as
    they were recorded.
    """

    issuer: str
    name: str
    workflow: str = ""
    ids: tuple[tuple[str, str], ...] = ()

    def is_same(self, other: "Source") -> bool:
        """Say whether both are one source. An id counts only if both have it."""
        known = dict(other.ids)
        is_same_id = all(known.get(name, value) == value for name, value in self.ids)
        mine = (self.issuer, self.name, self.workflow)
        return is_same_id and mine == (other.issuer, other.name, other.workflow)

    def __str__(self) -> str:
        """Return the source in one line."""
        workflow = self.workflow.removeprefix(f"{self.name}/")
        place = f"{self.name} ({workflow})" if workflow else self.name
        return ", ".join([f"{place} at {self.issuer}", *(f"{n} {value}" for n, value in self.ids)])


@dataclass(frozen=True, slots=True)
class ReleaseSources:
    """A release, and the source of each of its files; None for a file without provenance."""

    version: str
    published_at: datetime
    sources: tuple[Source | None, ...]

    @property
    def covered(self) -> int:
        """Return how many files have provenance."""
        return sum(source is not None for source in self.sources)


@dataclass(frozen=True, slots=True)
class Continuity:
    """The provenance of a release, and how it compares with the earlier one.

    ``words`` are ordered as in ``Word``. ``compared_with`` is the version of the earlier release;
    None if no earlier one has provenance. ``added`` are the sources that the earlier one does not
    have, and ``removed`` those that this one does not have.
    """

    words: tuple[Word, ...]
    files: int
    covered: int
    compared_with: str | None = None
    added: tuple[Source, ...] = ()
    removed: tuple[Source, ...] = ()


def compare_all(releases: Iterable[ReleaseSources]) -> Mapping[str, Continuity]:
    """Return what can be said of each release, by its version.

    Of releases that were published at the same time, the first one counts as the earlier one.
    """
    found: dict[str, Continuity] = {}
    earlier: ReleaseSources | None = None
    for release in sorted(releases, key=lambda each: each.published_at):
        found[release.version] = compare(release, earlier)
        if release.covered:
            earlier = release
    return found


def compare(release: ReleaseSources, earlier: ReleaseSources | None) -> Continuity:
    """Return what can be said of a release, given the earlier one that has provenance, if any."""
    mine = _distinct(release.sources)
    theirs = _distinct(() if earlier is None else earlier.sources)
    is_same = mine == theirs
    added = _without(mine, theirs) if theirs and not is_same else ()
    removed = _without(theirs, mine) if mine and not is_same else ()
    holds: Mapping[Word, bool] = {
        _coverage(release): True,
        Word.LOST: bool(theirs and not mine),
        Word.CHANGED: bool(added or removed),
        Word.INCONSISTENT: len(mine) > 1,
    }
    return Continuity(
        words=tuple(word for word, is_true in holds.items() if is_true),
        files=len(release.sources),
        covered=release.covered,
        compared_with=None if earlier is None else earlier.version,
        added=added,
        removed=removed,
    )


def _coverage(release: ReleaseSources) -> Word:
    if not release.covered:
        return Word.NO
    return Word.FULL if release.covered == len(release.sources) else Word.PARTIAL


def _distinct(sources: Sequence[Source | None]) -> tuple[Source, ...]:
    """Return each source once. Those with more ids come first, so that the others join them."""
    given = {source for source in sources if source is not None}
    if len(given) < 2:  # noqa: PLR2004 - as nearly always
        return tuple(given)
    found: list[Source] = []
    for source in sorted(given, key=lambda each: (-len(each.ids), each)):
        if not any(map(source.is_same, found)):
            found.append(source)
    return tuple(sorted(found))


def _without(sources: Sequence[Source], others: Sequence[Source]) -> tuple[Source, ...]:
    return tuple(each for each in sources if not any(map(each.is_same, others)))
