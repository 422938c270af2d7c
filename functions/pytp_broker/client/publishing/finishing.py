"""Publish a release that is staged, together with the files that other runs are sending."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pytp_broker.client.publishing.progress import Board
from pytp_broker.client.publishing.report import ReleaseReport
from pytp_broker.client.uploads.answers import PENDING, PROCESSING, Session
from pytp_broker.client.uploads.api import UploadApi
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.redaction import and_more

# How long to wait for another run, which may have been killed, and how often to look.
WAIT_SECONDS: Final = 300.0
_PAUSE_SECONDS: Final = 5.0
_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True)
class Finishing:
    """Publishes sessions. The jobs of a matrix may work in one: the last one finds it published."""

    api: UploadApi
    board: Board

    def run(self, report: ReleaseReport) -> None:
        """Publish a release, and report why that fails."""
        if report.session is None:
            return
        try:
            report.session = self._publish(report, report.session)
            report.is_published = True
        except UploadError as error:
            report.why, report.may_pass = str(error), error.may_pass

    def _publish(self, report: ReleaseReport, session: Session) -> Session:
        until, told = self.api.clock.now() + WAIT_SECONDS, ""
        seen = _others(report, session)
        while True:
            try:
                return self.api.publish(session)
            except UploadError as error:
                if error.status != _CONFLICT or self.api.clock.now() > until:
                    raise
                before, seen = seen, _others(report, self.api.find(session.url))
                names = _unfinished(seen)
                # What was in the way may be finished since the answer.
                if not names and seen == before:
                    raise
            if names and names != told:
                self.board.tell(f"{report.release.name}: waits for {names}, of another run")
            told = names
            if names:
                self.api.clock.wait(_PAUSE_SECONDS)


def _others(report: ReleaseReport, session: Session) -> Mapping[str, str]:
    """Return the files of other runs in a session, each with its status."""
    ours = {file.filename for file in report.files}
    return {name: file.status for name, file in session.files.items() if name not in ours}


def _unfinished(others: Mapping[str, str]) -> str:
    """Return the names of files that other runs are still sending."""
    names = [name for name, status in others.items() if status in {PENDING, PROCESSING}]
    return and_more(names, len(names))
