"""Calls that do not depend on each other, made at the same time.

An upload asks DynamoDB, S3 and KMS for a dozen things, and each call waits some milliseconds for an
answer. Where nobody waits for another machine, ``in_order`` makes the calls one after the other.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Pending(Protocol[T_co]):
    """A call whose result somebody will ask for, once."""

    def result(self) -> T_co:
        """Return what the call returns, or raise what it raises."""


class Begin(Protocol):
    """Begins calls. One whose result nobody asks for may not be made."""

    def __call__(self, call: Callable[[], T], /) -> Pending[T]:
        """Begin a call, now or when its result is asked for."""


# Gives what begins calls; none of them runs any more when its ``with`` block has ended.
SideBySide: TypeAlias = Callable[[], AbstractContextManager[Begin]]


class _Asked:
    """A call that is made when its result is asked for."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result = call


@contextmanager
def in_order() -> Iterator[Begin]:
    """Make each call when its result is asked for, and none after one that failed."""
    yield _Asked


class Threads:
    """Makes calls at the same time, on threads that are made once."""

    def __init__(self, count: int) -> None:
        # A function that makes its calls in order does not wait for this import when it starts.
        from concurrent.futures import ThreadPoolExecutor, wait

        self._pool, self._wait = ThreadPoolExecutor(count, "side-by-side"), wait

    @contextmanager
    def __call__(self) -> Iterator[Begin]:
        """Begin calls at once, as far as threads are free."""
        begun: list[Future[Any]] = []

        def begin(call: Callable[[], T]) -> Pending[T]:
            future = self._pool.submit(call)
            begun.append(future)
            return _Begun(future, call)

        try:
            yield begin
        finally:
            self._wait([future for future in begun if not future.cancel()])


class _Begun:
    """A call that runs on a thread, or waits for one."""

    def __init__(self, future: "Future[Any]", call: Callable[[], Any]) -> None:
        self._future, self._call = future, call

    def result(self) -> Any:  # noqa: ANN401 - as the call says
        # If no thread is free, the one that waits makes the call. So a call may begin further ones.
        return self._call() if self._future.cancel() else self._future.result()
