"""A process that exchanges tokens, and prints how much memory it has after each part of them.

``python -m tests.benchmarks.growing_memory FILE COUNT`` prints MiB, after each twelfth.
"""

import sys
from http import HTTPStatus
from pathlib import Path
from typing import Final

from pytp_broker.storage.sqlite import SqliteStore
from tests.benchmarks.bench_exchange import write_audit_as_deployed
from tests.support.world import World

PARTS: Final = 12
_PAGES: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = 4096


def main(file: str, count: int) -> None:
    """Exchange so many tokens, each of a job of its own."""
    world = World()
    store = SqliteStore(file)
    store.apply(world.store.configuration, list(world.store.publishers.values()))
    world.store = store  # type: ignore[assignment]
    world.start()
    write_audit_as_deployed(world)
    for _ in range(PARTS):
        for _ in range(count // PARTS):
            assert world.mint(world.token()).status == HTTPStatus.OK
        print(f"{_resident_mib():.2f}")
    store.close()


def _resident_mib() -> float:
    return int(_PAGES.read_text().split()[1]) * _PAGE_BYTES / 1024**2


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
