"""How many steps in sequence a piece of work takes, if each call takes one and threads are free.

``Steps`` stands for ``side_by_side``. It makes the calls one after the other, so that the count is
the same in every run, and gives each of what is begun together a clock that starts at that moment.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

# What the low-level clients of the services call.
_OPERATIONS: Final = {
    *("get_item", "batch_get_item", "query", "put_item", "update_item", "delete_item"),
    *("put_object", "get_object", "head_object", "put_object_tagging", "sign"),
}


class Steps:
    """Counts the steps; ``taken`` has each call with its step, in the order of the steps."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Count from nothing."""
        self._now = 0
        self._taken: list[tuple[int, str]] = []

    @property
    def taken(self) -> Sequence[tuple[int, str]]:
        return sorted(self._taken)

    @property
    def count(self) -> int:
        """Return how many calls wait for each other."""
        return max(step for step, _ in self._taken)

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        yield lambda call: _Begun(self, call)

    def take(self, name: str) -> None:
        """Note a call."""
        self._now += 1
        self._taken.append((self._now, name))

    def counted(self, client: Any) -> Any:
        """Return the client of a service, each call of which is a step."""
        return _Counted(self, client)


class _Begun:
    """A call with a clock of its own until its result is there."""

    def __init__(self, steps: Steps, call: Callable[[], Any]) -> None:
        self._steps, self._call = steps, call
        self._began = steps._now

    def result(self) -> Any:
        asked_at, self._steps._now = self._steps._now, self._began
        try:
            return self._call()
        finally:
            self._steps._now = max(asked_at, self._steps._now)


class _Counted:
    def __init__(self, steps: Steps, client: Any) -> None:
        self._steps, self._client = steps, client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name not in _OPERATIONS:
            return found

        def call(*arguments: Any, **request: Any) -> Any:
            self._steps.take(_describe(name, request))
            return found(*arguments, **request)

        return call


def _describe(name: str, request: dict[str, Any]) -> str:
    key: Any = request.get("Item") or request.get("Key") or {}
    if isinstance(key, str):
        return f"{name} {key.split('/')[0]}"
    if "sk" not in key:
        return name
    return f"{name} {key['pk']['S'].partition('#')[0]} {key['sk']['S'].partition('#')[0]}"
