"""What every source of an import can do, and how it says that it cannot."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import NormalizedName


class SourceError(Exception):
    """A source does not give what we ask for; the text says what we saw, and has no secret.

    ``may_pass`` says that the same request may succeed later; ``wait_seconds`` is how long the
    source asks us to wait before.
    """

    def __init__(self, text: str, *, may_pass: bool = False, wait_seconds: float = 0) -> None:
        super().__init__(text)
        self.may_pass = may_pass
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class Stray:
    """Something that a source has and that belongs to no project, and why it is refused."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that a source has: its projects, and what cannot be one."""

    projects: Sequence[NormalizedName]
    strays: Sequence[Stray] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """The content of a file as it arrives, and when it was last changed if the source says so."""

    pieces: Generator[bytes]
    modified_at: datetime | None


class Source(Protocol):
    """A source of files. Many threads may fetch at the same time; every method may raise."""

    @property
    def name(self) -> str:
        """Return the source as we show and record it: without credentials."""

    @property
    def is_index(self) -> bool:
        """Say whether it is another index, whose pages should have a digest of each file."""

    def list_projects(self) -> Listing:
        """Return the projects; raise SourceError."""

    def read_project(self, project: NormalizedName) -> OfferedProject:
        """Return what the source offers for a project; raise SourceError."""

    def fetch(self, offer: Offer) -> Stream:
        """Return the content of a file; this raises SourceError, and so do the pieces."""

    def close(self) -> None:
        """Close every connection."""
