"""The search: every state that can be reached, the nearest first, and a trace to what is wrong."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.model.desk import Desk, inspected_once
from tests.model.invariants import INVARIANTS, Invariant
from tests.model.scenarios import DEPTH
from tests.model.system import Scenario, State, System, Transition

# No scenario comes near: a search that becomes larger was not meant to.
MOST_STATES: Final = 100_000 * DEPTH**6


@dataclass(frozen=True)
class Found:
    """What a search has found: how much it saw, and the first violation with its trace."""

    states: int
    transitions: int
    depth: int
    violation: str | None = None
    trace: tuple[Transition, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.violation}", ""]
        for number, each in enumerate(self.trace, 1):
            lines.append(f"{number:3}. [{each.before.moment}] {each.who} {each.what}")
        return "\n".join(lines)


class Search:
    """A breadth-first search. States are compared whole, so each is visited once."""

    def __init__(self, system: System, invariants: Iterable[Invariant]) -> None:
        self._system, self._invariants = system, tuple(invariants)
        self._reached: dict[State, Transition | None] = {}
        self._transitions = 0

    def run(self) -> Found:
        """Visit every state until one breaks an invariant."""
        first = self._system.first()
        self._reached = {first: None}
        layer, depth = deque([first]), 0
        while layer:
            following: deque[State] = deque()
            for state in layer:
                for step in self._system.steps(state):
                    self._transitions += 1
                    violation = self._check(step)
                    if violation is not None:
                        return self._found(depth + 1, violation, step)
                    if step.after not in self._reached:
                        self._reached[step.after] = step
                        following.append(step.after)
            assert len(self._reached) <= MOST_STATES, "the scenario is too large"
            layer = following
            depth += bool(layer)
        return self._found(depth)

    def _check(self, step: Transition) -> str | None:
        for invariant in self._invariants:
            said = invariant.check(step)
            if said is not None:
                return f"{invariant.name} ({invariant.promise}): {said}"
        return None

    def _found(
        self, depth: int, violation: str | None = None, last: Transition | None = None
    ) -> Found:
        trace, step = list[Transition](), last
        while step is not None:
            trace.append(step)
            step = self._reached[step.before]
        return Found(
            len(self._reached), self._transitions, depth, violation, tuple(reversed(trace))
        )


def search(
    scenario: Scenario, invariants: Iterable[Invariant] = INVARIANTS.values()
) -> tuple[Found, Desk]:
    """Search a scenario; return what was found, and the desk with all calls that were made."""
    desk = Desk()
    with desk.runner.no_chance(), inspected_once():
        return Search(System(scenario, desk), invariants).run(), desk
