"""Tell load balancers and monitors whether the store answers."""

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from pytp_broker.errors import StoreUnavailable

MAX_AGE_SECONDS: Final = 1
# Lambda freezes the process between requests: the monotonic clock may stop, and the wall clock may
# be set back. An answer is fresh only if both clocks agree.
_CLOCKS: Final = (time.monotonic, time.time)


class Health:
    """Cache of whether the store answers: anyone may ask us, so we ask it once a second."""

    def __init__(self, clocks: Sequence[Callable[[], float]] = _CLOCKS) -> None:
        self._clocks = clocks
        self._asking = Lock()
        self._asked_at: tuple[float, ...] | None = None
        self._is_good = False

    def is_good(self, ask: Callable[[], object]) -> bool:
        """Say whether the store answers; ``ask`` is a call of it that may raise StoreUnavailable.

        While one caller waits for the store, the others get the previous answer.
        """
        if self._asking.acquire(blocking=self._asked_at is None):
            try:
                if not self._is_fresh():
                    self._is_good = _answers(ask)
                    self._asked_at = self._now()
            finally:
                self._asking.release()
        return self._is_good

    def _is_fresh(self) -> bool:
        if self._asked_at is None:
            return False
        ages = (now - asked for asked, now in zip(self._asked_at, self._now(), strict=True))
        return all(0 <= age < MAX_AGE_SECONDS for age in ages)

    def _now(self) -> tuple[float, ...]:
        return tuple(clock() for clock in self._clocks)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except StoreUnavailable:
        return False
    return True
