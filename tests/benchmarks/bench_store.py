"""How long an exchange waits for the disk while others exchange too: SQLite, durable.

The ratio of p99 to p50 is what counts: no client should wait much longer than the others. Run it
with `make bench`. It asserts nothing.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from statistics import quantiles

import pytest

from pytp_broker.storage.sqlite import SqliteStore
from tests.benchmarks.bench_exchange import write_audit_as_deployed
from tests.support.world import World

EXCHANGES = 1600


@pytest.mark.parametrize("threads", [1, 8, 32])
def test_exchanges_at_the_same_time(tmp_path: Path, threads: int) -> None:
    world = World()
    store = SqliteStore(tmp_path / "broker.sqlite3")
    store.apply(world.store.configuration, list(world.store.publishers.values()))
    world.store = store  # type: ignore[assignment]
    world.start()
    write_audit_as_deployed(world)
    tokens = [world.token() for _ in range(EXCHANGES)]

    refused: list[str] = []

    def exchange(token: str) -> float:
        started = time.perf_counter()
        refused.extend([token] * (world.mint(token).status != HTTPStatus.OK))
        return time.perf_counter() - started

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        times = list(pool.map(exchange, tokens))
    rate = EXCHANGES / (time.perf_counter() - began)
    store.close()

    steps = quantiles(times, n=100)
    p50, p99 = steps[49] * 1000, steps[98] * 1000
    print()
    print(f"{threads:2} at once  {rate:5.0f}/s  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms", end="")
    print(f"  {p99 / p50:5.1f}  refused {len(refused)}")
