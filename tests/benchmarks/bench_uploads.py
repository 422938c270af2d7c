"""What an upload of 10 MB costs, in multiples of the sha256 of its file alone, and in memory.

We measure the processor's time, and the things that we compare take turns. Trust the ratios; the
milliseconds depend on the machine. Run it with `make bench`. It asserts only that every upload
succeeds.
"""

import hashlib
import random
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from tests.benchmarks.goals import Goals
from tests.support.distributions import Distribution, metadata, sdist, wheel, wheel_members
from tests.support.serving import Served

SIZE: Final = 10_000_000
ROUNDS: Final = 9

# What these uploads cost before speed was a goal.
BOUNDS: Final = {"binary wheel": 11, "binary sdist": 11, "text wheel": 41, "text sdist": 35}

Act = Callable[[], object]


RANDOM: Final = random.Random(1)  # noqa: S311 - the same files in every run


def binary(size: int) -> bytes:
    """Return bytes that do not compress, as in a wheel of a compiled library."""
    return RANDOM.randbytes(size)


def text(size: int) -> bytes:
    """Return bytes that compress to about a quarter, as source code does."""
    words = Path(__file__).read_text().split()
    return " ".join(RANDOM.choices(words, k=size // 4)).encode()[:size]


WHEELS: Final = {
    "binary": {"widgets/lib.so": binary(SIZE - 10_000)},
    "text": {f"widgets/m{n}.py": text(SIZE // 3) for n in range(10)},
}
CASES: Final = {
    **{
        f"{kind} wheel": wheel(members={**members, **wheel_members()})
        for kind, members in WHEELS.items()
    },
    **{
        f"{kind} sdist": sdist(
            members=[
                ("widgets-1.0/PKG-INFO", metadata().encode()),
                *((f"widgets-1.0/{name}", content) for name, content in members.items()),
            ]
        )
        for kind, members in WHEELS.items()
    },
}


@pytest.mark.parametrize("kind", CASES)
def test_an_upload_against_the_sha256_of_its_file(kind: str, tmp_path: Path, goals: Goals) -> None:
    distribution = CASES[kind]
    served = Served(tmp_path)
    body = served.form(distribution)
    event = served.event(body)
    times = measure(
        {
            "sha256": lambda: hashlib.sha256(distribution.content).digest(),
            "the upload function": lambda: served.call(event),
            "through serve": lambda: served.send(served.request(body)),
        },
        reset=served.forget,
    )
    served.forget()
    request = served.request(body)
    tracemalloc.start()
    served.send(request)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    show(kind, distribution, times, peak)
    through = median(times["through serve"]) / median(times["sha256"])
    what = f"10 MB {kind} through serve, three digests, every check"
    goals.at_most("uploads", what, BOUNDS[kind], through, "of its sha256")


def measure(acts: Mapping[str, Act], reset: Callable[[], None]) -> dict[str, list[float]]:
    """Return the milliseconds of processor time of each act in each round."""
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            reset()
            started = time.process_time_ns()
            act()
            times[name].append((time.process_time_ns() - started) / 1_000_000)
    return {name: each[1:] for name, each in times.items()}  # the first round warms up


def show(
    kind: str, distribution: Distribution, times: Mapping[str, list[float]], peak: int
) -> None:
    """Print each act's time, and its ratio to the sha256 of the file; then the memory."""
    size, unit = len(distribution.content), times["sha256"]
    print(f"\n{kind} of {size / 1e6:.1f} MB:    median      min  of the sha256 (median, min)")
    for name, each in times.items():
        ratios = "".join(f"{f(each) / f(unit):7.1f}" for f in (median, min))
        print(f"{name:26} {median(each):6.1f} ms {min(each):6.1f} ms {ratios}")
    print(f"{'memory at most':26} {peak / size:6.2f} times the file")
