"""Show how an import goes on: a bar on a terminal, a line for each project elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from pytp_broker.cli.command import say
from pytp_broker.cli.import_report import Outcome, Result
from pytp_broker.file_sizes import write_size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress(Protocol):
    """Is told what happens. Many threads count bytes at the same time."""

    def begin(self, project: str, files: int) -> None:
        """Say that the files of a project come next."""

    def count(self, size: int) -> None:
        """Say that bytes have arrived."""

    def end(self, outcome: Outcome) -> None:
        """Say what became of a file."""


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show progress on stderr."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[received]}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield Bar(bar, bar.add_task("reading", total=0, received=write_size(0)))


class Lines:
    """Progress as plain lines, for a log."""

    def begin(self, project: str, files: int) -> None:
        """Print a line for a project."""
        noun = "file" if files == 1 else "files"
        say(f"{project}: {files:,} {noun}", file=sys.stderr)

    def count(self, size: int) -> None:
        """Print nothing: bytes are for the bar."""

    def end(self, outcome: Outcome) -> None:
        """Print a refusal at once."""
        if outcome.result is Result.REFUSED:
            say(f"refused {outcome.name}: {outcome.why}", file=sys.stderr)


class Bar:
    """Progress as a bar, with the files and the bytes."""

    def __init__(self, bar: "RichProgress", task: "TaskID") -> None:
        self._bar, self._task = bar, task
        self._lock = Lock()
        self._files = self._received = 0

    def begin(self, project: str, files: int) -> None:
        """Show the project's name; the whole grows by its files."""
        self._files += files
        self._bar.update(self._task, description=project, total=self._files)

    def count(self, size: int) -> None:
        """Show the bytes."""
        with self._lock:
            self._received += size
            self._bar.update(self._task, received=write_size(self._received))

    def end(self, outcome: Outcome) -> None:
        """Move on by one file."""
        if outcome.filename:
            self._bar.advance(self._task)
