"""What a deployment costs: `python -m infra.costs` prints the tables of docs/cost.md.

`infra.memory_costs` has what the memory of the functions changes. Everything is a product of three
things that the page shows: how often something happens, what it takes, and AWS's list price. There
is no free tier in it, apart from the one of data transfer.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """AWS's list price of one unit, in dollars."""

    what: str
    dollars: float
    shown: str


# us-east-1, arm64, without taxes. docs/cost.md has the sources and the dates.
PRICES: Final[Mapping[str, Price]] = {
    "api": Price(
        "API Gateway, a request of an HTTP API (each 512 KB of it)", 1 / MILLION, "$1.00 a million"
    ),
    "call": Price("Lambda, a call", 0.2 / MILLION, "$0.20 a million"),
    "gb_s": Price("Lambda, a GB-second", 0.0000133334, "$0.0000133334"),
    "read": Price("DynamoDB on demand, a read unit", 0.125 / MILLION, "$0.125 a million"),
    "write": Price("DynamoDB on demand, a write unit", 0.625 / MILLION, "$0.625 a million"),
    "sign": Price("KMS, a signature with ECC_NIST_P256", 0.15 / 10_000, "$0.15 for 10,000"),
    "put": Price("S3, a PUT", 0.005 / 1_000, "$0.005 for 1,000"),
    "get": Price("S3, a GET", 0.0004 / 1_000, "$0.0004 for 1,000"),
    "stored": Price("S3 Standard, a GB kept for a month", 0.023, "$0.023"),
    "log_mb": Price("CloudWatch Logs, a MB taken in", 0.5 / 1000, "$0.50 a GB"),
    "out": Price("data transfer to the internet, a GB after the first 100", 0.09, "$0.09"),
    "key": Price("KMS, a key for a month", 1, "$1.00"),
    "metric": Price("CloudWatch, a metric of our own for a month", 0.3, "$0.30"),
    "alarm": Price("CloudWatch, a metric of an alarm for a month", 0.1, "$0.10"),
    "backup": Price("DynamoDB, point-in-time recovery of a GB for a month", 0.2, "$0.20"),
}

# What each act takes. The rows and objects are those that the tests count; the times are careful
# roundings of what was measured, with the share of a processor that Lambda gives 512 MB.
ACTS: Final[Mapping[str, Mapping[str, float]]] = {
    # audience, mint and burn; the row of the token is in the index of live tokens, too
    "exchange": {"api": 3, "call": 3, "gb_s": 0.01, "read": 2, "write": 5, "log_mb": 0.003},
    # the file, its metadata and its receipt; file, release and listing
    "file published": {
        "api": 3,
        "call": 1,
        "gb_s": 0.1,
        "read": 20,
        "write": 10,
        "sign": 1,
        "put": 3,
        "log_mb": 0.0015,
    },
    "page read": {"api": 1, "call": 1, "gb_s": 0.015, "read": 4, "log_mb": 0.0006},
    "file read": {"api": 1, "call": 1, "gb_s": 0.01, "read": 3, "get": 1, "log_mb": 0.0006},
}


@dataclass(frozen=True, slots=True)
class Size:
    """What happens in a month, and what is kept."""

    name: str
    releases: int
    files_of_a_release: int
    file_mb: float
    pages: int
    downloads: int
    kept_gb: int
    metrics: int

    def counts(self) -> Mapping[str, float]:
        """Return how often each act happens."""
        return {
            "exchange": self.releases,
            "file published": self.releases * self.files_of_a_release,
            "page read": self.pages,
            "file read": self.downloads,
        }


@dataclass(frozen=True, slots=True)
class Peer:
    """What a hosted registry takes for the same, in dollars; None where we have found no price."""

    name: str
    exchange: float | None
    page: float | None
    gb_kept: float | None
    gb_sent: float | None


# docs/cost.md has the sources and the dates.
PEERS: Final = (
    Peer("AWS CodeArtifact", None, 0.05 / 10_000, 0.05, 0.09),
    Peer("Google Artifact Registry", None, 0, 0.1, None),
    Peer("Cloudsmith", None, 0, 1.5, 1.5),
    Peer("packagecloud", None, None, None, None),
    Peer("Gemfury", None, None, None, None),
)

