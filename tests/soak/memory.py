"""What the clients of a soak remember for each other: tokens, identities, files."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Final, Generic, TypeVar

from tests.support.distributions import Distribution, noise, sdist, wheel, wheel_members

_KEPT: Final = 400
_WORTH: Final = 5
_LARGE_BYTES: Final = 1_000_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Minted:
    """An upload token, and which project it is for."""

    token: str = field(repr=False)
    project: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that the server says it has taken."""

    project: str
    version: str
    file: Distribution


class Recent(Generic[T]):
    """The last things of a kind, which any thread may add and take."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._things: deque[T] = deque(maxlen=_KEPT)

    def add(self, thing: T) -> None:
        with self._lock:
            self._things.append(thing)

    def __len__(self) -> int:
        return len(self._things)

    def any(self, chance: Random) -> T | None:
        """Return one of them, which stays; None if there is none."""
        with self._lock:
            return chance.choice(self._things) if self._things else None

    def take(self, chance: Random, matches: Callable[[T], bool] = lambda _: True) -> T | None:
        """Return one of them, which nobody else gets; None if there is none."""
        with self._lock:
            found = [thing for thing in self._things if matches(thing)]
            if not found:
                return None
            chosen = chance.choice(found)
            self._things.remove(chosen)
            return chosen


@dataclass
class Memory:
    """What all clients together know."""

    live: Recent[Minted] = field(default_factory=Recent)
    burned: Recent[Minted] = field(default_factory=Recent)
    spent: Recent[str] = field(default_factory=Recent)  # identity tokens
    reading: Recent[str] = field(default_factory=Recent)  # read tokens
    sent: Recent[Sent] = field(default_factory=Recent)
    deleted: Recent[Sent] = field(default_factory=Recent)
    _lock: Lock = field(default_factory=Lock)
    _versions: int = 0

    @property
    def is_worth_judging(self) -> bool:
        """Say whether there is at least something that could have been lost."""
        return len(self.sent) >= _WORTH and len(self.burned) > 0

    def version(self) -> str:
        """Return a version that nobody else has."""
        with self._lock:
            self._versions += 1
            return f"1.{self._versions}"


def build(project: str, version: str, chance: Random) -> list[Distribution]:
    """Return a release: a wheel, mostly with an sdist, and sometimes a large one."""
    members = wheel_members(project, version)
    members[f"{project}/about.py"] = f"chance = {chance.random()}\n"
    if chance.random() < 0.04:
        members[f"{project}/noise"] = noise(_LARGE_BYTES)
    files = [wheel(project, version, members=members)]
    if chance.random() < 0.7:
        files.append(sdist(project, version))
    return files
