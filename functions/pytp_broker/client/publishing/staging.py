"""Bring the files of all releases into their sessions, several at the same time."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from pytp_broker.client.publishing.announcing import Announcing
from pytp_broker.client.publishing.parallel import in_parallel
from pytp_broker.client.publishing.plan import Planned
from pytp_broker.client.publishing.report import ReleaseReport, Result
from pytp_broker.client.publishing.tasks import Task, Work
from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.sending import Delivery, Progress


@dataclass(frozen=True, slots=True)
class Staging:
    """Brings files into sessions, ``jobs`` of them at the same time."""

    work: Work
    jobs: int

    def run(self, planned: Sequence[Planned], reports: Sequence[ReleaseReport]) -> None:
        """Announce the missing files of all releases; if none is refused, send them.

        Every report says what became of its files. All are tried, so that the user sees all
        refusals at once.
        """
        tasks = Announcing(self.work, self.jobs).run(planned, reports)
        together = [task for task in tasks if not task.is_alone]
        in_parallel([partial(self._deliver, task) for task in together], self.jobs)
        for task in tasks:
            if task.is_alone:
                self._deliver(task)
        for report in reports:
            if all(file.result is Result.PRESENT for file in report.files):
                self._leave(report)

    def _leave(self, report: ReleaseReport) -> None:
        """Leave a session that needs nothing of ours; another run has published everything.

        The session goes if it has no file, also none of a run that has joined it meanwhile.
        """
        api = self.work.api
        with suppress(UploadError):
            if report.session is not None and not api.find(report.session.url).files:
                api.cancel(report.session.url)
        report.session, report.is_published = None, True

    def _deliver(self, task: Task) -> None:
        progress = self.work.board.start(task.file)
        try:
            was_sent = self.work.in_session(task, partial(self._bring, task, progress))
        except UploadError as error:
            self.work.refuse(task, error)
            return
        if was_sent:
            self.work.end(task, Result.SENT, "staged")
        else:
            self.work.end(task, Result.STAGED, "was staged before")

    def _bring(self, task: Task, progress: Progress, session: Session) -> bool:
        """Send what is announced, or a file that must be announced again, and say if it is sent."""
        delivery = Delivery(self.work.api, session, task.file, progress)
        announced, task.announced = task.announced, None
        if announced is None:
            return delivery.run()
        delivery.send(announced)
        return True
