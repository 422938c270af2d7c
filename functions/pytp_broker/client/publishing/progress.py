"""Show how a publication goes on: bars on a terminal, a line for each file elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from pytp_broker.client.uploads.local_files import LocalFile
from pytp_broker.client.uploads.sending import Progress
from pytp_broker.file_sizes import write_size
from pytp_broker.redaction import legible

_LARGE: Final = 20_000_000

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Board(Protocol):
    """Shows the progress of all files. Many threads use it at the same time."""

    def expect(self, size: int) -> None:
        """Say how many bytes there are in all."""

    def start(self, file: LocalFile) -> Progress:
        """Say that a file comes next, and return what is told how it goes on."""

    def end(self, file: LocalFile, said: str) -> None:
        """Say what became of a file."""

    def tell(self, sentence: str) -> None:
        """Print a sentence."""


@contextmanager
def shown_board() -> Iterator[Board]:
    """Show progress on stderr."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        yield Bars(bars)


class Lines:
    """Progress as plain lines, for a log."""

    def expect(self, size: int) -> None:
        """Print nothing: each file says its own size."""

    def start(self, file: LocalFile) -> Progress:
        """Print that the file is on its way."""
        self.tell(f"{file.filename}: {write_size(file.size)}")
        return _Fifths(file, self.tell)

    def end(self, file: LocalFile, said: str) -> None:
        """Print what became of the file."""
        self.tell(f"{file.filename}: {said}")

    def tell(self, sentence: str) -> None:
        """Print a sentence, made safe for a log.

        It is one write, so that the lines of two threads do not mix.
        """
        sys.stderr.write(f"{legible(sentence)}\n")
        sys.stderr.flush()


class _Fifths:
    """Progress of one file in a log: a line for each fifth of a large one.

    Some CIs end a job that prints nothing for some minutes.
    """

    def __init__(self, file: LocalFile, tell: Callable[[str], None]) -> None:
        self._file, self._tell = file, tell
        self._sent = 0

    def begin(self) -> None:
        """Start from the beginning, perhaps again."""
        if self._sent:
            self._tell(f"{self._file.filename}: sent again, from the beginning")
        self._sent = 0

    def count(self, size: int) -> None:
        """Print a line if another fifth is sent."""
        before, self._sent = self._sent, self._sent + size
        fifth = self._file.size / 5
        is_next = int(before / fifth) < int(self._sent / fifth) and self._sent < self._file.size
        if self._file.size >= _LARGE and is_next:
            sent, whole = write_size(self._sent), write_size(self._file.size)
            self._tell(f"{self._file.filename}: {sent} of {whole}")


class Bars:
    """Progress as a bar for each file, and one for all."""

    def __init__(self, bars: "RichProgress") -> None:
        self._bars = bars
        self._total = bars.add_task("all files", total=0)
        self._tasks: dict[str, TaskID] = {}

    def expect(self, size: int) -> None:
        """Show how many bytes there are in all."""
        self._bars.update(self._total, total=size)

    def start(self, file: LocalFile) -> Progress:
        """Show a bar for the file."""
        task = self._bars.add_task(legible(file.filename), total=file.size)
        self._tasks[file.filename] = task
        return _Bar(self._bars, task, self._total)

    def end(self, file: LocalFile, said: str) -> None:
        """Print what became of the file in place of its bar."""
        task = self._tasks.pop(file.filename, None)
        if task is not None:
            self._bars.remove_task(task)
        self.tell(f"{file.filename}: {said}")

    def tell(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        self._bars.console.print(legible(sentence), markup=False, highlight=False)


class _Bar:
    """The bar of one file, which also moves the one of all files."""

    def __init__(self, bars: "RichProgress", task: "TaskID", total: "TaskID") -> None:
        self._bars, self._task, self._total = bars, task, total
        self._sent = 0

    def begin(self) -> None:
        """Start the bar from its beginning, perhaps again."""
        self._bars.update(self._task, completed=0)
        self._bars.advance(self._total, -self._sent)
        self._sent = 0

    def count(self, size: int) -> None:
        """Move both bars on."""
        self._sent += size
        self._bars.advance(self._task, size)
        self._bars.advance(self._total, size)
