"""Count refusals by source; a source that has caused too many must wait.

Only refusals count, so an honest caller never pays, and each instance keeps its own count in
memory, so nobody pays a round trip. The gateway's throttle counts every request before a function
sees it. A source that ignores the order to wait can therefore still use up the throttle. Only
something in front of the gateway, such as `infra/firewall.yaml`, can stop it.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from threading import Lock
from typing import Final, NamedTuple

from pytp_broker.errors import TooManyRequests

SECONDS: Final = 60
# The table stays small under attack: the source that was quiet for longest is forgotten first.
MAX_SOURCES: Final = 10_000

# A caller that has one IPv6 address usually has 2**64 of them.
IPV6_PREFIX_BITS: Final = 64

Source = tuple[str, str]  # which registry, and from which network


def network_of(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in address:  # every IPv6 address has one
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, IPV6_PREFIX_BITS), strict=False))


class _Bucket(NamedTuple):
    spent: float
    at: float


_EMPTY: Final = _Bucket(0.0, 0.0)


class RefusalBudget:
    """A budget of refusals for each source, which recovers fully within a minute.

    The minute is measured by this process: if Lambda freezes the function meanwhile, a source may
    wait for longer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._buckets: OrderedDict[Source, _Bucket] = OrderedDict()

    def count_sources(self) -> int:
        """Return of how many sources refusals are counted now."""
        return len(self._buckets)

    def check(self, source: Source, per_minute: int) -> None:
        """Raise TooManyRequests while the source has no refusal left."""
        with self._lock:
            excess = self._spent_now(source, per_minute) - per_minute
        if excess >= 0:
            seconds = math.floor(excess * SECONDS / per_minute) + 1
            raise TooManyRequests(
                "too many exchanges from this address were refused: correct them, then try again",
                retry_after_seconds=seconds,
            )

    def charge(self, source: Source, per_minute: int) -> None:
        """Count a refusal."""
        with self._lock:
            spent = self._spent_now(source, per_minute) + 1
            self._buckets[source] = _Bucket(spent, self._clock())
            self._buckets.move_to_end(source)
            if len(self._buckets) > MAX_SOURCES:
                self._buckets.popitem(last=False)

    def _spent_now(self, source: Source, per_minute: int) -> float:
        bucket = self._buckets.get(source, _EMPTY)
        return max(0.0, bucket.spent - (self._clock() - bucket.at) * per_minute / SECONDS)
