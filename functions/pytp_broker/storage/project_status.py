"""The status of a project, which an operator sets (PEP 792)."""

from dataclasses import dataclass
from typing import Final

STATUSES: Final = ("active", "archived", "deprecated", "quarantined")
_CLOSED: Final = frozenset({"archived", "quarantined"})


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """The status of a project and the reason for it, which may be empty."""

    status: str
    reason: str = ""

    @property
    def takes_files(self) -> bool:
        """Say whether the project takes further files."""
        return self.status not in _CLOSED

    @property
    def offers_files(self) -> bool:
        """Say whether installers may have the project's files."""
        return self.status != "quarantined"


# The status of a project that no operator has given one.
ACTIVE: Final = ProjectStatus("active")
