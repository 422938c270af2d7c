"""`pytp-broker serve` beside peryx, on the same machine in one run, over kept TLS connections.

peryx is a registry in Rust that speaks PyPI's Trusted Publishing, too. Both have the same issuer,
certificate, clients and files, and their defaults. Latency and requests a second depend on the
machine, whose processors server and clients share; trust the ratios. A third server beside them, in
Python, does the least that a durable mint needs. peryx needs minutes to import 11,010 files. Run it
with `make bench`. It asserts only that all answer.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import pytest

from tests.benchmarks.bench_serve import processor_time
from tests.benchmarks.goals import Goals
from tests.support.distributions import (
    CONTENT_TYPE,
    Distribution,
    form,
    noise,
    wheel,
    wheel_members,
)
from tests.support.kept import KeptTls, write_request
from tests.support.least_mint import LeastMint, least_mint
from tests.support.peers import PERYX, Ours, Peryx, side_by_side

pytestmark = pytest.mark.skipif(not PERYX.is_file(), reason="no .venv-peers: `make bench` makes it")

CLIENTS: Final = (1, 32)
MINTS: Final = 960
NEW_CONNECTIONS: Final = 320
ROUNDS: Final = 5
UPLOADS: Final = 30
MEGABYTE: Final = 1_000_000
FILES: Final = {"ten-files": 10, "thousand-files": 1000, "ten-thousand-files": 10_000}
PAGE_SECONDS: Final = 2
JSON_PAGE: Final = "Accept: application/vnd.pypi.simple.v1+json"
Pair = tuple[Ours, Peryx]
Minter = Ours | Peryx | LeastMint


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with side_by_side(tmp_path_factory.mktemp("peers")) as pair:
        yield pair


def show(what: str, figures: Sequence[float], unit: str, *, is_rate: bool = False) -> None:
    """Print what both did, and how many times better the better one was."""
    ours, peryx = figures
    ratio = (peryx / ours if is_rate else ours / peryx) if min(figures) else 0.0
    better = f"peryx {ratio:.1f} times" if ratio >= 1 else f"ours {1 / ratio:.1f} times"
    print(f"{what:52}{ours:12,.2f}{peryx:12,.2f} {unit:10} {better}")


def connect(peer: Minter) -> KeptTls:
    return KeptTls(peer.url, peer.ca_file)


def mint_request(peer: Minter, **changes: Any) -> bytes:
    body = json.dumps({"token": peer.issuer.identity(**changes)}).encode()
    return write_request("POST", peer.mint, body, "Content-Type: application/json")


def mint(peer: Ours | Peryx, kept: KeptTls) -> str:
    status, _, body = kept.ask(mint_request(peer))
    assert status == 200, body
    return str(json.loads(body)["token"])


def together(connections: Sequence[KeptTls], requests: Sequence[bytes]) -> list[float]:
    """Return how long each request took, when they go over so many connections at a time."""

    def run(connection: KeptTls, own: Sequence[bytes]) -> list[float]:
        answers = [connection.time(request) for request in own]
        assert {status for status, _ in answers} == {200}
        return [seconds for _, seconds in answers]

    clients = len(connections)
    with ThreadPoolExecutor(clients) as pool:
        parts = pool.map(run, connections, [requests[number::clients] for number in range(clients)])
        return [seconds for part in parts for seconds in part]


@dataclass(frozen=True)
class Round:
    """Mints of one peer in one round: seconds of a median and of a slow one, and of processor."""

    median: float
    slow: float
    processor: float
    rate: float


def test_mint(peers: Pair, goals: Goals, tmp_path: Path) -> None:
    print(f"\n{'':52}{'pytp-broker':>12}{'peryx':>12}            better")
    for clients in CLIENTS:
        with least_beside(peers, tmp_path / f"least-{clients}") as least:
            minters = (*peers, least)
            rounds = [[measure_mints(each, clients) for each in minters] for _ in range(ROUNDS)]
        ours, peryx, floor = (typical([each[number] for each in rounds]) for number in range(3))
        name = f"mint, {clients} clients"
        show(f"{name}: p50", [ours.median * 1000, peryx.median * 1000], "ms")
        show(f"{name}: p99", [ours.slow * 1000, peryx.slow * 1000], "ms")
        show(f"{name}: processor time each", [ours.processor * 1000, peryx.processor * 1000], "ms")
        show(name, [ours.rate, peryx.rate], "a second", is_rate=True)
        show_least(name, floor, ours)
        if clients == 1:
            goals.at_most("serve", "mint, p50, one client", 4, ours.median / peryx.median, "peryx")
        else:
            share = ours.rate / peryx.rate
            goals.at_least("serve", f"mints a second, {clients} clients", 0.5, share, "of peryx")
    rates = [[rate_of_new_connections(peer) for peer in peers] for _ in range(ROUNDS)]
    name = f"mint, each over a connection of its own, {CLIENTS[-1]} clients"
    show(name, [median(each) for each in zip(*rates, strict=True)], "a second", is_rate=True)
    print(f"the disk makes {flushes_a_second(tmp_path):,.0f} small writes a second durable")


def show_least(name: str, least: Round, ours: Round) -> None:
    p50, processor = least.median * 1000, least.processor * 1000
    times = ours.processor / least.processor
    print(f"{name}, the least in Python: p50 {p50:.2f} ms, {least.rate:,.0f} a second, and")
    print(f"    {processor:.2f} ms of processor time each; ours takes {times:.1f} times as much")


def least_beside(peers: Pair, folder: Path) -> AbstractContextManager[LeastMint]:
    ours, _ = peers
    return least_mint(folder, ours.issuer, ours.folder / "data" / "tls")


def typical(rounds: Sequence[Round]) -> Round:
    """Return the median of each figure: other work on the machine spoils single rounds."""
    columns = zip(*map(astuple, rounds), strict=True)
    return Round(*map(median, columns))


def measure_mints(peer: Minter, clients: int) -> Round:
    """Measure mints over kept connections: their handshakes are over before the clock starts."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(peer)) for _ in range(clients)]
        together(connections, [mint_request(peer) for _ in range(2 * clients)])
        requests = [mint_request(peer) for _ in range(MINTS)]
        before, started = processor_time(peer.pid), time.perf_counter()
        waits = together(connections, requests)
        rate = MINTS / (time.perf_counter() - started)
        processor = (processor_time(peer.pid) - before) / MINTS
    return Round(median(waits), quantiles(waits, n=100)[98], processor, rate)


