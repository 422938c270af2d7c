"""Write a body to the disk in another thread, while the rest of it arrives.

A disk may be slow, and no other request must wait for it. A batch is written at once, because each
change of threads costs as much as writing a few kilobytes.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

# A smaller body never leaves the thread of the server.
BATCH_BYTES: Final = 256 * 1024


class Batches:
    """Takes the chunks of one body. All of them are written when its context ends without error.

    ``write`` is called for one batch at a time. What it raises is raised here, a little later.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[object] | None = None

    async def add(self, chunk: bytes) -> None:
        """Take a chunk; wait for the disk if two batches are on their way."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > BATCH_BYTES:
            await self._settle()
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(None, self._write, self._take())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self._settle()
            self._write(self._take())
            return
        with suppress(OSError):  # the first error counts
            await self._settle()

    def _take(self) -> bytes:
        batch = b"".join(self._chunks)
        self._chunks, self._size = [], 0
        return batch

    async def _settle(self) -> None:
        """Wait until nothing is being written, even if this request is given up meanwhile.

        Otherwise its file would be closed while the other thread writes to it.
        """
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None
