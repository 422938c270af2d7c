"""The files that a run brings, each into the session of its release."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from pytp_broker.client.publishing.checks import Release
from pytp_broker.client.publishing.plan import Index, Planned
from pytp_broker.client.publishing.progress import Board
from pytp_broker.client.publishing.report import PRESENT, FileReport, ReleaseReport, Result
from pytp_broker.client.uploads import answers
from pytp_broker.client.uploads.announcing import Announced
from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.api import UploadApi
from pytp_broker.client.uploads.local_files import LocalFile
from pytp_broker.client.uploads.refusals import UploadError

_CONFLICT: Final = 409
# What a server answers to changes of a session that is published or discarded.
_MAY_BE_OVER: Final = frozenset({404, 409, 410})
_TAKES_FILES: Final = frozenset({answers.OPEN, answers.ERROR})

_Done = TypeVar("_Done")


@dataclass(slots=True)
class Task:
    """One file that goes into the session of its release.

    ``is_alone`` says that the server takes it only while it takes no other file of the session.
    """

    release: ReleaseReport
    file: LocalFile
    report: FileReport
    announced: Announced | None = None
    is_alone: bool = False


def tasks_of(plan: Planned, report: ReleaseReport) -> list[Task]:
    """Return a task for each file of a release that is missing."""
    reports = {each.filename: each for each in report.files}
    return [Task(report, file, reports[file.filename]) for file in plan.missing]


@dataclass(frozen=True, slots=True)
class Work:
    """Does a part of a task, and reports what becomes of its file."""

    api: UploadApi
    index: Index
    board: Board

    def in_session(self, task: Task, act: Callable[[Session], _Done]) -> _Done:
        """Act in the session of a task, or in a new one if another run publishes that."""
        session = task.release.session
        assert session is not None  # noqa: S101 - a task is made for an open session
        try:
            return act(session)
        except UploadError as error:
            if error.status not in _MAY_BE_OVER or not self._is_over(session):
                raise
        task.release.session = later = self.open(task.release.release)
        return act(later)

    def open(self, release: Release) -> Session:
        """Open or join the session of a release; raise UploadError.

        One that another run is just publishing is waited for, and followed by a new one.
        """
        session = self.api.open(release.project, release.version)
        if session.status in _TAKES_FILES:
            return session
        return self.api.open(release.project, release.version)

    def _is_over(self, session: Session) -> bool:
        try:
            return self.api.find(session.url).status not in _TAKES_FILES
        except UploadError as error:
            return error.status in _MAY_BE_OVER

    def end(self, task: Task, result: Result, said: str) -> None:
        """Report what became of a file."""
        task.report.result, task.report.why = result, ""
        self.board.end(task.file, said)

    def refuse(self, task: Task, error: UploadError) -> None:
        """Report a refusal, unless another run has just published this very file."""
        report, is_conflict = task.report, error.status == _CONFLICT
        if is_conflict and self._is_published(task.file):
            self.end(task, Result.PRESENT, PRESENT)
            return
        report.result, report.why = Result.REFUSED, str(error)
        report.may_pass, report.is_conflict = error.may_pass, is_conflict
        self.board.end(task.file, f"not staged: {error}")

    def _is_published(self, file: LocalFile) -> bool:
        try:
            return self.index.digests(file.project).get(file.filename) == file.sha256
        except UploadError:
            return False
