"""Import everything that a source has: project by project, eight files at a time.

Read ``Importer.run`` from top to bottom. What is here already is skipped, without a download where
the source gives the sha256. So an import that was killed is completed by running it again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event
from typing import Final

from pytp_broker.audit.operations import Import
from pytp_broker.cli.import_marks import Marks
from pytp_broker.cli.import_progress import Progress
from pytp_broker.cli.import_project import Desk, ProjectImport
from pytp_broker.cli.import_provenance import ProvenanceWatch
from pytp_broker.cli.import_report import Outcome, Report, Result
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.sources.patience import patiently
from pytp_broker.cli.sources.source import Listing, Source, SourceError, Stray
from pytp_broker.errors import StoreUnavailable
from pytp_broker.index.importing import Transfer
from pytp_broker.index.receipts import Notary, hash_record, make_nonce
from pytp_broker.names import NormalizedName

AT_ONCE: Final = 8
# So many files in a row that a source does not answer for: it is down.
MAX_FAILURES: Final = 10

Task = Callable[[], Outcome]


@contextmanager
def recorded(report: Report, operator: Operator) -> Iterator[Transfer]:
    """Keep an audit record that the import begins, and one of how it ended.

    The second is missing if the import was interrupted. The record of each file names the operator
    and the source too, and its receipt has the hash of the first audit record.
    """
    registry, source = report.registry, report.source
    event = Import(by=operator.name, registry=registry, import_source=source, nonce=make_nonce())
    begun = event.begun()
    operator.record(begun)
    try:
        yield Transfer(registry, source, operator.name, hash_record(begun))
    except StoreUnavailable as problem:
        with suppress(StoreUnavailable):  # then only the first record exists
            operator.record(event.refused(problem))
        raise
    event.imported, event.not_imported = report.imported, len(report.refused)
    operator.record(event.accepted())


class Importer:
    """An import from a source to a registry, which fills a report."""

    def __init__(
        self,
        storage: tuple[Operator, Notary],
        source: Source,
        transfer: Transfer,
        report: Report,
        progress: Progress,
    ) -> None:
        self._operator, notary = storage
        self._report, self._progress = report, progress
        self._stopping = Event()
        self._desk = Desk(
            self._operator, notary, source, transfer, self._count, self._stopping.wait
        )

    def run(self, listing: Listing) -> None:
        """Import every project of a listing; raise StoreUnavailable."""
        for stray in listing.strays:
            self._end(_refuse_stray(stray))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                self._end_all(_in_order(self._tasks(listing.projects), pool))
            finally:  # an interrupt and a failure of the store come this way too
                self._stopping.set()
                pool.shutdown(cancel_futures=True)

    def _end_all(self, outcomes: Iterable[Outcome]) -> None:
        """Take the outcomes, and stop early if the source is down."""
        failures = 0
        for outcome in outcomes:
            self._end(outcome)
            failures = failures + 1 if outcome.is_source_down else 0
            if failures == MAX_FAILURES:
                self._report.stopped = (
                    f"stopped, because the source has not answered {failures} times in a row: "
                    "run the same command again to go on"
                )
                return

    def _tasks(self, projects: Iterable[NormalizedName]) -> Iterator[Task]:
        """Yield what is to be done for each file, reading one page after the other."""
        for project in projects:
            try:
                imported = self._open(project)
            except SourceError as error:
                yield partial(_refuse_project, project, error)
            else:
                for offer in imported.offered.offers:
                    yield partial(imported.take, offer)

    def _open(self, project: NormalizedName) -> ProjectImport:
        desk = self._desk
        offered = patiently(partial(desk.source.read_project, project), desk.wait)
        self._report.left_out += offered.left_out
        self._progress.begin(project, len(offered.offers))
        store, registry = self._operator.store, desk.transfer.registry
        present = {file.filename: file for file in store.list_files(registry, project)}
        withdrawn = store.list_withdrawn(registry, project)
        marks = Marks(offered, registry, withdrawn.yanked, self._operator)
        visible = (file for name, file in present.items() if name not in withdrawn.deleted)
        watch = ProvenanceWatch(visible, self._operator)
        return ProjectImport(desk, offered, present, withdrawn.deleted, marks, watch)

    def _end(self, outcome: Outcome) -> None:
        self._report.add(outcome)
        self._progress.end(outcome)

    def _count(self, size: int) -> None:
        if self._stopping.is_set():
            raise SourceError("the import was stopped")
        self._progress.count(size)


def _in_order(tasks: Iterable[Task], pool: ThreadPoolExecutor) -> Iterator[Outcome]:
    """Yield the outcomes in the order of the tasks, of which few are ahead at any time."""
    waiting: deque[Future[Outcome]] = deque()
    for task in tasks:
        waiting.append(pool.submit(task))
        if len(waiting) == 2 * AT_ONCE:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _refuse_stray(stray: Stray) -> Outcome:
    return Outcome("", stray.name, Result.REFUSED, stray.why)


def _refuse_project(project: NormalizedName, error: SourceError) -> Outcome:
    return Outcome(project, "", Result.REFUSED, str(error), is_source_down=error.may_pass)
