"""Keep a body while it arrives: a small one in memory, a large one in a file without a name.

A large form is read while it arrives. If its file begins among the first bytes, the body is cut
there: the file is hashed on its way, and needs no copy to be stored.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from pytp_broker.content import Arrived, Content, Held, Opened
from pytp_broker.index.arriving_forms import ArrivingForm
from pytp_broker.local.gateway_events import MAX_ENCODED_BYTES
from pytp_broker.storage.unnamed_files import open_unnamed, write_back


@contextmanager
def arrival(folder: Path | None, form: ArrivingForm | None) -> Iterator["Arrival"]:
    """Keep a body until the context ends; a large one is on the disk of a folder until then."""
    with ExitStack() as stack:
        yield Arrival(lambda: stack.enter_context(open_unnamed(folder)), form)


class Arrival:
    """Takes the bytes of a body in order; ``form`` reads them if they are a form."""

    def __init__(self, open_file: Callable[[], IO[bytes]], form: ArrivingForm | None) -> None:
        self._open_file = open_file
        self._form = form
        self._head = b""
        self._file: IO[bytes] | None = None
        self._size = 0  # of what is in the file

    def write(self, octets: bytes) -> None:
        """Take the next bytes; raise OSError if the disk is full."""
        if self._file is None:
            self._head += octets
            if len(self._head) > MAX_ENCODED_BYTES:
                self._cut(self._head)
        else:
            self._write(self._file, octets)
            if self._form is not None:
                self._form.add(octets)

    def _cut(self, octets: bytes) -> None:
        """Keep on the disk what begins with the file, or everything if that has not begun."""
        start = None if self._form is None else self._form.begin(octets)
        cut = start or 0
        self._head, self._file = octets[:cut], self._open_file()
        self._write(self._file, octets[cut:])

    def _write(self, file: IO[bytes], octets: bytes) -> None:
        file.write(octets)
        self._size += len(octets)

    @property
    def is_kept_as_it_is(self) -> bool:
        """Say whether what is on the disk begins with the file of a form, and needs no copy."""
        return self._file is not None and bool(self._head)

    def write_back(self) -> None:
        """Wait for the disk, as storing the file does: whatever fails here fails there again."""
        if self._file is not None:
            write_back(self._file)

    @property
    def content(self) -> Content:
        """Return what has arrived."""
        if self._file is None:
            return Held(self._head)
        if self._form is None:
            return Arrived(self._head, Opened(self._file, self._size))
        return self._form.arrived(self._head, self._file, self._size)