def rate_of_new_connections(peer: Ours | Peryx) -> float:
    """Return how many jobs a second get a token, if each connects first, as jobs do."""
    requests = [mint_request(peer) for _ in range(NEW_CONNECTIONS)]

    def connect_and_ask(request: bytes) -> int:
        with connect(peer) as kept:
            return kept.ask(request)[0]

    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS[-1]) as pool:
        assert set(pool.map(connect_and_ask, requests)) == {200}
    return NEW_CONNECTIONS / (time.perf_counter() - started)


def flushes_a_second(folder: Path) -> float:
    """Return how often the disk can be told to keep what was written: once for each commit."""
    with (folder / "flushed").open("wb", buffering=0) as file:
        count, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < 1:
            file.write(bytes(4096))
            os.fsync(file.fileno())
            count += 1
    return count / elapsed


def test_upload_of_a_wheel_of_one_megabyte(peers: Pair) -> None:
    members = {"widgets/noise": noise(MEGABYTE)}
    wheels = [
        wheel("widgets", f"2.{n}", members={**wheel_members("widgets", f"2.{n}"), **members})
        for n in range(UPLOADS)
    ]
    found = [measure_uploads(peer, wheels) for peer in peers]
    print()
    show("upload of 1 MB: p50", [seconds * 1000 for seconds, _ in found], "ms")
    show("upload of 1 MB: processor time", [used * 1000 for _, used in found], "ms")


def measure_uploads(peer: Ours | Peryx, wheels: Sequence[Distribution]) -> tuple[float, float]:
    with connect(peer) as kept:
        headers = (f"Content-Type: {CONTENT_TYPE}", f"Authorization: Bearer {mint(peer, kept)}")
        requests = [write_request("POST", peer.legacy, form(each), *headers) for each in wheels]
        before = processor_time(peer.pid)
        answers = [kept.time(request) for request in requests]
        processor = (processor_time(peer.pid) - before) / len(wheels)
    assert {status for status, _ in answers} == {200}
    return median(seconds for _, seconds in answers), processor


