"""What a journal says: what was promised, what was sent, and when something was wrong."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from tests.soak.journal import Entry
from tests.soak.site import CHANGING

# How long a change of an operator may take until every request sees it.
TAKES_EFFECT_SECONDS: Final = 10
_TAKEN: Final = frozenset({200, 201})
_UPLOADS: Final = frozenset({"upload", "upload-dead"})
YANKS: Final = ("operator release yank", "operator release unyank")
Time = tuple[float, float]
FileKey = tuple[str, str]  # name and SHA-256


@dataclass
class Story:
    """The acts of a run by kind, and what follows from them."""

    entries: Sequence[Entry]
    by_kind: Mapping[str, Sequence[Entry]] = field(init=False)

    def __post_init__(self) -> None:
        by_kind: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            by_kind[entry.kind].append(entry)
        self.by_kind = by_kind

    def of(self, *kinds: str) -> Iterator[Entry]:
        for kind in kinds:
            yield from self.by_kind[kind]

    @property
    def requests(self) -> Iterator[Entry]:
        """Yield what was asked over HTTP."""
        return (entry for entry in self.entries if "error" in entry.facts or _is_http(entry))

    # --- times ------------------------------------------------------------------------------------

    @cached_property
    def kills(self) -> Sequence[Time]:
        """Return when the server was away; a moment before and after belongs to it."""
        return [(entry.begin - 0.1, entry.end + 1) for entry in self.of("kill")]

    @cached_property
    def moods(self) -> Sequence[Time]:
        """Return when the issuer's keys may be missing: a refresh is tried once in a minute."""
        changed = [*self.of("mood"), *self.of("rotate")]
        return [(entry.begin, entry.end + 75) for entry in changed]

    @cached_property
    def untrusted(self) -> Sequence[Time]:
        """Return when the changing project surely had no publisher."""
        times, since = list[Time](), None
        for entry in self.of("operator apply"):
            if since is not None:
                times.append((since, entry.begin))
            is_removed = entry.status == 0 and not entry.facts["is_there"]
            since = entry.end + TAKES_EFFECT_SECONDS if is_removed else None
        if since is not None:
            times.append((since, float("inf")))
        return [(begin, end) for begin, end in times if begin < end]

    # --- tokens -----------------------------------------------------------------------------------

    @cached_property
    def burned(self) -> Mapping[str, float]:
        """Return the tokens whose burn was answered, and when it was first answered."""
        ends: dict[str, float] = {}
        for entry in self.of("burn", "operator token burn"):
            if entry.status in {0, 202}:
                ends.setdefault(entry.facts["token"], entry.end)
        return ends

    @cached_property
    def maybe_burned(self) -> frozenset[str]:
        """Return every token that somebody has tried to burn, and those that are used up."""
        tried = self.of("burn", "operator token burn")
        return frozenset(entry.facts["token"] for entry in tried)

    @cached_property
    def must_live(self) -> Mapping[str, str]:
        """Return the tokens that must be good at the end, and for which project."""
        return {
            entry.facts["token"]: entry.facts["project"]
            for entry in self.of("minted")
            if entry.facts["token"] not in self.maybe_burned
            and not entry.facts["features"]
            and entry.facts["project"] != CHANGING
        }

    # --- files ------------------------------------------------------------------------------------

    @cached_property
    def taken(self) -> Mapping[FileKey, Mapping[str, Any]]:
        """Return the files that the server said it has taken, with the facts of one answer."""
        found: dict[FileKey, Mapping[str, Any]] = {}
        for entry in self.of(*_UPLOADS):
            if entry.status in _TAKEN:
                found[entry.facts["filename"], entry.facts["sha256"]] = entry.facts
        for entry in self.of("publish"):
            if entry.status in _TAKEN:
                found |= dict.fromkeys(entry.facts["files"].items(), entry.facts)
        for entry in self.of("tool uv", "tool twine"):
            if entry.status == 0:
                found |= dict.fromkeys(entry.facts["files"].items(), entry.facts)
        return found

    @cached_property
    def may_be_there(self) -> frozenset[FileKey]:
        """Return the files that somebody with a right has sent whole, whatever was answered."""
        found = set(self.taken)
        for entry in self.of(*_UPLOADS):
            dead_since = self.burned.get(entry.facts["token"], float("inf"))
            if entry.begin < dead_since:
                found.add((entry.facts["filename"], entry.facts["sha256"]))
        for entry in self.of("publish", "tool uv", "tool twine"):
            found |= set(entry.facts["files"].items())
        return frozenset(found)

    @cached_property
    def deleted(self) -> Mapping[FileKey, Entry]:
        """Return the files whose deletion was confirmed."""
        return {_key(e): e for e in self.of("operator file delete") if e.status == 0}

    def taken_before(self, moment: float) -> frozenset[FileKey]:
        """Return the files of steady projects that were taken by then, and never deleted."""
        before = Story([entry for entry in self.entries if entry.end < moment])
        steady = {key for key, facts in before.taken.items() if facts["project"] != CHANGING}
        return frozenset(steady - self.maybe_deleted)

    @cached_property
    def maybe_deleted(self) -> frozenset[FileKey]:
        return frozenset(_key(entry) for entry in self.of("operator file delete"))

    @cached_property
    def must_be_there(self) -> frozenset[FileKey]:
        """Return the files that must be listed at the end."""
        return frozenset(self.taken.keys() - self.maybe_deleted)

    @cached_property
    def yanked(self) -> Mapping[tuple[str, str], bool]:
        """Return whether a release is yanked, where no command was left without an answer."""
        last: dict[tuple[str, str], bool] = {}
        unknown = set[tuple[str, str]]()
        for entry in sorted(self.of(*YANKS), key=lambda entry: entry.end):
            place = (entry.facts["project"], entry.facts["version"])
            if entry.status == 0:
                last[place] = entry.facts["yanked"]
            elif entry.status is None:
                unknown.add(place)
        return {place: state for place, state in last.items() if place not in unknown}


def within(entry: Entry, times: Iterable[Time]) -> bool:
    """Say whether an act was under way at one of these times."""
    return any(entry.overlaps(begin, end) for begin, end in times)


def wholly_within(entry: Entry, times: Iterable[Time]) -> bool:
    """Say whether an act began and ended in one of these times."""
    return any(begin <= entry.begin and entry.end <= end for begin, end in times)


def _is_http(entry: Entry) -> bool:
    return entry.status is not None and entry.status >= 100


def _key(entry: Entry) -> FileKey:
    return entry.facts["filename"], entry.facts["sha256"]
