"""What a warm mint takes through the Lambda handler, beside the floor by hand and plain boto3.

The broker function that `make build` makes runs in a process of its own, with the functions' own
Python, on a DynamoDB that answers at once, over TLS. The three ways take turns in one process, ten
calls each, so trust the ratios; the microseconds depend on the machine. Run it with `make bench`.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import pytest

from tests.benchmarks.goals import Goals
from tests.support.cloud import PYTHON, ROOT, need_tools, shared_build
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST
from tests.support.http_events import http_event, stored
from tests.support.instant_store import run_instant_store
from tests.support.mint_worker import FLOOR, HANDLER, PLAIN, Times
from tests.support.signing import Issuer, rsa_key

ROUNDS: Final = 121
CALLS: Final = 10
PATH: Final = "/acme/_/oidc/mint-token"
IDS: Final = {"repository_owner_id": "9919", "repository_id": "70107786"}
CONFIGURATION: Final = registry(
    "acme", github_publisher("widgets", environment="release", **IDS), audience="acme"
)
AREA: Final = "warm mint"


@pytest.fixture
def function(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built broker function."""
    need_tools()
    return shared_build(tmp_path_factory) / "BrokerFunction"


def test_a_warm_mint_against_the_floor_and_plain_boto3(
    tmp_path: Path, function: Path, goals: Goals
) -> None:
    items = stored(CONFIGURATION)
    with run_instant_store(tmp_path, items) as environment:
        times = measure(tmp_path, function, environment, items)

    show(times)
    ours = times[HANDLER]["cpu"]
    floor, plain = ratio(times, HANDLER, FLOOR), ratio(times, PLAIN, HANDLER)
    goals.at_most(AREA, "processor time", 2.5, floor, "of the floor by hand")
    goals.at_least(AREA, "plain boto3", 2, plain, "of ours")
    goals.at_most(AREA, "p99 of processor time", 2, p99(ours) / median(ours), "of p50")


def measure(
    folder: Path, function: Path, environment: dict[str, str], items: list[dict[str, Any]]
) -> Times:
    settings = {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(map(str, (function, ROOT))),
        "PYTP_TABLE": "table",
        "PYTP_SHARED_HOST": HOST,
        "PYTP_DISCLOSURE_KEYS_URL": "https://api.github.com/meta/public_keys/secret_scanning",
    }
    done = subprocess.run(
        [PYTHON, "-m", "tests.support.mint_worker", folder / "function.log"],
        env={**settings, **environment},
        cwd=folder,
        input=json.dumps(task(items)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    times: Times = json.loads(done.stdout)
    return times


def task(items: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = rsa_key("key-1").public_key().public_numbers()
    publisher = next(item for item in items if item["pk"]["S"].startswith("PUBLISHER#"))
    return {
        "rounds": [list(events(CALLS)) for _ in range(ROUNDS)],
        "n": numbers.n,
        "e": numbers.e,
        "query": query_for(publisher["pk"]),
        "put": PUT,
    }


def events(count: int) -> Iterator[str]:
    """Yield what the gateway sends for a mint; an identity token is exchanged only once."""
    issuer = Issuer()
    for _ in range(count):
        body = json.dumps({"token": issuer.token(datetime.now(UTC))})
        yield json.dumps(http_event("POST", PATH, body))


def query_for(key: dict[str, str]) -> dict[str, Any]:
    return {
        "TableName": "table",
        "ConsistentRead": True,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": key},
    }


# As large as the row of a token that is minted.
PUT: Final = {
    "TableName": "table",
    "Item": {
        "pk": {"S": "TOKEN#" + "0" * 32},
        "sk": {"S": "TOKEN"},
        "document": {"S": "x" * 900},
        "registries": {"SS": ["acme"]},
        "ttl": {"N": "1796043600"},
        "listed": {"S": "TOKEN#0"},
    },
    "ConditionExpression": "attribute_not_exists(pk) OR #ttl < :now",
    "ExpressionAttributeNames": {"#ttl": "ttl"},
    "ExpressionAttributeValues": {":now": {"N": "1796040000"}},
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}


def ratio(times: Times, one: str, other: str) -> float:
    """Return how much more processor time one way takes than another."""
    return float(median(times[one]["cpu"]) / median(times[other]["cpu"]))


def p99(times: list[int]) -> float:
    return quantiles(times, n=100)[-1]


def show(times: Times) -> None:
    """Print each way's time, and its ratio to the floor."""
    print(f"\n{'µs':26}  cpu p50  cpu p99  wall p50  wall p99  of the floor")
    for name, each in times.items():
        figures = [f(each[kind]) / 1000 for kind in ("cpu", "wall") for f in (median, p99)]
        print(f"{name:26} {figures[0]:8.0f} {figures[1]:8.0f} ", end="")
        print(f"{figures[2]:9.0f} {figures[3]:9.0f} {ratio(times, name, FLOOR):13.2f}")
