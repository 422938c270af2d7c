"""What a soak prints at its end: one screen for people, and the same as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import linear_regression
from typing import Any, Final

from tests.soak.journal import Entry
from tests.soak.rules import LOSS, Finding
from tests.soak.story import Story

_SHOWN: Final = 20
_TICKS_A_SECOND: Final = 100
# What a server loads when the first clients come is no growth.
_WARM_UP_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run."""

    seconds: float
    seed: int
    requests: Mapping[str, int]
    statuses: Mapping[str, int]
    commands: Mapping[str, int]
    faults: Mapping[str, int]
    checks: Mapping[str, int]
    server: Mapping[str, Any]
    losses: Sequence[Finding] = field(default_factory=list)
    oddities: Sequence[Finding] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.losses and not self.oddities

    def document(self) -> Mapping[str, Any]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Yield the summary for people."""
        total = sum(self.requests.values())
        yield f"soak: {self.seconds / 60:.1f} min, seed {self.seed}"
        yield f"requests: {total:,} ({_listed(self.requests)})"
        yield f"answers: {_listed(self.statuses)}"
        yield f"commands: {_listed(self.commands)}"
        yield f"faults: {_listed(self.faults)}"
        yield f"checks: {_listed(self.checks)}"
        yield f"server: {_listed(self.server)}"
        yield f"losses: {len(self.losses)}; answers that nothing explains: {len(self.oddities)}"
        for finding in [*self.losses, *self.oddities][:_SHOWN]:
            yield f"  {finding.kind}: not so: {finding.check}: {finding.seen}"


def summarize(
    story: Story, found: Sequence[Finding], checks: Mapping[str, int], seed: int, left: int
) -> Summary:
    """Return the figures of a run, whose inspection has found this."""
    requests = [entry for entry in story.requests if entry.kind != "check"]
    return Summary(
        seconds=max(e.end for e in story.entries) - min(e.begin for e in story.entries),
        seed=seed,
        requests=_counted(entry.kind for entry in requests),
        statuses=_counted(str(entry.status or "lost") for entry in requests),
        commands=_counted(
            entry.kind.removeprefix("operator ").removeprefix("tool ")
            for entry in story.entries
            if entry.kind.startswith(("operator ", "tool "))
        ),
        faults=_counted(
            entry.facts.get("mood", entry.kind)
            for entry in story.of("kill", "reload", "rotate", "mood", "rude")
        ),
        checks=checks,
        server={**_server(list(story.of("sample"))), "half-written files": left},
        losses=[each for each in found if each.kind == LOSS],
        oddities=[each for each in found if each.kind != LOSS],
    )


def _server(samples: Sequence[Entry]) -> Mapping[str, Any]:
    """Return how the memory and the open files of the last server have grown."""
    if not samples:
        return {}
    last = samples[-1].facts["start"]
    own = [entry for entry in samples if entry.facts["start"] == last]
    warm = [entry for entry in own if entry.begin > own[0].begin + _WARM_UP_SECONDS] or own
    ticks = Counter[int]()
    for entry in samples:
        start = entry.facts["start"]
        ticks[start] = max(ticks[start], entry.facts["processor_ticks"])
    seconds = samples[-1].begin - samples[0].begin or 1
    return {
        "starts": last,
        "of a processor": round(ticks.total() / _TICKS_A_SECOND / seconds, 3),
        "last one watched for minutes": round((warm[-1].begin - warm[0].begin) / 60, 1),
        "MiB at first": round(warm[0].facts["kibibytes"] / 1024, 1),
        "MiB at last": round(warm[-1].facts["kibibytes"] / 1024, 1),
        "MiB an hour": round(_slope(warm, "kibibytes") * 3600 / 1024, 1),
        "open files at first": warm[0].facts["files"],
        "open files at last": warm[-1].facts["files"],
        "open files an hour": round(_slope(warm, "files") * 3600, 1),
    }


def _slope(samples: Sequence[Entry], name: str) -> float:
    """Return how much a figure grows in a second."""
    if len(samples) < 3:
        return 0.0
    times = [entry.begin - samples[0].begin for entry in samples]
    return linear_regression(times, [entry.facts[name] for entry in samples]).slope


def _counted(names: Iterator[str]) -> Mapping[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: -item[1]))


def _listed(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in figures.items()) or "none"
