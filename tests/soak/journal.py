"""What the clients of a soak did and what they were answered: one line of JSON for each act.

The journal is all that the judgement at the end knows of the run. Each line is on the disk before
the client goes on, so that a driver that is killed has not forgotten what the server promised.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self

# What became of a request whose answer the client did not get.
LOST: Final = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An act: ``kind`` says what it was, ``facts`` say of what; a fault has no status.

    ``begin`` and ``end`` are Unix times. ``status`` is the status of an HTTP answer or of a
    command, and None if there was no answer.
    """

    kind: str
    begin: float
    end: float
    status: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def overlaps(self, begin: float, end: float) -> bool:
        """Say whether the act was under way at some moment of a time."""
        return self.begin <= end and begin <= self.end


class Journal:
    """The file of a run, to which every thread of the driver writes."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._file = path.open("a")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, entry: Entry) -> None:
        line = json.dumps(asdict(entry))
        with self._lock:
            self._file.write(f"{line}\n")
            self._file.flush()


def read(path: Path) -> Iterator[Entry]:
    """Yield the acts of a run, in the order in which they ended."""
    with path.open() as file:
        for line in file:
            yield Entry(**json.loads(line))
