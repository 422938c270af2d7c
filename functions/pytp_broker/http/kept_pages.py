"""Keep rendered pages in memory, so that a page which nobody has changed is not rendered again.

A page is kept under what shapes it, together with the edition of the project that it shows. The
endpoint must ask the store at every request which edition is current, because a kept page does not
know whether it still is.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from pytp_broker.http.messages import Response

# The 32 MiB of a server hold about a thousand pages of 100 files.
MAX_BYTES: Final = 32 * 1024 * 1024
# A kept page also costs its headers and its place.
_BYTES_BESIDE_BODY: Final = 2048


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page of an edition of a project."""

    edition: str
    response: Response

    @property
    def size(self) -> int:
        """Return about how many bytes it takes in memory."""
        return len(self.response.body) + _BYTES_BESIDE_BODY


class KeptPages:
    """Memory of pages; without room for all, it forgets first the one least recently asked for."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._pages: OrderedDict[Hashable, KeptPage] = OrderedDict()
        self._size = 0

    def find(self, key: Hashable) -> KeptPage | None:
        """Return the page that is kept under a key, of whatever edition."""
        with self._lock:
            found = self._pages.get(key)
            if found is not None:
                self._pages.move_to_end(key)
            return found

    def keep(self, key: Hashable, page: KeptPage) -> None:
        """Keep a page in place of the one under this key, unless it is too large."""
        with self._lock:
            replaced = self._pages.pop(key, None)
            self._size -= replaced.size if replaced else 0
            # One page must not drive out all others.
            if page.size > self._max_bytes // 4:
                return
            self._pages[key] = page
            self._size += page.size
            while self._size > self._max_bytes:
                _, forgotten = self._pages.popitem(last=False)
                self._size -= forgotten.size