def test_pages(peers: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    for project, count in FILES.items():
        for number in range(count):
            file = wheel(project, f"1.{number}")
            (folder / file.filename).write_bytes(file.content)
    seconds = [fill(peer, folder) for peer in peers]
    print()
    show(f"import of {sum(FILES.values()):,} files", seconds, "s")
    for project, count in FILES.items():
        found = [measure_page(peer, project, count) for peer in peers]
        name = f"page of {count:,} files"
        show(name, [rate for rate, _ in found], "a second", is_rate=True)
        show(f"{name}: processor time", [used * 1000 for _, used in found], "ms")
        asked_again(name, peers, project)


def fill(peer: Ours | Peryx, folder: Path) -> float:
    peer.stop()
    started = time.perf_counter()
    peer.fill(folder)
    seconds = time.perf_counter() - started
    peer.start()
    return seconds


def measure_page(peer: Ours | Peryx, project: str, count: int) -> tuple[float, float]:
    """Return how many pages come in a second on one connection, and what each takes."""
    request = write_request("GET", peer.simple.format(project), b"", JSON_PAGE)
    with connect(peer) as kept:
        status, _, body = kept.ask(request)
        assert status == 200
        assert len(json.loads(body)["files"]) == count
        return in_a_row(peer, kept, request, 200)


def asked_again(name: str, peers: Pair, project: str) -> None:
    """Show what a page costs that the client has; a server without ETag sends it again."""
    found = []
    for peer in peers:
        path = peer.simple.format(project)
        with connect(peer) as kept:
            tag = tag_of(kept.ask(write_request("GET", path, b"", JSON_PAGE))[1])
            if tag is not None:
                again = write_request("GET", path, b"", JSON_PAGE, f"If-None-Match: {tag}")
                found.append((peer, in_a_row(peer, kept, again, 304)))
    for peer, (rate, used) in found:
        print(
            f"{name}, 304 of {peer.name}: {rate:,.0f} a second, {used * 1000:.2f} ms of processor"
        )
    for peer in peers:
        if peer not in [other for other, _ in found]:
            print(f"{name}: {peer.name} sends no ETag, so it answers no 304")


def tag_of(head: bytes) -> str | None:
    lines = head.decode("latin-1").split("\r\n")
    tags = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("etag:")]
    return tags[0] if tags else None


def in_a_row(
    peer: Ours | Peryx, kept: KeptTls, request: bytes, expected: int
) -> tuple[float, float]:
    count, before, started = 0, processor_time(peer.pid), time.perf_counter()
    while (elapsed := time.perf_counter() - started) < PAGE_SECONDS:
        status, _, _ = kept.ask(request)
        assert status == expected
        count += 1
    return count / elapsed, (processor_time(peer.pid) - before) / count


def test_an_identity_token_after_a_restart(peers: Pair) -> None:
    print()
    for peer in peers:
        request = mint_request(peer)
        with connect(peer) as kept:
            assert kept.ask(request)[0] == 200
            again = kept.ask(request)[0]
        peer.restart()
        with connect(peer) as kept:
            status, _, body = kept.ask(request)
        became = "minted again" if status == 200 else f"refused: {said(body)}"
        print(f"the same identity token, {peer.name}: again {again}; after a restart {became}")


REFUSED: Final[Mapping[str, Callable[[], Mapping[str, Any]]]] = {
    "another workflow's environment": lambda: {"environment": "staging"},
    "another repository": lambda: {
        "repository": "octo-org/gadgets",
        "sub": "repo:octo-org/gadgets:environment:release",
    },
    "expired": lambda: {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600},
    "another audience": lambda: {"aud": "pypi"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_refusal_says(peers: Pair, name: str) -> None:
    print(f"\nrefused, {name}:")
    for peer in peers:
        with connect(peer) as kept:
            status, _, body = kept.ask(mint_request(peer, **REFUSED[name]()))
        assert status == 422
        print(f"  {peer.name:12} {status} {said(body)}")


def said(body: bytes) -> str:
    document = json.loads(body)
    return str(document.get("detail") or document.get("message"))


def test_memory(peers: Pair) -> None:
    print()
    figures = [resident(peer.pid) for peer in peers]
    show("memory after all of this", figures, "MiB")


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
