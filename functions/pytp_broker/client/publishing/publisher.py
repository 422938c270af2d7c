"""The story of a publication: look, plan, stage everything, then publish."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytp_broker.client.publishing.checks import Release
from pytp_broker.client.publishing.destination import Destination
from pytp_broker.client.publishing.finishing import Finishing
from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.publishing.plan import Index, Planned, make_plan
from pytp_broker.client.publishing.progress import Board
from pytp_broker.client.publishing.report import PRESENT, FileReport, ReleaseReport, Report, Result
from pytp_broker.client.publishing.staging import Staging
from pytp_broker.client.publishing.tasks import Work
from pytp_broker.client.uploads.api import UploadApi
from pytp_broker.client.uploads.legacy import LegacyApi
from pytp_broker.client.uploads.local_files import LocalFile
from pytp_broker.client.uploads.refusals import UploadError

UPLOAD_API = "Upload API 2.0"
LEGACY_API = "legacy API"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user wants: to stage only, or to see what would happen; files at the same time."""

    is_stage: bool = False
    is_dry_run: bool = False
    jobs: int = 4


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes releases to one destination; ``api`` is None where there is only the legacy API."""

    destination: Destination
    index: Index
    api: UploadApi | None
    legacy: LegacyApi
    board: Board
    options: Options

    def run(self, releases: Sequence[Release]) -> Report:
        """Publish the releases and return what became of them.

        Raises PublishError if something is wrong before a byte is sent.
        """
        if self.options.is_stage and self.api is None:
            raise PublishError(
                f"{self.destination.upload_url} offers no Upload API 2.0, so nothing can be staged "
                "there: publish without --stage"
            )
        planned = self._plan(releases)
        report = Report(self.destination.upload_url, UPLOAD_API if self.api else LEGACY_API)
        report.releases = [_report_of(plan) for plan in planned]
        self._announce(planned, report)
        if not self.options.is_dry_run:
            self._carry_out(planned, report)
        return report

    def _plan(self, releases: Sequence[Release]) -> list[Planned]:
        try:
            return make_plan(releases, self.index)
        except UploadError as error:
            raise PublishError(str(error), may_pass=error.may_pass) from None

    def _announce(self, planned: Sequence[Planned], report: Report) -> None:
        self.board.expect(sum(file.size for plan in planned for file in plan.missing))
        self.board.tell(f"{report.api} at {report.url}")
        for plan in planned:
            for file in plan.present:
                self.board.end(file, PRESENT)

    def _carry_out(self, planned: Sequence[Planned], report: Report) -> None:
        if self.api is None:
            self._send_forms(planned, report)
            return
        work = Work(self.api, self.index, self.board)
        Staging(work, self.options.jobs).run(planned, report.releases)
        if not self.options.is_stage and not report.failures:
            finishing = Finishing(self.api, self.board)
            for release in report.releases:
                finishing.run(release)

    def _send_forms(self, planned: Sequence[Planned], report: Report) -> None:
        """Send one form after the other; the first refusal ends it, because each is published."""
        for plan, release in zip(planned, report.releases, strict=True):
            reports = {each.filename: each for each in release.files}
            for file in plan.missing:
                self._send_form(file, reports[file.filename])
                if report.failures:
                    return
            release.is_published = True

    def _send_form(self, file: LocalFile, report: FileReport) -> None:
        progress = self.board.start(file)
        try:
            self.legacy.upload(file, progress)
        except UploadError as error:
            report.result, report.why = Result.REFUSED, str(error)
            report.may_pass = error.may_pass
            self.board.end(file, "not published")
            return
        report.result = Result.SENT
        self.board.end(file, "published")


def _report_of(plan: Planned) -> ReleaseReport:
    present = set(plan.present)
    files = [
        FileReport(file.filename, file.size, Result.PRESENT if file in present else Result.PLANNED)
        for file in plan.release.files
    ]
    return ReleaseReport(plan.release, files, is_published=not plan.missing)
