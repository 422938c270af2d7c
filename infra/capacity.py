"""How much a deployment on AWS takes: `python -m infra.capacity` prints the tables of its page.

The first two tables are arithmetic: what an act takes, and which limit comes first. Where that is
not enough (cold starts, buckets that run empty, clients that try again), `infra.simulation` plays
the first seconds of a load that comes from nothing.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from infra.simulation import WARM_SECONDS, Load, Outcome, Setting, simulate

# What each act takes in units of DynamoDB by the first part of the partition key, in a function
# that is warm. tests/contract/test_act_costs.py counts them. `index` is the index of live tokens.
READS: Final[Mapping[str, Mapping[str, int]]] = {
    "mint": {"PUBLISHER": 1},
    "burn": {},
    "verify": {"TOKEN": 1, "USE": 1, "TRUST": 1},
    "upload": {
        "TOKEN": 1,
        "USE": 1,
        "TRUST": 1,
        "PROJECT": 3,
        "YANKED": 1,
        "STATUS": 1,
        "REOPENED": 1,
        "LISTING": 2,
    },
    "page": {"LISTING": 2, "STATUS": 1},
}
WRITES: Final[Mapping[str, Mapping[str, int]]] = {
    "mint": {"TOKEN": 2, "index": 1},
    "burn": {"TOKEN": 2},
    "verify": {},
    "upload": {"PROJECT": 2, "LISTING": 3, "REGISTRY": 1},
    "page": {},
}
CALLS: Final[Mapping[str, int]] = {"mint": 2, "burn": 1, "verify": 1, "upload": 11, "page": 1}
OBJECTS: Final[Mapping[str, int]] = {"upload": 3}
SIGNATURES: Final[Mapping[str, int]] = {"upload": 1}

RATES: Final = (1, 100, 10_000)
# An exchange has three requests: for the audience, for the token, and to burn it.
_REQUESTS: Final = 3
_SMALLEST: Final = 0.01
_INDEX_SHARDS: Final = 16
# The time of the three requests in warm functions.
_EXCHANGE_SECONDS: Final = sum(WARM_SECONDS.values())


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, what a load takes of it, and what to do about it. ``quota`` is AWS's default."""

    what: str
    unit: str
    quota: float
    taken: Callable[[float], float]
    cure: str

    def share(self, rate: float) -> float:
        """Return the share of the limit that so many exchanges a second take."""
        return self.taken(rate) / self.quota


def _units(table: Mapping[str, Mapping[str, int]], *acts: str) -> int:
    return sum(sum(table[act].values()) for act in acts)


# docs/capacity.md has the sources of these numbers and their dates.
LIMITS: Final = (
    Limit(
        "`MintRate` of the template", "mints/s", 100, lambda r: r, "raise `MintRate`, `MintBurst`"
    ),
    Limit(
        "`RequestRate` of the template, for audiences",
        "requests/s",
        200,
        lambda r: r,
        "raise `RequestRate`, `RequestBurst`",
    ),
    Limit(
        "API Gateway, requests of an account",
        "requests/s",
        10_000,
        lambda r: _REQUESTS * r,
        "a quota of API Gateway",
    ),
    Limit(
        "Lambda, concurrency of an account",
        "at a time",
        1_000,
        lambda r: r * _EXCHANGE_SECONDS,
        "a quota of Lambda",
    ),
    Limit(
        "Lambda, ten requests a second for each of that concurrency",
        "requests/s",
        10_000,
        lambda r: _REQUESTS * r,
        "the same quota",
    ),
    Limit(
        "DynamoDB, writes of a new table",
        "units/s",
        4_000,
        lambda r: r * (_units(WRITES, "mint", "burn") - WRITES["mint"]["index"]),
        "warm throughput of the table, or half an hour at each doubling",
    ),
    Limit(
        "DynamoDB, reads of a new table",
        "units/s",
        12_000,
        lambda r: r * _units(READS, "mint", "burn"),
        "the same",
    ),
    Limit(
        "DynamoDB, reads of one repository's publishers",
        "units/s",
        3_000,
        lambda r: r * READS["mint"]["PUBLISHER"],
        "nothing: the jobs of one repository share a partition",
    ),
    Limit(
        "DynamoDB, writes to a shard of the index of live tokens",
        "units/s",
        1_000,
        lambda r: r * WRITES["mint"]["index"] / _INDEX_SHARDS,
        "more shards",
    ),
)
_DEFAULT: Final = Setting("as deployed", 100, 200, 200, 400)
_RAISED: Final = Setting(
    "everything raised",
    *(30_000, 30_000, 30_000, 30_000),
    account_rate=60_000,
    account_burst=30_000,
    concurrency=6_000,
    table_writes=80_000,
    table_reads=40_000,
)
_COLD_TABLE: Final = _RAISED.changed(name="the table not warmed", table_writes=4_000)
PLAYED: Final = (
    (_DEFAULT, Load(1, 120, 1)),
    (_DEFAULT, Load(100, 20, 50)),
    (_DEFAULT, Load(100, 20, 1)),
    (_DEFAULT, Load(10_000, 1, 5_000)),
    (_COLD_TABLE, Load(10_000, 2, 5_000)),
    (_RAISED, Load(10_000, 1, 5_000)),
    (_RAISED, Load(10_000, 2, 1)),
)


