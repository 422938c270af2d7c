"""Keep a body while it arrives: a small one in memory, a large one in a file without a name.

The body of an upload is cut where the file in it seems to begin. So that file is hashed while it
comes, and needs no copy to be stored. The reader of forms says later what the file is: if we cut
elsewhere, it is hashed and copied then.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from pytp_broker.content import Arrived, Content, Held, Opened
from pytp_broker.index.forms import algorithms_in, find_file
from pytp_broker.local.gateway_events import MAX_ENCODED_BYTES
from pytp_broker.local.running_hashes import RunningHashes
from pytp_broker.storage.unnamed_files import open_unnamed


@contextmanager
def arrival(folder: Path | None) -> Iterator["Arrival"]:
    """Keep a body until the context ends; a large one is on the disk of a folder until then."""
    with ExitStack() as stack:
        yield Arrival(lambda: stack.enter_context(open_unnamed(folder)))


class Arrival:
    """Takes the bytes of a body in order."""

    def __init__(self, open_file: Callable[[], IO[bytes]]) -> None:
        self._open_file = open_file
        self._head = b""
        self._rest: _Rest | None = None

    def write(self, octets: bytes) -> None:
        """Take the next bytes; raise OSError if the disk is full."""
        if self._rest is not None:
            self._rest.write(octets)
            return
        self._head += octets
        if len(self._head) > MAX_ENCODED_BYTES:
            self._cut(self._head, find_file(self._head))

    def _cut(self, octets: bytes, start: int | None) -> None:
        """Leave on the disk what begins with the file; all of it if no file seems to begin."""
        cut = start or 0
        algorithms = [] if start is None else algorithms_in(octets[:cut])
        self._head, self._rest = octets[:cut], _Rest(self._open_file(), RunningHashes(algorithms))
        self._rest.write(octets[cut:])

    @property
    def content(self) -> Content:
        """Return what has arrived."""
        return Held(self._head) if self._rest is None else Arrived(self._head, self._rest.content)


class _Rest:
    """What of a body goes to the disk, and is hashed on its way."""

    def __init__(self, file: IO[bytes], hashes: RunningHashes) -> None:
        self._file, self._hashes = file, hashes
        self._size = 0

    def write(self, octets: bytes) -> None:
        self._file.write(octets)
        self._hashes.write(octets)
        self._size += len(octets)

    @property
    def content(self) -> Opened:
        return Opened(self._file, self._size, self._hashes.hashed)
