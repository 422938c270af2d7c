"""The first seconds of a load that comes from nothing: a simulation of discrete events.

API Gateway lets a request pass while its buckets have tokens. Lambda gives it an environment that
is free, or starts one as fast as it may, and refuses it otherwise. DynamoDB answers while the
buckets of the table and of the partition have units; the function tries once more. A client tries
up to four times.

The model is simpler than AWS, and careful where AWS promises nothing: a bucket of DynamoDB holds
one second, and neither a partition nor the table grows within these seconds.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final, NamedTuple, Self

_SEED: Final = 13
# A function with 512 MB has 0.29 of a processor, and waits 4 ms for each call of DynamoDB.
WARM_SECONDS: Final = {"audience": 0.001, "mint": 0.012, "burn": 0.006}
# What Lambda does before a function starts is assumed. A cold start is that and what
# `infra.memory_costs` has for the function, rounded up.
BEFORE_START_SECONDS: Final = 0.2
COLD_SECONDS: Final = 0.45
_READS: Final = {"mint": 1}
_WRITES: Final = {"mint": 2, "burn": 2}
_PARTITION_READS: Final = 3_000
# The job gets its identity token in between, and publishes before it burns the token.
_THINK_SECONDS: Final = {"audience": 0.0, "mint": 0.3, "burn": 5.0}
# AWS Lambda: new environments of a function in ten seconds, and requests for each concurrency.
_SCALING: Final = 1_000
_SCALING_SECONDS: Final = 10
_REQUESTS_PER_CONCURRENCY: Final = 10
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """A deployment: the parameters of the template, the account's quotas, and its table."""

    name: str
    mint_rate: float
    mint_burst: float
    request_rate: float
    request_burst: float
    account_rate: float = 10_000
    account_burst: float = 5_000
    concurrency: int = 1_000
    table_writes: float = 4_000
    table_reads: float = 12_000

    def changed(self, **changes: Any) -> Self:  # noqa: ANN401 - values of several types
        """Return the setting with these changes."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Load:
    """How many exchanges begin in a second, for how long, from how many repositories."""

    rate: float
    seconds: float
    repositories: int


@dataclass
class Outcome:
    """What became of the exchanges; ``times`` are of mints, from the first try to the token."""

    exchanges: int = 0
    minted: int = 0
    first: int = 0
    throttled: int = 0
    unavailable: int = 0
    cold_starts: int = 0
    times: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Return the time within which this share of the tokens came."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Bucket:
    """A token bucket, full at the beginning."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size = rate, size
        self._left, self._at = size, 0.0

    def take(self, at: float, units: float = 1) -> bool:
        """Take units, if there are enough."""
        self._left = min(self._size, self._left + (at - self._at) * self._rate)
        self._at = at
        if self._left < units:
            return False
        self._left -= units
        return True


class _Try(NamedTuple):
    """A request that a client sends: its kind, when the client began, and its number of attempts.

    Of two at the same moment, the one with the lower number is first.
    """

    at: float
    number: int
    kind: str
    repository: int
    since: float
    attempt: int = 1


class _Functions:
    """The environments of the broker's function."""

    def __init__(self, setting: Setting) -> None:
        self._limit = setting.concurrency
        self._free: list[float] = []  # when each environment is free
        self._scaling = Bucket(_SCALING / _SCALING_SECONDS, _SCALING)
        rate = setting.concurrency * _REQUESTS_PER_CONCURRENCY
        self._requests = Bucket(rate, rate)
        self.cold_starts = 0

    def enter(self, at: float) -> float | None:
        """Return when the handler begins; None if Lambda refuses the request."""
        if not self._requests.take(at):
            return None
        if self._free and self._free[0] <= at:
            heapq.heappop(self._free)
            return at
        if len(self._free) >= self._limit or not self._scaling.take(at):
            return None
        self.cold_starts += 1
        return at + COLD_SECONDS

    def leave(self, at: float) -> None:
        heapq.heappush(self._free, at)


