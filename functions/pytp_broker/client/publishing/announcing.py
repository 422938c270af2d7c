"""Open the sessions of all releases, and announce all files, before a byte is sent.

A registry refuses most of what it refuses then: a project or a release that the token is not for,
a release that is closed, a file that is too large.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from pytp_broker.client.publishing.checks import Release
from pytp_broker.client.publishing.parallel import in_parallel
from pytp_broker.client.publishing.plan import Planned
from pytp_broker.client.publishing.report import ReleaseReport, Result
from pytp_broker.client.publishing.tasks import Task, Work, tasks_of
from pytp_broker.client.uploads.announcing import Announced, Announcement
from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.redaction import and_more


@dataclass(frozen=True, slots=True)
class Announcing:
    """Announces files to sessions, ``jobs`` of them at the same time."""

    work: Work
    jobs: int

    def run(self, planned: Sequence[Planned], reports: Sequence[ReleaseReport]) -> list[Task]:
        """Open a session for each release, announce its missing files, and return what is to send.

        After a refusal there is nothing to send. All are tried, so that the user sees all refusals
        at once, and then all announcements of this run are taken back: they would be in the way of
        the next run, and other runs would wait for these files.
        """
        tasks = [
            task
            for plan, report in zip(planned, reports, strict=True)
            if plan.missing and self._open(report)
            for task in tasks_of(plan, report)
        ]
        in_parallel([partial(self._announce, task) for task in tasks], self.jobs)
        for report in reports:
            self._announce_alone([task for task in tasks if task.release is report])
        if any(tuple(report.failures) for report in reports):
            self._withdraw(tasks)
            return []
        return [task for task in tasks if task.report.result is Result.PLANNED]

    def _open(self, report: ReleaseReport) -> bool:
        """Open or join the session of a release, and say whether it takes files."""
        try:
            report.session = self.work.api.keep_open(self.work.open(report.release))
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
            self.work.board.tell(f"{release.name}: the session also has {names}, of another run")
        for notice in session.notices:
            self.work.board.tell(f"{release.name}: the registry says: {notice}")

    def _announce(self, task: Task) -> None:
        def announce(session: Session) -> Announced | None:
            return Announcement(self.work.api, session, task.file).make()

        try:
            task.announced = self.work.in_session(task, announce)
        except UploadError as error:
            self.work.refuse(task, error)
            return
        task.report.result, task.report.why = Result.PLANNED, ""
        if task.announced is None:
            self.work.end(task, Result.STAGED, "was staged before")

    def _announce_alone(self, tasks: Sequence[Task]) -> None:
        """Ask again for files of a release that conflict, while no other is announced.

        A server need not take several files of a session at once (PEP 694). Then each file is sent
        before the next one is announced, but each was announced once by then.
        """
        conflicts = [task for task in tasks if _is_conflict(task)]
        others = [task for task in tasks if task.announced is not None]
        if not conflicts or not others:
            return
        self._withdraw(others)
        for task in conflicts:
            self._announce(task)
            self._withdraw([task])
        for task in (*conflicts, *others):
            task.is_alone = True

    def _withdraw(self, tasks: Sequence[Task]) -> None:
        in_parallel([partial(self._withdraw_one, task) for task in tasks], self.jobs)

    def _withdraw_one(self, task: Task) -> None:
        announced, task.announced = task.announced, None
        if announced is not None:
            with suppress(UploadError):
                self.work.api.delete_file(announced.upload.url)


def _is_conflict(task: Task) -> bool:
    return task.report.result is Result.REFUSED and task.report.is_conflict
