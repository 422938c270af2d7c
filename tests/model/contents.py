"""What the stores hold at one moment, as a value that can be compared, kept and put back.

Two contents are equal if every row is equal, however each of them came about. So the search knows
again a state that it has seen.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from pytp_broker.content import Held
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.trust.providers.model import Provider
from tests.support.fakes import MemoryFiles, MemoryStore

# The attributes of the stores in memory that are rows; the others count calls.
OF_STORE: Final = (
    "configuration",
    "publishers",
    "trust",
    "tokens",
    "files",
    "releases",
    "reopened",
    "yanked",
    "deleted",
    "statuses",
    "sessions",
    "reserved",
)
_OF_FILES: Final = ("contents", "kept")
# What no scenario changes, and what counts calls.
NOT_ROWS: Final = frozenset(
    ("calls", "key_sets", "refreshes", "receipt_keys", "operator_records", "_failing", "_lock")
)


class Keys:
    """Gives equal values the same key, which is small and hashable."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        # By identity: frozen objects are asked about again and again. They are kept, so that no
        # other object gets the identity of one of them.
        self._known: dict[int, tuple[object, int]] = {}

    def of(self, value: Any) -> Hashable:
        """Return the key of rows, or of what a call is given and returns."""
        if isinstance(value, dict):
            return frozenset((self.of(key), self.of(each)) for key, each in value.items())
        if isinstance(value, list | tuple):
            return tuple(self.of(each) for each in value)
        if isinstance(value, set):
            return frozenset(value)
        if is_dataclass(value):
            return self._of_object(value)
        assert isinstance(value, Hashable)
        return value

    def _of_object(self, value: Any) -> Hashable:
        if isinstance(value, Provider):
            return value.name
        return bytes(value.octets) if isinstance(value, Held) else self._of_dataclass(value)

    def _of_dataclass(self, value: Any) -> int:
        known = self._known.get(id(value))
        if known is None:
            members = tuple(self.of(getattr(value, each.name)) for each in fields(value))
            key = (type(value).__name__, members)
            number = self._numbers.setdefault(key, len(self._numbers))
            known = self._known[id(value)] = (value, number)
        return known[1]


@dataclass(frozen=True, eq=False)
class Contents:
    """The rows of the stores. Equal contents are one object; see ``Shelves.take``."""

    number: int
    rows: Mapping[str, Any]
    octets: Mapping[str, Any]

    def differences(self, other: "Contents") -> frozenset[str]:
        """Return the names of the kinds of rows that are not as in other contents."""
        pairs = ((self.rows, other.rows), (self.octets, other.octets))
        return frozenset(n for mine, others in pairs for n in mine if mine[n] != others[n])

    @property
    def visible(self) -> dict[str, PublishedFile]:
        """Return the files that installers see, by name."""
        deleted = {name for names in self.rows["deleted"].values() for name in names}
        files = (f for f in self.rows["files"].values() if f.filename not in deleted)
        return {file.filename: file for file in files}


class Shelves:
    """The stores in memory that every path shares: put contents there, make a call, take them."""

    def __init__(self, keys: Keys, store: MemoryStore, files: MemoryFiles) -> None:
        self.store, self.files = store, files
        self._keys = keys
        self._taken: dict[Hashable, Contents] = {}

    def put(self, contents: Contents) -> None:
        """Let the stores hold these rows and bytes."""
        for name, rows in contents.rows.items():
            setattr(self.store, name, _copy(rows))
        for name, octets in contents.octets.items():
            setattr(self.files, name, _copy(octets))
        self.store.calls.clear()
        self.files.calls.clear()

    def take(self) -> Contents:
        """Return what the stores hold; the same object for the same rows and bytes."""
        rows = {name: _copy(getattr(self.store, name)) for name in OF_STORE}
        octets = {name: _copy(getattr(self.files, name)) for name in _OF_FILES}
        key = tuple(self._keys.of(each) for each in (*rows.values(), *octets.values()))
        found = self._taken.get(key)
        if found is None:
            found = self._taken[key] = Contents(len(self._taken), rows, octets)
        return found


def _copy(rows: Any) -> Any:
    """Return a copy that shares the frozen rows."""
    if isinstance(rows, dict):
        return {key: _copy(each) if isinstance(each, dict) else each for key, each in rows.items()}
    return set(rows) if isinstance(rows, set) else rows
