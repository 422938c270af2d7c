"""Cache of the configuration, which bounds how long a kill switch takes."""

from collections.abc import Callable
from threading import Lock
from typing import Final

from pytp_broker.clocks import CLOCKS, Clocks, Moment, is_fresh, read_clocks
from pytp_broker.errors import StoreUnavailable
from pytp_broker.registries import Configuration

# Every kill switch (registry, issuer, everything) works within this time.
CONFIGURATION_MAX_AGE_SECONDS: Final = 10


class ConfigurationCache:
    """Cache of the configuration: never older than ten seconds, so it fails closed.

    ``max_age_seconds`` sets a shorter time.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        clocks: Clocks = CLOCKS,
        max_age_seconds: float = CONFIGURATION_MAX_AGE_SECONDS,
    ) -> None:
        self._load = load
        self._max_age_seconds = max_age_seconds
        self._clocks = clocks
        self._lock = Lock()
        self._loaded: tuple[Moment, Configuration] | None = None
        self._failed_at: Moment = ()  # no failure yet: the empty tuple is less than any moment
        self._cause = ""

    def current(self) -> Configuration:
        """Return the configuration; raise StoreUnavailable when it cannot be read."""
        arrived_at = read_clocks(self._clocks)
        with self._lock:
            asked_at = read_clocks(self._clocks)
            if self._loaded and is_fresh(self._loaded[0], asked_at, self._max_age_seconds):
                return self._loaded[1]
            if arrived_at < self._failed_at:
                # This request has waited for a load that failed; it does not wait for another one.
                detail = "the configuration cannot be read"
                raise StoreUnavailable(detail, operator_detail=self._cause)
            return self._reload(asked_at)

    def _reload(self, asked_at: Moment) -> Configuration:
        try:
            configuration = self._load()
        except StoreUnavailable as problem:
            self._failed_at, self._cause = read_clocks(self._clocks), problem.operator_detail
            raise
        self._loaded = (asked_at, configuration)
        return configuration
