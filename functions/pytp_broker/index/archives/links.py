"""Links inside an sdist, symbolic and hard: each leads every tool to the same place inside.

A tool may look for the target before or after it is unpacked, and file systems differ in how they
compare names. So nothing here depends on the order. No member lies below a link (MemberNames checks
that). A target has `..` only at its beginning, so that it stays inside wherever the links on its
way lead (PEP 721). A hard link spells its target exactly as the earlier file is spelled, because
tools compare the text.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final, NamedTuple

from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import (
    MAX_NAME_CHARACTERS,
    MAX_NAMES_CHARACTERS,
    folded,
    has_long_segment,
)
from pytp_broker.redaction import printable

# macOS follows at most 32 links in a row, and Linux 40.
MAX_HOPS: Final = 32
# One step looks up one part of a path: 20,000 links with 20 parts each need 400,000 steps.
MAX_STEPS: Final = 500_000

# An empty target, an absolute path, control characters, backslashes, colons (drives and streams),
# and blanks at the end of a segment, which Windows drops and uv refuses.
_UNSAFE_TARGET: Final = re.compile(r"\A\Z|\A/|[\x00-\x1f\x7f-\x9f\\:]| (?:/|\Z)")
_HERE: Final = ("", ".")


class _Link(NamedTuple):
    """A symbolic link: its name and target as written, and the path that it leads to."""

    name: str
    target: str
    destination: str


class Links:
    """The links of an archive, and the plain files that they may lead to.

    Names are compared folded when symbolic links are followed, so that links are refused if they
    form a circle on any file system.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folded_files: set[str] = set()
        self._links: dict[str, _Link] = {}
        self._characters = 0
        self._steps = 0

    def add_file(self, name: str) -> None:
        """Remember a plain file, to which links may lead."""
        self._files.add(name)
        self._folded_files.add(folded(name))

    def add_hard_link(self, name: str, target: str) -> None:
        """Remember a hard link to an earlier file as one more file; raise InvalidUpload."""
        if target not in self._files:
            raise _refusal(name, target, "does not name an earlier file exactly")
        self.add_file(name)

    def add_symbolic_link(self, name: str, target: str) -> None:
        """Remember a symbolic link; raise InvalidUpload if its own target leads out."""
        self._characters += len(target)
        if len(target) > MAX_NAME_CHARACTERS or self._characters > MAX_NAMES_CHARACTERS:
            raise InvalidUpload("the sdist has links with targets that are too long")
        destination = folded(_read_destination(name, target))
        self._links[folded(name)] = _Link(name, target, destination)

    def check(self) -> None:
        """Check that every symbolic link leads somewhere inside; raise InvalidUpload."""
        places = {path: self._follow(link) for path, link in self._links.items()}
        self._check_walk(places)

    def _follow(self, link: _Link) -> str:
        """Return the place that a link leads to after all other links on its way."""
        path = link.destination
        for _ in range(MAX_HOPS):
            next_link = self._find_link(link, path)
            if not next_link:
                return path.rstrip("/")
            path = self._links[next_link].destination.rstrip("/") + path.removeprefix(next_link)
        raise _refusal(link.name, link.target, "leads through too many links, or in a circle")

    def _find_link(self, link: _Link, path: str) -> str | None:
        """Return the part of the path that is a link, if any; raise InvalidUpload if it is bad."""
        if len(path) > MAX_NAME_CHARACTERS:
            raise _refusal(link.name, link.target, "leads to a path that is too long")
        for part in _parts(path):
            self._count_step()
            if part in self._links:
                return part
            if part in self._folded_files and part != path:
                raise _refusal(link.name, link.target, "leads below a plain file")
        return None

    def _check_walk(self, places: Mapping[str, str]) -> None:
        """Check that a walk which follows all links comes to an end; raise InvalidUpload.

        Such a walk finds further links in the place that a link leads to, and follows them too.
        """
        # Sorted like this, the content of a directory stands together: nothing sorts before NUL.
        ordered = sorted((path.replace("/", "\0"), place) for path, place in places.items())
        ways = {place: set(self._find_ways(place, ordered)) for place in set(places.values())}
        try:
            TopologicalSorter(ways).prepare()
        except CycleError as error:
            place, folder = error.args[1][:2]
            found = next(p for p in places if places[p] == place and p.startswith(f"{folder}/"))
            link = self._links[found]
            raise _refusal(
                link.name, link.target, "leads in a circle, back to a directory that the link is in"
            ) from None

    def _find_ways(self, place: str, ordered: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Yield the destinations of the links in a place."""
        folder = place.replace("/", "\0")
        start, end = (bisect_left(ordered, (folder + after, "")) for after in "\0\1")
        for _, destination in ordered[start:end]:
            self._count_step()
            yield destination

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise InvalidUpload("the sdist has too many links to follow")


def _read_destination(name: str, target: str) -> str:
    """Return the target of a symbolic link from the top of the archive; raise InvalidUpload."""
    if _UNSAFE_TARGET.search(target) or has_long_segment(target):
        raise _refusal(name, target, "is not a relative path that all systems read in the same way")
    steps = [step for step in target.split("/") if step not in _HERE]
    ups = next((i for i, step in enumerate(steps) if step != ".."), len(steps))
    folders = name.split("/")[:-1]
    # The top-level folder does not count, because pip unpacks its content to another place.
    if ups >= len(folders):
        raise _refusal(name, target, "leads out of the sdist's folder")
    if ".." in steps[ups:]:
        raise _refusal(name, target, "goes down and up again")
    end = [""] if target.endswith(("/", "/.")) else []
    return "/".join([*folders[: len(folders) - ups], *steps[ups:], *end])


def _parts(path: str) -> Iterator[str]:
    """Yield each beginning of a path, and the whole path last: ``a``, ``a/b``, ``a/b/c``."""
    position = path.find("/")
    while position != -1:
        yield path[:position]
        position = path.find("/", position + 1)
    yield path


def _refusal(name: str, target: str, reason: str) -> InvalidUpload:
    return InvalidUpload(
        f"the sdist has the link `{printable(name)}`, whose target `{printable(target)}` {reason}: "
        "correct the link, or put a plain file in its place, and build again"
    )
