"""Many calls at the same time: an operator's commands and publishing sessions change many rows."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

# So many calls are made one after the other; more of them by several threads. boto3 keeps ten
# connections for a client.
_FEW: Final = 8
_THREADS: Final = 8
# So many results may wait for a reader that is slower than the calls.
_WINDOW: Final = 64

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do the work for each item, for many of them at the same time; return the results in order."""
    if len(items) <= _FEW:
        return [work(item) for item in items]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))


def stream(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield the result for each item in order, and hold only some of them in memory."""
    for part in divided(items, _WINDOW):
        yield from each(work, part)


def divided(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return the items in parts of at most this size."""
    return [items[start : start + size] for start in range(0, len(items), size)]
