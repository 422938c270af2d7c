"""Remember for ten seconds whose token was verified for reading.

An installer asks for many pages with one token. Only the first of them makes us ask the store.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final, TypeAlias

from pytp_broker.clocks import CLOCKS, Clocks, Moment, is_fresh, read_clocks

# A token that was burned, or whose publisher was removed, reads for this time at most.
MAX_AGE_SECONDS: Final = 10
# About 300 bytes each. The reader who was verified first is forgotten first.
MAX_READERS: Final = 10_000

# The name of a registry and the hash of a token, which is not the token.
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reader:
    """What must still be checked at every request of a reader whose token was verified.

    ``signer`` is the issuer that must be enabled, or None for a token that an operator made.
    ``verified_at`` is the moment at which the check began.
    """

    signer: str | None
    expires_at: datetime
    verified_at: Moment


class KnownReaders:
    """Memory of verified readers. A refusal is never remembered."""

    def __init__(self, clocks: Clocks = CLOCKS) -> None:
        self._clocks = clocks
        self._lock = Lock()
        self._readers: OrderedDict[Key, Reader] = OrderedDict()

    def now(self) -> Moment:
        """Return the present moment, as a reader keeps it."""
        return read_clocks(self._clocks)

    def find(self, key: Key) -> Reader | None:
        """Return the reader, if the token was verified less than ten seconds ago."""
        with self._lock:
            reader = self._readers.get(key)
        if reader is None or not is_fresh(reader.verified_at, self.now(), MAX_AGE_SECONDS):
            return None
        return reader

    def add(self, key: Key, reader: Reader) -> None:
        """Remember a reader."""
        with self._lock:
            self._readers[key] = reader
            self._readers.move_to_end(key)
            self._forget(self.now())

    def _forget(self, now: Moment) -> None:
        """Forget the readers whose check is too old, and the oldest ones beyond the maximum."""
        while self._readers:
            oldest = next(iter(self._readers.values()))
            is_known = is_fresh(oldest.verified_at, now, MAX_AGE_SECONDS)
            if is_known and len(self._readers) <= MAX_READERS:
                break
            self._readers.popitem(last=False)
