"""Hash a file while it arrives, so that nobody waits for that afterwards."""

from collections.abc import Iterable
from typing import Final

from pytp_broker.content import Hashed
from pytp_broker.index.digests import begin_hashes

# What follows the file in most forms: the end of the form, or a few short fields.
_REST_BYTES: Final = 64 * 1024


class RunningHashes:
    """Hashes of all that has arrived but for the last bytes, which may not be of the file."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = begin_hashes(algorithms)
        self._size = 0
        self._rest = b""

    def write(self, octets: bytes) -> None:
        """Take the next bytes."""
        if not self._hashes:
            return
        known = self._rest + octets
        ready = memoryview(known)[: max(0, len(known) - _REST_BYTES)]
        for each in self._hashes.values():
            each.update(ready)
        self._size += len(ready)
        self._rest = known[len(ready) :]

    @property
    def hashed(self) -> Hashed | None:
        """Return the hashes; None if there are none."""
        return Hashed(self._size, self._hashes) if self._hashes else None
