"""Receive the body of a request: in time, within a limit, and on disk if it is large.

Many clients may send slowly at the same time. What they have sent so far takes little memory.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pytp_broker.content import Content
from pytp_broker.errors import MalformedRequest, PayloadTooLarge
from pytp_broker.index.arriving_forms import ArrivingForm
from pytp_broker.local.answers import Receive
from pytp_broker.local.arrivals import Arrival, arrival
from pytp_broker.local.batches import Batches


class DisconnectedError(Exception):
    """The client has gone before its request was complete."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a body may be, and how long it may take to arrive.

    For every ``bytes_per_second`` bytes it gets one second more.
    """

    max_bytes: int
    seconds: int
    bytes_per_second: int

    def check(self, length: int) -> None:
        """Check the length of a body; raise PayloadTooLarge."""
        if length > self.max_bytes:
            raise PayloadTooLarge(f"this request may have at most {self.max_bytes // 1024:,} KiB")


@asynccontextmanager
async def received(
    receive: Receive,
    limits: BodyLimits,
    folder: Path | None = None,
    form: ArrivingForm | None = None,
) -> AsyncIterator[Content]:
    """Receive a body, and keep it until the context ends; a large one on the disk of a folder.

    ``form`` reads a large one while it arrives.
    Raises PayloadTooLarge, MalformedRequest, DisconnectedError, and OSError if the disk is full.
    """
    with arrival(folder, form) as body:
        await receive_body(receive, limits, body.write)
        async with _written_back(body):
            yield body.content


@asynccontextmanager
async def _written_back(body: Arrival) -> AsyncIterator[None]:
    """Let the disk take a file that will be stored as it is, while others check what is in it."""
    if not body.is_kept_as_it_is:
        yield
        return
    written = asyncio.get_running_loop().run_in_executor(None, body.write_back)
    try:
        yield
    finally:
        await asyncio.shield(written)


async def receive_body(
    receive: Receive, limits: BodyLimits, write: Callable[[bytes], object]
) -> None:
    """Receive a body, and write it as it comes; raise as ``received`` does."""
    async with Batches(write) as batches:
        try:
            async with asyncio.timeout(limits.seconds) as end:
                await _receive(receive, limits, end, batches)
        except TimeoutError:
            raise MalformedRequest(
                f"the body arrives too slowly: after {limits.seconds} s the server needs at least "
                f"{limits.bytes_per_second // 1024} KiB a second",
                headers={"Connection": "close"},
            ) from None


async def _receive(
    receive: Receive, limits: BodyLimits, end: asyncio.Timeout, batches: Batches
) -> None:
    earliest = end.when() or math.inf
    more, length = True, 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunk = message.get("body", b"")
        more, length = message.get("more_body", False), length + len(chunk)
        limits.check(length)
        await batches.add(chunk)
        end.reschedule(earliest + length / limits.bytes_per_second)
