"""Measure how long ago something was, with two clocks that must agree.

Lambda freezes the process between requests: the monotonic clock may stop, and the wall clock may be
set back. So what is remembered is fresh only if both clocks say so.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

Clocks: TypeAlias = Sequence[Callable[[], float]]
# What each clock shows at one moment.
Moment: TypeAlias = tuple[float, ...]

CLOCKS: Final[Clocks] = (time.monotonic, time.time)


def read_clocks(clocks: Clocks) -> Moment:
    """Return the present moment."""
    return tuple(clock() for clock in clocks)


def is_fresh(since: Moment, now: Moment, seconds: float) -> bool:
    """Say whether every clock shows that less than this many seconds have passed."""
    ages = (end - begin for begin, end in zip(since, now, strict=True))
    return all(0 <= age < seconds for age in ages)
