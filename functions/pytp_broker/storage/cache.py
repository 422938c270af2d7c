"""Cache of the configuration, which bounds how long a kill switch takes."""

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from pytp_broker.errors import StoreUnavailable
from pytp_broker.registries import Configuration

# Every kill switch (registry, issuer, everything) works within this time.
CONFIGURATION_MAX_AGE_SECONDS: Final = 10

# Lambda freezes the process between requests: the monotonic clock may stop, and the wall clock may
# be set back. A configuration is fresh only if both clocks agree.
_CLOCKS: Final = (time.monotonic, time.time)
_Moment = tuple[float, ...]


class ConfigurationCache:
    """Cache of the configuration: never older than ten seconds, so it fails closed.

    ``max_age_seconds`` sets a shorter time.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        clocks: Sequence[Callable[[], float]] = _CLOCKS,
        max_age_seconds: float = CONFIGURATION_MAX_AGE_SECONDS,
    ) -> None:
        self._load = load
        self._max_age_seconds = max_age_seconds
        self._clocks = clocks
        self._lock = Lock()
        self._loaded: tuple[_Moment, Configuration] | None = None
        self._failed_at: _Moment = ()  # no failure yet: the empty tuple is less than any moment
        self._cause = ""

    def current(self) -> Configuration:
        """Return the configuration; raise StoreUnavailable when it cannot be read."""
        arrived_at = self._moment()
        with self._lock:
            asked_at = self._moment()
            if self._loaded and self._is_fresh(self._loaded[0], asked_at):
                return self._loaded[1]
            if arrived_at < self._failed_at:
                # This request has waited for a load that failed; it does not wait for another one.
                detail = "the configuration cannot be read"
                raise StoreUnavailable(detail, operator_detail=self._cause)
            return self._reload(asked_at)

    def _moment(self) -> _Moment:
        return tuple(clock() for clock in self._clocks)

    def _is_fresh(self, loaded_at: _Moment, now: _Moment) -> bool:
        """Say whether every clock shows that less than the maximum age has passed."""
        ages = (end - begin for begin, end in zip(loaded_at, now, strict=True))
        return all(0 <= age < self._max_age_seconds for age in ages)

    def _reload(self, asked_at: _Moment) -> Configuration:
        try:
            configuration = self._load()
        except StoreUnavailable as problem:
            self._failed_at, self._cause = self._moment(), problem.operator_detail
            raise
        self._loaded = (asked_at, configuration)
        return configuration
