"""Bring the files of all releases into their sessions, several at the same time."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from pytp_broker.client.publishing.checks import Release
from pytp_broker.client.publishing.plan import Index, Planned
from pytp_broker.client.publishing.progress import Board
from pytp_broker.client.publishing.report import PRESENT, FileReport, ReleaseReport, Result
from pytp_broker.client.uploads import answers
from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.api import UploadApi
from pytp_broker.client.uploads.local_files import LocalFile
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.sending import Delivery, Progress
from pytp_broker.redaction import and_more

_CONFLICT: Final = 409
# What a server answers to changes of a session that is published or discarded.
_MAY_BE_OVER: Final = frozenset({404, 409, 410})


@dataclass(frozen=True, slots=True)
class _Task:
    """One file that goes into the session of its release."""

    release: ReleaseReport
    file: LocalFile
    report: FileReport


@dataclass(frozen=True, slots=True)
class Staging:
    """Brings files into sessions, ``jobs`` of them at the same time."""

    api: UploadApi
    index: Index
    board: Board
    jobs: int

    def run(self, planned: Sequence[Planned], reports: Sequence[ReleaseReport]) -> None:
        """Open a session for each release, and bring its missing files into it.

        Every report says what became of its files. All are tried, so that the user sees all
        refusals at once.
        """
        tasks = [
            task
            for plan, report in zip(planned, reports, strict=True)
            if plan.missing and self._open(report)
            for task in _tasks(plan, report)
        ]
        in_parallel([partial(self._deliver, task) for task in tasks], self.jobs)
        # A server need not take several files at once (PEP 694): it gets those alone.
        for task in tasks if self.jobs > 1 else ():
            if task.report.result is Result.REFUSED and task.report.is_conflict:
                self._deliver(task)
        for report in reports:
            if all(file.result is Result.PRESENT for file in report.files):
                self._leave(report)

    def _leave(self, report: ReleaseReport) -> None:
        """Leave a session that needs nothing of ours; another run has published everything.

        The session goes if it has no file, also none of a run that has joined it meanwhile.
        """
        with suppress(UploadError):
            if report.session is not None and not self.api.find(report.session.url).files:
                self.api.cancel(report.session.url)
        report.session, report.is_published = None, True

    def _open(self, report: ReleaseReport) -> bool:
        """Open or join the session of a release, and say whether it takes files."""
        try:
            session = self.api.open(report.release.project, report.release.version)
            if session.status not in {answers.OPEN, answers.ERROR}:
                session = self.api.open(report.release.project, report.release.version)
            report.session = self.api.keep_open(session)
            _ = report.session.mechanism
        except UploadError as error:
            report.why, report.may_pass = str(error), error.may_pass
            return False
        self._tell_of(report.session, report.release)
        return True

    def _tell_of(self, session: Session, release: Release) -> None:
        """Say what the user should know of a session before it is published."""
        ours = {file.filename for file in release.files}
        if others := sorted(session.files.keys() - ours):
            names = and_more(others, len(others))
            self.board.tell(f"{release.name}: the session also has {names}, of another run")
        for notice in session.notices:
            self.board.tell(f"{release.name}: the registry says: {notice}")

    def _deliver(self, task: _Task) -> None:
        report = task.report
        progress = self.board.start(task.file)
        try:
            was_sent = self._bring(task, progress)
        except UploadError as error:
            self._refuse(task, error)
            return
        report.result = Result.SENT if was_sent else Result.STAGED
        report.why = ""
        self.board.end(task.file, "staged" if was_sent else "was staged before")

    def _bring(self, task: _Task, progress: Progress) -> bool:
        """Bring a file into its session, or into a new one if another run has published that."""
        session = task.release.session
        assert session is not None  # noqa: S101 - a task is made for an open session
        try:
            return Delivery(self.api, session, task.file, progress).run()
        except UploadError as error:
            if error.status not in _MAY_BE_OVER or not self._is_over(session):
                raise
        release = task.release.release
        task.release.session = later = self.api.open(release.project, release.version)
        return Delivery(self.api, later, task.file, progress).run()

    def _is_over(self, session: Session) -> bool:
        try:
            return self.api.find(session.url).status in {answers.PUBLISHED, answers.CANCELED}
        except UploadError as error:
            return error.status in _MAY_BE_OVER

    def _refuse(self, task: _Task, error: UploadError) -> None:
        """Report a refusal, unless another run has just published this very file."""
        report, is_conflict = task.report, error.status == _CONFLICT
        if is_conflict and self._is_published(task.file):
            report.result, report.why = Result.PRESENT, ""
            self.board.end(task.file, PRESENT)
            return
        report.result, report.why = Result.REFUSED, str(error)
        report.may_pass, report.is_conflict = error.may_pass, is_conflict
        self.board.end(task.file, f"not staged: {error}")

    def _is_published(self, file: LocalFile) -> bool:
        try:
            return self.index.digests(file.project).get(file.filename) == file.sha256
        except UploadError:
            return False


def _tasks(plan: Planned, report: ReleaseReport) -> list[_Task]:
    reports = {each.filename: each for each in report.files}
    return [_Task(report, file, reports[file.filename]) for file in plan.missing]


def in_parallel(calls: Sequence[Callable[[], object]], jobs: int) -> None:
    """Make calls in threads; raise what one raises.

    The threads end with the process, so an interrupt waits for none of them.
    """
    waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    for call in calls:
        waiting.put(call)
    for _ in range(min(jobs, len(calls))):
        Thread(target=_work, args=(waiting, ended), daemon=True).start()
    for _ in calls:
        if (error := ended.get()) is not None:
            raise error


def _work(
    waiting: "SimpleQueue[Callable[[], object]]", ended: "SimpleQueue[BaseException | None]"
) -> None:
    while True:
        try:
            call = waiting.get_nowait()
        except Empty:
            return
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - crosses a thread; it is raised again there
            ended.put(error)
        else:
            ended.put(None)
