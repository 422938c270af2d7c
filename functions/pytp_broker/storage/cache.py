"""Caches of what every request needs, which bound how long a kill switch takes."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, Generic, TypeVar

from pytp_broker.clocks import CLOCKS, Clocks, Moment, is_fresh, read_clocks
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.registries import Configuration

# Every kill switch (registry, issuer, everything) works within this time, and so does the
# revocation of a key of receipts.
CONFIGURATION_MAX_AGE_SECONDS: Final = 10

T = TypeVar("T")


class Cache(Generic[T]):
    """Cache of one thing in the store: never older than ten seconds, so it fails closed.

    ``max_age_seconds`` sets a shorter time.
    """

    what: str

    def __init__(
        self,
        load: Callable[[], T],
        clocks: Clocks = CLOCKS,
        max_age_seconds: float = CONFIGURATION_MAX_AGE_SECONDS,
    ) -> None:
        self._load = load
        self._max_age_seconds = max_age_seconds
        self._clocks = clocks
        self._lock = Lock()
        self._loaded: tuple[Moment, T] | None = None
        self._failed_at: Moment = ()  # no failure yet: the empty tuple is less than any moment
        self._cause = ""

    def current(self) -> T:
        """Return what is in the store; raise StoreUnavailable when it cannot be read."""
        arrived_at = read_clocks(self._clocks)
        with self._lock:
            asked_at = read_clocks(self._clocks)
            if self._loaded and is_fresh(self._loaded[0], asked_at, self._max_age_seconds):
                return self._loaded[1]
            if arrived_at < self._failed_at:
                # This request has waited for a load that failed; it does not wait for another one.
                detail = f"{self.what} cannot be read"
                raise StoreUnavailable(detail, operator_detail=self._cause)
            return self._reload(asked_at)

    def at_hand(self) -> T | None:
        """Return what ``current`` would return without reading the store; None if it would read."""
        loaded = self._loaded
        if loaded and is_fresh(loaded[0], read_clocks(self._clocks), self._max_age_seconds):
            return loaded[1]
        return None

    def peek(self) -> T | None:
        """Return what was read last, however old it is; None if nothing was read. Asks nobody."""
        loaded = self._loaded
        return loaded[1] if loaded else None

    def age(self) -> float | None:
        """Return how many seconds ago it was read from the store; None if it never was."""
        loaded = self._loaded
        return read_clocks(self._clocks)[0] - loaded[0][0] if loaded else None

    def _reload(self, asked_at: Moment) -> T:
        try:
            loaded = self._load()
        except StoreUnavailable as problem:
            self._failed_at, self._cause = read_clocks(self._clocks), problem.operator_detail
            raise
        self._loaded = (asked_at, loaded)
        return loaded


class ConfigurationCache(Cache[Configuration]):
    """Cache of the configuration."""

    what = "the configuration"


class ReceiptKeyCache(Cache[Sequence[ReceiptKey]]):
    """Cache of the public keys of receipts."""

    what = "the list of receipt keys"
