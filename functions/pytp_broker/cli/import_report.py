"""What became of each file of an import, and the report of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pytp_broker.audit.record import AuditRecord
from pytp_broker.file_sizes import write_size
from pytp_broker.redaction import and_more, legible


class Result(Enum):
    """What became of a file."""

    IMPORTED = "imported"
    PRESENT = "present"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file, or of a whole project if ``filename`` is empty.

    ``why`` is the reason of a refusal, or a remark on another result. ``is_source_down`` says that
    the source did not answer.
    """

    project: str
    filename: str
    result: Result
    why: str = ""
    size: int = 0
    is_source_down: bool = False

    @property
    def name(self) -> str:
        """Return the file's name, or the project's."""
        return self.filename or f"the project {self.project}"

    def document(self) -> dict[str, str]:
        """Return the outcome as JSON types."""
        return {
            "project": legible(self.project),
            "filename": legible(self.filename),
            "why": legible(self.why),
        }


@dataclass(slots=True)
class Report:
    """The outcomes of an import; files without a reason or remark are only counted."""

    registry: str
    source: str
    imported: int = 0
    present: int = 0
    left_out: int = 0
    size: int = 0
    refused: list[Outcome] = field(default_factory=list)
    remarks: list[Outcome] = field(default_factory=list)
    stopped: str = ""
    without_timestamp: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Say whether everything that the source has is here now."""
        return not self.refused and not self.stopped

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        if outcome.result is Result.REFUSED:
            self.refused.append(outcome)
            return
        self.imported += outcome.result is Result.IMPORTED
        self.present += outcome.result is Result.PRESENT
        self.size += outcome.size
        if outcome.why:
            self.remarks.append(outcome)

    def miss_timestamp(self, record: AuditRecord) -> None:
        """Note a file whose receipt has no timestamp, as an audit record says it."""
        self.without_timestamp.append(str(record.facts["operator_detail"]))

    def document(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "registry": self.registry,
            "source": self.source,
            "imported": self.imported,
            "bytes": self.size,
            "present": self.present,
            "left_out": self.left_out,
            "refused": [outcome.document() for outcome in self.refused],
            "remarks": [outcome.document() for outcome in self.remarks],
            "without_timestamp": len(self.without_timestamp),
            "stopped": self.stopped,
        }

    def lines(self) -> Iterator[str]:
        """Return the report for a reader."""
        yield (
            f"imported {_files(self.imported)} ({write_size(self.size)}) into {self.registry} "
            f"from {self.source}"
        )
        if self.present:
            yield f"{_files(self.present)} {_was(self.present)} here already"
        if self.left_out:
            yield f"{_files(self.left_out)} {_was(self.left_out)} left out: not a distribution"
        for why, names in self._grouped_remarks().items():
            yield f"{why}: {and_more(names, len(names))}"
        for why in self.without_timestamp[:1]:
            yield f"{_files(len(self.without_timestamp))} got no timestamp: {legible(why)}"
        if self.refused:
            yield f"refused {_files(len(self.refused))}:"
            yield from (f"  {outcome.name}: {legible(outcome.why)}" for outcome in self.refused)
        if self.stopped:
            yield self.stopped

    def _grouped_remarks(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {}
        for outcome in self.remarks:
            grouped.setdefault(outcome.why, []).append(outcome.name)
        return grouped


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