def act_table() -> str:
    """Return what each act takes."""
    head = "| Act | calls to DynamoDB | read units | write units | PUT to S3 | signatures of KMS |"
    rows = [
        f"| {act} | {CALLS[act]} | {_units(READS, act)} | {_units(WRITES, act)} "
        f"| {OBJECTS.get(act, 0)} | {SIGNATURES.get(act, 0)} |"
        for act in CALLS
    ]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def limit_table() -> str:
    """Return each limit, the share of it that a load takes, and what to raise."""
    rates = [f"{rate:,}/s" for rate in RATES]
    head = f"| Limit | Default | {' | '.join(rates)} | Raise |"
    rows = [
        f"| {limit.what} | {limit.quota:,.0f} {limit.unit} | "
        + " | ".join(_shown(limit.share(rate)) for rate in RATES)
        + f" | {limit.cure} |"
        for limit in LIMITS
    ]
    return "\n".join([head, "|" + "---|" * (len(RATES) + 3), *rows])


def _shown(share: float) -> str:
    text = f"{share:.0%}" if share >= _SMALLEST else "<1%"
    return f"**{text}**" if share > 1 else text


def played_table() -> str:
    """Return what the simulation says of the first seconds of a load."""
    head = (
        "| Exchanges | for | Deployment | Repositories | mints answered at once | exchanges done "
        "| 429 | 503 | cold starts | mint p50 | p99 |"
    )
    rows = [_played(setting, load, simulate(setting, load)) for setting, load in PLAYED]
    return "\n".join([head, "|" + "---|" * 11, *rows])


def _played(setting: Setting, load: Load, outcome: Outcome) -> str:
    cells = (
        f"{load.rate:,}/s",
        f"{load.seconds:g} s",
        setting.name,
        f"{load.repositories:,}",
        f"{outcome.first / outcome.exchanges:.0%}",
        f"{outcome.minted / outcome.exchanges:.0%}",
        f"{outcome.throttled:,}",
        f"{outcome.unavailable:,}",
        f"{outcome.cold_starts:,}",
        f"{outcome.quantile(0.5) * 1000:,.0f} ms",
        f"{outcome.quantile(0.99) * 1000:,.0f} ms",
    )
    return f"| {' | '.join(cells)} |"


def tables() -> Iterator[tuple[str, str]]:
    """Yield each table of docs/capacity.md with the name of its place."""
    yield "acts", act_table()
    yield "limits", limit_table()
    yield "simulation", played_table()


def main() -> None:
    """Print the tables."""
    sys.stdout.write("\n\n".join(table for _, table in tables()) + "\n")


if __name__ == "__main__":
    main()
