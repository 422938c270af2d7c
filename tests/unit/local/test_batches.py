"""A body is written in batches, in another thread once it is large."""

import asyncio
import errno
import threading
from collections.abc import Callable

import pytest

from pytp_broker.local.batches import BATCH_BYTES, Batches

CHUNK = bytes(100_000)


def write(chunks: int, to: Callable[[bytes], object]) -> None:
    async def act() -> None:
        async with Batches(to) as batches:
            for _ in range(chunks):
                await batches.add(CHUNK)

    asyncio.run(act())


def test_a_small_body_is_written_at_once_and_here() -> None:
    written: list[tuple[int, threading.Thread]] = []

    write(2, lambda batch: written.append((len(batch), threading.current_thread())))

    assert written == [(200_000, threading.current_thread())]


def test_a_large_body_is_written_in_order_and_elsewhere() -> None:
    written: list[tuple[int, bool]] = []
    here = threading.current_thread()

    write(7, lambda batch: written.append((len(batch), threading.current_thread() is here)))

    assert written == [(300_000, False), (300_000, False), (100_000, True)]
    assert BATCH_BYTES < 300_000


@pytest.mark.parametrize("chunks", [1, 3, 20])
def test_a_full_disk_is_told(chunks: int) -> None:
    def fail(_: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write(chunks, fail)


def test_a_request_that_is_given_up_waits_for_the_batch_that_is_written() -> None:
    release, written = threading.Event(), threading.Event()

    def hold(_: bytes) -> None:
        release.wait()
        written.set()
        raise OSError

    async def act() -> None:
        async with Batches(hold) as batches:
            for _ in range(3):
                await batches.add(CHUNK)
            asyncio.get_running_loop().call_soon(release.set)
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(act())

    assert written.is_set()
