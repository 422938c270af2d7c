"""What became of each file and each release."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from pytp_broker.client.publishing.checks import Release
from pytp_broker.client.uploads.answers import Session
from pytp_broker.file_sizes import write_size


class Result(Enum):
    """What became of a file."""

    PRESENT = "present"
    STAGED = "staged"
    SENT = "sent"
    REFUSED = "refused"
    PLANNED = "planned"


# What is said of a file that need not be sent.
PRESENT: Final = "is published already, with the same contents"
_BEFORE: Final = {Result.STAGED: "staged before", Result.PRESENT: "published before"}


@dataclass(slots=True)
class FileReport:
    """A file, what became of it, and why."""

    filename: str
    size: int
    result: Result = Result.PLANNED
    why: str = ""
    may_pass: bool = False
    is_conflict: bool = False

    def document(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "filename": self.filename,
            "size": self.size,
            "result": self.result.value,
            "why": self.why,
        }


@dataclass(slots=True)
class ReleaseReport:
    """A release: its session if there is one, and whether it is published."""

    release: Release
    files: list[FileReport] = field(default_factory=list)
    session: Session | None = None
    is_published: bool = False
    why: str = ""
    may_pass: bool = False

    @property
    def has_staged(self) -> bool:
        """Say whether a file of this run is staged."""
        return any(file.result in {Result.SENT, Result.STAGED} for file in self.files)

    @property
    def failures(self) -> Iterator[tuple[str, bool]]:
        """Yield why the release is not published, and whether that may pass."""
        for file in self.files:
            if file.result is Result.REFUSED:
                yield f"{file.filename}: {file.why}", file.may_pass
        if self.why:
            yield f"{self.release.name}: {self.why}", self.may_pass

    def document(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "project": self.release.project,
            "version": self.release.version,
            "published": self.is_published,
            "session": self.session and self.session.url,
            "stage": self._stage_url,
            "why": self.why,
            "files": [file.document() for file in self.files],
        }

    @property
    def _stage_url(self) -> str | None:
        """Return the address of the preview, which ends when the session is published."""
        return None if self.session is None or self.is_published else self.session.stage_url

    def summary(self) -> str:
        """Return a sentence for a reader."""
        sent = [file for file in self.files if file.result is Result.SENT]
        size = write_size(sum(file.size for file in sent))
        parts = [f"{count_files(len(sent))} sent ({size})"]
        for result, said in _BEFORE.items():
            if count := sum(file.result is result for file in self.files):
                parts.append(f"{count_files(count)} {said}")
        return f"{self.release.name}: {', '.join(parts)}"


@dataclass(slots=True)
class Report:
    """The releases of a run, and by which API they went."""

    url: str
    api: str
    releases: list[ReleaseReport] = field(default_factory=list)

    @property
    def failures(self) -> list[tuple[str, bool]]:
        """Return what failed, and whether that may pass."""
        return [failure for release in self.releases for failure in release.failures]

    def document(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        releases = [release.document() for release in self.releases]
        return {"url": self.url, "api": self.api, "releases": releases}


def session_command(action: str, url: str, session: Session) -> str:
    """Return the command line that acts on a session of the registry at an upload URL.

    The server chose the address, and a person copies the line into a shell.
    """
    return f"pytp-broker session {action} --url {shlex.quote(url)} {shlex.quote(session.url)}"


def count_files(count: int) -> str:
    """Return how many files, for a reader."""
    return "1 file" if count == 1 else f"{count:,} files"
