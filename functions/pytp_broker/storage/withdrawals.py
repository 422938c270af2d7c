"""What an operator has withdrawn from a project: yanked releases and deleted files."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

# How long the bytes of a deleted file are kept, for an operator who made a mistake. The lifecycle
# rule of the bucket in template.yaml keeps them as long.
GRACE: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The mark of a deleted file: nobody gets the file, and its name is never used again.

    It stands beside the record of the file, which stays.
    """

    reason: str
    deleted_by: str
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """The withdrawals of a project.

    ``yanked`` has the reason of each yanked release by the release's key, and ``deleted`` the
    tombstone of each deleted file by the file's name.
    """

    yanked: Mapping[str, str]
    deleted: Mapping[str, Tombstone]
