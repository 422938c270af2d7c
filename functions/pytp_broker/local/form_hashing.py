"""Hash the file in a form while the form arrives, so that nobody waits for that afterwards.

The hashes are of a range of the body. Where the file begins is a guess, and the reader of forms
says later what the file is: then the rest of it is hashed, or all of it after a wrong guess.
"""

from typing import Any, Final

from pytp_broker.content import Hashed
from pytp_broker.index.digests import begin_hashes
from pytp_broker.index.forms import algorithms_in, find_file

# What follows the file in most forms: the end of the form, or a few short fields.
_REST_BYTES: Final = 64 * 1024


class FormHasher:
    """Takes the bytes of a body in order. A body that comes in one piece is not hashed."""

    def __init__(self) -> None:
        self._head: bytes | None = None
        self._has_looked = False  # for the file
        self._hashes: dict[str, Any] = {}
        self._start = self._end = 0
        self._rest = b""

    def write(self, octets: bytes) -> None:
        """Take the next bytes."""
        if self._head is None:
            self._head = octets
            return
        if not self._has_looked:
            self._begin(self._head)
        if self._hashes:
            self._take(octets)

    def _begin(self, head: bytes) -> None:
        start, self._head, self._has_looked = find_file(head), b"", True
        if start is not None:
            self._start = self._end = start
            self._hashes = begin_hashes(algorithms_in(head[:start]))
            self._take(head[start:])

    def _take(self, octets: bytes) -> None:
        """Hash what has arrived, but for the last bytes, which may not be of the file."""
        known = self._rest + octets
        ready = memoryview(known)[: max(0, len(known) - _REST_BYTES)]
        for each in self._hashes.values():
            each.update(ready)
        self._end += len(ready)
        self._rest = known[len(ready) :]

    @property
    def hashed(self) -> Hashed | None:
        """Return the hashes; None if no file was found."""
        return Hashed(self._start, self._end, self._hashes) if self._hashes else None
