"""What goes wrong during a soak, and when: kills, reloads, an issuer in a bad mood, new keys."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.soak.issuer import MOODS
from tests.soak.journal import Entry
from tests.soak.visits import World

# In the last part of a run the server is left alive, so that its memory can be watched.
_KILLING_PART: Final = 0.6
_NEW_KEYS_FROM_SECONDS: Final = 300
_KILL_WITHIN_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """A run: how long it takes, how often the server is killed, and how much the clients do."""

    seconds: float
    kills: int
    acts_per_second: float
    seed: int

    @property
    def has_new_keys(self) -> bool:
        """Say whether the issuer signs with new keys, which the broker may see a minute later."""
        return self.seconds >= _NEW_KEYS_FROM_SECONDS

    @classmethod
    def of_minutes(cls, minutes: float, acts_per_second: float, seed: int) -> "Plan":
        return cls(minutes * 60, max(3, round(minutes)), acts_per_second, seed)


@dataclass
class Faults:
    """A thread that makes things go wrong."""

    world: World
    plan: Plan

    def run(self) -> None:
        """Do everything that is planned; leave the issuer well."""
        chance = Random(f"faults {self.plan.seed}")  # noqa: S311
        begin = time.time()
        for moment, what in schedule(self.plan, chance):
            time.sleep(max(0.0, begin + moment - time.time()))
            self._do(what, chance)

    def _do(self, what: str, chance: Random) -> None:
        if what == "kill":
            self._kill(chance)
        elif what == "reload":
            self.world.site.reload()
        elif what == "rotate":
            now = time.time()
            self.world.issuer.rotate()
            self._note("rotate", now, "")
        else:
            self._upset(what, min(chance.uniform(3, 30), self.plan.seconds / 10))

    def _kill(self, chance: Random) -> None:
        """Kill the server while it changes something, if that happens soon."""
        patience = time.time() + _KILL_WITHIN_SECONDS
        while not self.world.changing and time.time() < patience:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        self.world.site.kill()

    def _upset(self, mood: str, seconds: float) -> None:
        """Put the issuer into a bad mood, and let it sign with a key that must be fetched."""
        begin = time.time()
        self.world.issuer.mood = mood
        if self.plan.has_new_keys:
            self.world.issuer.rotate()
        time.sleep(seconds)
        self.world.issuer.mood = ""
        self._note("mood", begin, mood)

    def _note(self, kind: str, begin: float, mood: str) -> None:
        facts = {"mood": mood} if mood else {}
        self.world.journal.write(Entry(kind, begin, time.time(), facts=facts))


def schedule(plan: Plan, chance: Random) -> Sequence[tuple[float, str]]:
    """Return what goes wrong at which second of the run, in order."""
    kills = [
        (chance.uniform(0.05, _KILLING_PART) * plan.seconds, "kill") for _ in range(plan.kills)
    ]
    count = max(1, round(plan.seconds / 240))
    often = ["reload"] * count + ["rotate"] * (count * plan.has_new_keys)
    others = [
        (chance.uniform(0.1, 0.95) * plan.seconds, what)
        for what in [*often, *MOODS * -(-count // 4)]
    ]
    return sorted(kills + others)
