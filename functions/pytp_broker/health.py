"""Tell load balancers and monitors whether the store answers."""

from collections.abc import Callable
from threading import Lock
from typing import Final

from pytp_broker.clocks import CLOCKS, Clocks, Moment, is_fresh, read_clocks
from pytp_broker.errors import StoreUnavailable

MAX_AGE_SECONDS: Final = 1


class Health:
    """Cache of whether the store answers: anyone may ask us, so we ask it once a second."""

    def __init__(self, clocks: Clocks = CLOCKS) -> None:
        self._clocks = clocks
        self._asking = Lock()
        self._asked_at: Moment | None = None
        self._is_good = False

    def is_good(self, ask: Callable[[], object]) -> bool:
        """Say whether the store answers; ``ask`` is a call of it that may raise StoreUnavailable.

        While one caller waits for the store, the others get the previous answer.
        """
        if self._asking.acquire(blocking=self._asked_at is None):
            try:
                if not self._is_fresh():
                    self._is_good = _answers(ask)
                    self._asked_at = read_clocks(self._clocks)
            finally:
                self._asking.release()
        return self._is_good

    def _is_fresh(self) -> bool:
        if self._asked_at is None:
            return False
        return is_fresh(self._asked_at, read_clocks(self._clocks), MAX_AGE_SECONDS)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except StoreUnavailable:
        return False
    return True
