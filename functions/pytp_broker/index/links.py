"""Links inside an sdist, symbolic and hard: all of them lead to one place inside, for every tool.

A tool may look for the target before or after it is there, and on a file system that compares names
in its own way. So nothing here depends on the order: no member lies below a link (MemberNames sees
to that), and a target goes up only at its beginning, so that it stays inside whatever the links on
its way lead to (PEP 721). Hard links name an earlier file as it is written there, since tools
compare the text.
"""

import re
from collections.abc import Iterator
from typing import Final

from pytp_broker.display import printable
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.members import (
    MAX_NAME_CHARACTERS,
    MAX_NAMES_CHARACTERS,
    has_long_segment,
)

# macOS follows 32 links, one after another, and Linux 40.
MAX_HOPS: Final = 32
# A step looks up one part of a path: 20,000 links of 20 parts each need 400,000.
MAX_STEPS: Final = 500_000

# Nothing, an absolute path, control characters, backslashes, colons (drives and streams), and
# blanks at the end of a segment, which Windows drops and uv refuses.
_UNSAFE_TARGET: Final = re.compile(r"\A\Z|\A/|[\x00-\x1f\x7f-\x9f\\:]| (?:/|\Z)")
_HERE: Final = ("", ".")


class Links:
    """The links of an archive, and the plain files that they may lead to."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._destinations: dict[str, str] = {}
        self._characters = 0
        self._steps = 0

    def add_file(self, name: str) -> None:
        """Remember a plain file, to which links may lead."""
        self._files.add(name)

    def add_hard_link(self, name: str, target: str) -> None:
        """Remember a hard link to an earlier file, and so one more file; raise InvalidUpload."""
        if target not in self._files:
            raise _refusal(name, target, "does not name an earlier file exactly")
        self.add_file(name)

    def add_symbolic_link(self, name: str, target: str) -> None:
        """Remember a symbolic link; raise InvalidUpload if it could lead out by itself."""
        self._characters += len(target)
        if len(target) > MAX_NAME_CHARACTERS or self._characters > MAX_NAMES_CHARACTERS:
            raise InvalidUpload("the sdist has links with targets that are too long")
        self._destinations[name] = _read_destination(name, target)

    def check(self) -> None:
        """Check that every symbolic link leads somewhere inside; raise InvalidUpload."""
        for name in self._destinations:
            self._follow(name)

    def _follow(self, name: str) -> None:
        path = self._destinations[name]
        for _ in range(MAX_HOPS):
            link = self._find_link(name, path)
            if not link:
                break
            path = self._destinations[link].rstrip("/") + path.removeprefix(link)
        else:
            raise _refusal(name, path, "leads through too many links, or in a circle")
        if f"{name}/".startswith(f"{path.rstrip('/')}/"):
            raise _refusal(name, path, "leads in a circle, to a directory that the link is in")

    def _find_link(self, name: str, path: str) -> str | None:
        """Return the part of the path that is a link; raise InvalidUpload if it cannot be one."""
        if len(path) > MAX_NAME_CHARACTERS:
            raise _refusal(name, path, "is too long")
        for part in _parts(path):
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise InvalidUpload("the sdist has too many links to follow")
            if part in self._destinations:
                return part
            if part in self._files and part != path:
                raise _refusal(name, path, "leads below a plain file")
        return None


def _read_destination(name: str, target: str) -> str:
    """Return where a symbolic link leads, from the top of the archive; raise InvalidUpload."""
    if _UNSAFE_TARGET.search(target) or has_long_segment(target):
        raise _refusal(name, target, "is not a relative path that every system reads alike")
    steps = [step for step in target.split("/") if step not in _HERE]
    ups = next((i for i, step in enumerate(steps) if step != ".."), len(steps))
    folders = name.split("/")[:-1]
    # The top-level folder does not count: pip unpacks what is in it to somewhere else.
    if ups >= len(folders):
        raise _refusal(name, target, "leads out of the sdist's folder")
    if ".." in steps[ups:]:
        raise _refusal(name, target, "goes down and up again")
    end = [""] if target.endswith(("/", "/.")) else []
    return "/".join([*folders[: len(folders) - ups], *steps[ups:], *end])


def _parts(path: str) -> Iterator[str]:
    """Yield the beginnings of a path, and then all of it: ``a``, ``a/b``, ``a/b/c``."""
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