SIZES: Final = (
    Size("a team", 300, 3, 0.2, 50_000, 20_000, 10, 10),
    Size("a company", 5_000, 5, 1, 2_000_000, 500_000, 500, 20),
    Size("a hosted registry", 50_000, 10, 2, 50_000_000, 10_000_000, 10_000, 30),
)
# The metrics that infra/alarms.yaml looks at; an alarm on several costs as much as several.
ALARM_METRICS: Final = 32
_FREE_GB: Final = 100


def cost(units: Mapping[str, float]) -> float:
    """Return what these units cost, in dollars."""
    return sum(PRICES[name].dollars * count for name, count in units.items())


def lines(size: Size) -> Iterator[tuple[str, float]]:
    """Yield each line of the bill of a month, in dollars."""
    for act, count in size.counts().items():
        yield act, count * cost(ACTS[act])
    yield "files kept", cost({"stored": size.kept_gb})
    downloaded = size.downloads * size.file_mb / 1000
    yield "files sent to the internet", cost({"out": max(0.0, downloaded - _FREE_GB)})
    rows_gb = size.kept_gb / 1000
    yield (
        "key, metrics, alarms, recovery of the table",
        cost({"key": 1, "metric": size.metrics, "alarm": ALARM_METRICS, "backup": rows_gb}),
    )


def price_table() -> str:
    """Return the list prices as a table of Markdown."""
    rows = [f"| {price.what} | {price.shown} |" for price in PRICES.values()]
    return "\n".join(["| What | List price |", "|---|---|", *rows])


def act_table() -> str:
    """Return what each act takes and costs."""
    names = [name for name in PRICES if any(name in units for units in ACTS.values())]
    head = " | ".join(["One", *names, "a million cost"])
    rows = [
        f"| {act} | "
        + " | ".join(f"{units[name]:g}" if name in units else "" for name in names)
        + f" | ${cost(units) * MILLION:,.2f} |"
        for act, units in ACTS.items()
    ]
    return "\n".join([f"| {head} |", "|" + "---|" * (len(names) + 2), *rows])


def size_table() -> str:
    """Return the bill of a month for each size."""
    shown = [
        ("releases", [f"{s.releases:,} of {s.files_of_a_release} files" for s in SIZES]),
        ("size of a file", [f"{s.file_mb:g} MB" for s in SIZES]),
        ("pages read", [f"{s.pages:,}" for s in SIZES]),
        ("files read", [f"{s.downloads:,}" for s in SIZES]),
        ("files kept", [f"{s.kept_gb:,} GB" for s in SIZES]),
    ]
    bills = [dict(lines(size)) for size in SIZES]
    priced = [(f"**{name}**", [f"${bill[name]:,.2f}" for bill in bills]) for name in bills[0]]
    total = ("**together**", [f"**${sum(bill.values()):,.2f}**" for bill in bills])
    rows = [f"| {name} | {' | '.join(cells)} |" for name, cells in (*shown, *priced, total)]
    head = " | ".join(["A month", *(size.name for size in SIZES)])
    return "\n".join([f"| {head} |", "|" + "---|" * (len(SIZES) + 1), *rows])


def peer_table() -> str:
    """Return our prices beside those of hosted registries."""
    ours = Peer(
        "**pytp-broker on AWS**",
        cost(ACTS["exchange"]),
        cost(ACTS["page read"]),
        PRICES["stored"].dollars,
        PRICES["out"].dollars,
    )
    rows = [
        f"| {each.name} | {_shown(each.exchange, MILLION)} | {_shown(each.page, MILLION)} | "
        f"{_shown(each.gb_kept)} | {_shown(each.gb_sent)} |"
        for each in (ours, *PEERS)
    ]
    head = "| | a million exchanges | a million pages | a GB kept for a month | a GB sent |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _shown(dollars: float | None, count: int = 1) -> str:
    if dollars is None:
        return "no price found"
    total = dollars * count
    return f"${total:.2f}" if total >= 0.03 else f"${total:.3f}" if total else "nothing"  # noqa: PLR2004


def main() -> None:
    """Print the four tables."""
    tables = (size_table(), act_table(), price_table(), peer_table())
    sys.stdout.write("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