class _Store:
    """The table, and the partition of each repository's publishers."""

    def __init__(self, setting: Setting) -> None:
        self._writes = Bucket(setting.table_writes, setting.table_writes)
        self._reads = Bucket(setting.table_reads, setting.table_reads)
        self._partitions: dict[int, Bucket] = {}

    def answers(self, at: float, request: _Try) -> bool:
        """Say whether every call of a request is answered."""
        reads, writes = _READS.get(request.kind, 0), _WRITES.get(request.kind, 0)
        return self._reads_answered(at, request.repository, reads) and self._writes.take(at, writes)

    def _reads_answered(self, at: float, repository: int, units: int) -> bool:
        if not units:
            return True
        partition = self._partitions.setdefault(
            repository, Bucket(_PARTITION_READS, _PARTITION_READS)
        )
        return partition.take(at, units) and self._reads.take(at, units)


class _Run:
    """A load on a deployment."""

    def __init__(self, setting: Setting, load: Load) -> None:
        self._chance = Random(_SEED)  # noqa: S311 - nothing here is secret
        self._account = Bucket(setting.account_rate, setting.account_burst)
        minting = (setting.mint_rate, setting.mint_burst)
        asking = (setting.request_rate, setting.request_burst)
        self._routes = {
            "audience": Bucket(*asking),
            "mint": Bucket(*minting),
            "burn": Bucket(*minting),
        }
        self._functions = _Functions(setting)
        self._store = _Store(setting)
        self._queue = list(self._arrivals(load))
        self._numbers = len(self._queue)
        self.outcome = Outcome(exchanges=self._numbers)

    def _arrivals(self, load: Load) -> Iterator[_Try]:
        at, number = 0.0, 0
        while (at := at + self._chance.expovariate(load.rate)) < load.seconds:
            repository = self._chance.randrange(load.repositories)
            yield _Try(at, number, "audience", repository, at)
            number += 1

    def play(self) -> Outcome:
        """Let everything happen in its order."""
        heapq.heapify(self._queue)
        while self._queue:
            self._handle(heapq.heappop(self._queue))
        self.outcome.cold_starts = self._functions.cold_starts
        return self.outcome

    def _handle(self, request: _Try) -> None:
        if not (self._account.take(request.at) and self._routes[request.kind].take(request.at)):
            self.outcome.throttled += 1
            self._try_again(request, request.at)
            return
        begin = self._functions.enter(request.at)
        if begin is None:
            self.outcome.unavailable += 1
            self._try_again(request, request.at)
            return
        end = begin + WARM_SECONDS[request.kind] * self._chance.uniform(0.7, 1.6)
        is_answered = self._store.answers(begin, request)
        if not is_answered:  # the function's second attempt
            end += self._chance.random()
            is_answered = self._store.answers(begin, request)
        self._functions.leave(end)
        if is_answered:
            self._go_on(request, end)
        else:
            self.outcome.unavailable += 1
            self._try_again(request, end)

    def _try_again(self, request: _Try, at: float) -> None:
        if request.attempt == _ATTEMPTS:
            return
        later = at + 2 ** (request.attempt - 1) * self._chance.uniform(0.5, 1.5)
        self._push(request._replace(at=later, attempt=request.attempt + 1))

    def _go_on(self, request: _Try, at: float) -> None:
        """Count a token, and let the job send its next request."""
        if request.kind == "mint":
            self.outcome.minted += 1
            self.outcome.first += request.attempt == 1
            self.outcome.times.append(at - request.since)
        following = {"audience": "mint", "mint": "burn"}.get(request.kind)
        if following is not None:
            begin = at + _THINK_SECONDS[following]
            self._push(_Try(begin, 0, following, request.repository, begin))

    def _push(self, request: _Try) -> None:
        self._numbers += 1
        heapq.heappush(self._queue, request._replace(number=self._numbers))


def simulate(setting: Setting, load: Load) -> Outcome:
    """Return what becomes of a load; the same every time."""
    return _Run(setting, load).play()
