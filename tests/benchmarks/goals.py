"""Goals of speed: what each benchmark measured, beside what we want, in one table at the end.

Every figure is a ratio or a count of one run, because times depend on the machine. The table also
goes to `build/benchmarks.json`, beside the run before it: the last column says how far apart the
two runs are. Nothing here fails a run: a missed goal is a line that says so.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parents[2] / "build/benchmarks.json"
_TITLES: Final = ("area", "what", "goal", "measured", "verdict", "last run", "apart")


@dataclass(frozen=True)
class Goal:
    """One line of the table: a figure that may be at most, or must be at least, ``bound``.

    ``unit`` says of what the figure is a multiple, such as "of jwt.decode".
    """

    area: str
    what: str
    bound: float
    measured: float
    unit: str = ""
    is_at_least: bool = False

    @property
    def key(self) -> str:
        return f"{self.area}: {self.what}"

    @property
    def is_met(self) -> bool:
        return self.measured >= self.bound if self.is_at_least else self.measured <= self.bound

    @property
    def wanted(self) -> str:
        return f"{'≥' if self.is_at_least else '≤'} {self.bound:g} {self.unit}".rstrip()


class Goals:
    """The goals of one run, in the order in which they were measured."""

    def __init__(self) -> None:
        self.measured: list[Goal] = []

    def at_most(self, area: str, what: str, bound: float, measured: float, unit: str = "") -> None:
        """Note a figure that may be at most ``bound``."""
        self.measured.append(Goal(area, what, bound, measured, unit))

    def at_least(self, area: str, what: str, bound: float, measured: float, unit: str = "") -> None:
        """Note a figure that must be at least ``bound``."""
        self.measured.append(Goal(area, what, bound, measured, unit, is_at_least=True))

    def save(self, file: Path = FILE) -> None:
        """Write the figures as JSON, and keep those of the last run for the next table.

        A run of some benchmarks alone leaves the figures of the others as they are.
        """
        runs = _read(file)
        for goal in self.measured:
            before = runs.get(goal.key, {}).get("measured")
            figures = asdict(goal) | {"is_met": goal.is_met, "last_run": before}
            runs[goal.key] = figures
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(runs, indent=2) + "\n")

    def table(self, file: Path = FILE) -> str:
        """Return the table as text, with the figures of the last run, if there was one."""
        last = {key: each["measured"] for key, each in _read(file).items()}
        rows = [_TITLES, *(_row(goal, last.get(goal.key)) for goal in self.measured)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(_line(row, widths) for row in rows)


def _row(goal: Goal, last: float | None) -> tuple[str, ...]:
    verdict = "met" if goal.is_met else "MISSED"
    before = "" if last is None else f"{last:.2f}"
    apart = "" if not last else f"{abs(goal.measured - last) / last:.0%}"
    return (
        goal.area,
        goal.what,
        goal.wanted,
        f"{goal.measured:.2f}",
        verdict,
        before,
        apart,
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.is_file() else {}
