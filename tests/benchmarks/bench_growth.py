"""What grows with the number of publishers or of exchanges, and how fast.

Processor time of this process counts. A slope of 1.0 means that ten times as many take ten times as
long. ``PYTP_BENCH_LONG=1`` goes up to 100,000 publishers on both stores, and to 100,000 exchanges,
which takes most of an hour. Run it with `make bench`. It asserts only that every call succeeds.
"""

import gc
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.cli.applying import apply, plan_for
from pytp_broker.cli.operator import Operator
from pytp_broker.config import Loaded, load
from pytp_broker.storage.sqlite import SqliteStore
from tests.benchmarks.bench_exchange import write_audit_as_deployed
from tests.benchmarks.goals import Goals
from tests.benchmarks.growing_memory import PARTS
from tests.support.configurations import github_publisher, registry
from tests.support.emulator import ROOT, create_table
from tests.support.world import World

IS_LONG: Final = os.environ.get("PYTP_BENCH_LONG") == "1"
LARGEST: Final = [100_000] if IS_LONG else []
MINTS: Final = {"sqlite": [10, 1_000, 100_000], "emulator": [10, 1_000, *LARGEST]}
APPLIED: Final = {"sqlite": [1_000, 10_000, *LARGEST], "emulator": [100, 1_000, *LARGEST]}
EXCHANGES: Final = 100_000 if IS_LONG else 18_000
# A file has at most 16 MiB, and a registry on DynamoDB at most 25,000 publishers.
OF_A_FILE: Final = 5_000
NARROWED: Final[Mapping[str, str]] = {"repository_owner_id": "9919", "environment": "release"}
ROUNDS: Final = 9
CALLS: Final = 30
APPLY_ROUNDS: Final = 1 if IS_LONG else 3

Opened = tuple[str, Callable[[], Any]]
# Seconds of processor time for each number of publishers, by what takes them.
Figures = Mapping[str, Mapping[int, float]]


@pytest.fixture(params=["sqlite", "emulator"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Return the name of an engine, and what opens an empty store on it."""
    if request.param == "emulator":
        client = request.getfixturevalue("emulator").client("dynamodb")
        yield "emulator", lambda: DynamoStore(client, create_table(client))
        return
    opened: list[SqliteStore] = []

    def open_file() -> SqliteStore:
        opened.append(SqliteStore(tmp_path / f"{len(opened)}.sqlite3"))
        return opened[-1]

    yield "sqlite", open_file
    for store in opened:
        store.close()


def test_a_mint_against_many_publishers(engine: Opened, tmp_path: Path, goals: Goals) -> None:
    name, open_store = engine
    least, *_, most = counts = MINTS[name]
    worlds = {count: world_of(open_store(), read(tmp_path, count)) for count in counts}
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(ROUNDS):
        for count, world in worlds.items():
            times[count].append(time_mints(world))
    figures = {count: median(each[1:]) for count, each in times.items()}  # the first warms up

    show(f"a mint, {name}", {"one mint": figures}, unit="µs")
    ratio = figures[most] / figures[least]
    goals.at_most("growth", f"mint, {most:,} publishers ({name})", 1.5, ratio, f"of {least}")


def world_of(store: Any, loaded: Loaded) -> World:
    """Return a broker with these publishers beside its own."""
    world = World()
    own = world.store.configuration
    registries = {**own.registries, **loaded.configuration.registries}
    publishers = [*world.store.publishers.values(), *loaded.publishers]
    store.apply(replace(own, registries=registries), publishers)
    world.store = store
    world.start()
    write_audit_as_deployed(world)
    return world


def time_mints(world: World) -> float:
    tokens = [world.token() for _ in range(CALLS)]
    started = time.process_time()
    answers = [world.mint(token) for token in tokens]
    taken = time.process_time() - started
    assert {answer.status for answer in answers} == {HTTPStatus.OK}
    return taken / CALLS


def test_apply_of_many_publishers(engine: Opened, tmp_path: Path, goals: Goals) -> None:
    name, open_store = engine
    time_apply(open_store(), tmp_path, 100)  # warms up
    times: dict[str, dict[int, list[float]]] = {}
    for _ in range(APPLY_ROUNDS):
        for count in APPLIED[name]:
            gc.collect()  # what others have left does not count
            for what, taken in time_apply(open_store(), tmp_path, count).items():
                times.setdefault(what, {}).setdefault(count, []).append(taken / count)
    figures = {what: {n: median(each) for n, each in of.items()} for what, of in times.items()}

    show(f"apply, {name}", figures, unit="µs a publisher")
    small, large, *_ = APPLIED[name]
    for what in ("first", "nothing changed"):
        title = f"apply, {what}, {large:,} ({name}): a publisher"
        ratio = figures[what][large] / figures[what][small]
        goals.at_most("growth", title, 1.3, ratio, f"of {small:,}")


def time_apply(store: Any, folder: Path, count: int) -> dict[str, float]:
    """Return the seconds of each part of an ``apply`` with so many publishers."""
    operator, found = Operator(store, "olive"), {}
    started = time.process_time()

    def taken() -> float:
        nonlocal started
        before, started = started, time.process_time()
        return started - before

    loaded = read(folder, count)
    found["read and check"] = taken()
    for part in ("first", "nothing changed"):
        plan = plan_for(operator, loaded)
        found[f"plan, {part}"] = taken()
        apply(operator, loaded, prune=False, approved=plan)
        found[part] = taken()
    return found


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_over_many_exchanges(tmp_path: Path, goals: Goals) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.growing_memory"]
    paths = os.pathsep.join([str(ROOT / "functions"), str(ROOT)])
    seen = subprocess.run(
        [*command, tmp_path / "broker.sqlite3", str(EXCHANGES)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    sizes = [float(line) for line in seen.stdout.split()]

    print(f"\nMiB after each of {PARTS} times {EXCHANGES // PARTS:,} exchanges:", *sizes)
    first = sizes[1]  # a sixth of them: until then caches fill
    title = f"memory after {EXCHANGES:,} exchanges"
    goals.at_most("growth", title, 1.05, sizes[-1] / first, "of a sixth of them")


def read(folder: Path, count: int) -> Loaded:
    """Return a configuration with so many publishers, from files."""
    paths = []
    for number, start in enumerate(range(0, count, OF_A_FILE)):
        publishers = (
            github_publisher(f"project-{n}", repository=f"org/project-{n}", **NARROWED)
            for n in range(start, min(start + OF_A_FILE, count))
        )
        path = folder / f"{count}-{number}.toml"
        path.write_text(registry(f"registry-{number}", *publishers))
        paths.append(path)
    return load(*paths, allow_loopback=False)


def show(title: str, figures: Figures, unit: str) -> None:
    """Print a line for each part, with its slope from the smallest number to the largest."""
    counts = sorted({count for each in figures.values() for count in each})
    print(
        f"\n{f'{title}, {unit}':34}" + "".join(f"{count:>10,}" for count in counts) + "     slope"
    )
    for what, of in figures.items():
        row = "".join(f"{of[count] * 1e6:10.0f}" for count in counts)
        print(f"{what:34}{row}{slope(of, is_each=unit != 'µs'):10.2f}")


def slope(figures: Mapping[int, float], *, is_each: bool) -> float:
    """Return the power of the number with which the whole grows."""
    least, most = min(figures), max(figures)
    power = math.log(figures[most] / figures[least]) / math.log(most / least)
    return power + is_each
