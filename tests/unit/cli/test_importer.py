"""An import from a source of the test's own: what goes on at the same time, and how it is shown."""

import io
from collections.abc import Generator
from threading import Barrier

import pytest
from rich.console import Console
from rich.progress import Progress

from pytp_broker.cli.import_progress import Bar, Lines
from pytp_broker.cli.import_report import Outcome, Report, Result
from pytp_broker.cli.importer import AT_ONCE, Importer
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.sources.source import Listing, Stray, Stream
from pytp_broker.index.importing import Transfer
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import NormalizedName, normalize
from tests.support.distributions import wheel
from tests.support.fakes import MemoryFiles, MemoryStore
from tests.support.receipts import AUDIT, notary

TRANSFER = Transfer("acme", "a test", "user olive", AUDIT)


class Together:
    """A source that sends nothing before eight files are asked for at the same time."""

    name = "a test"
    is_index = False

    def __init__(self) -> None:
        self.barrier = Barrier(AT_ONCE, timeout=10)

    def list_projects(self) -> Listing:
        return Listing([normalize("widgets")])

    def read_project(self, project: NormalizedName) -> OfferedProject:
        names = (wheel(version=f"1.{number}").filename for number in range(AT_ONCE))
        return OfferedProject(project, tuple(Offer(name, name, {}) for name in names))

    def fetch(self, offer: Offer) -> Stream:
        return Stream(self.pieces(offer), None)

    def pieces(self, offer: Offer) -> Generator[bytes]:
        self.barrier.wait()
        yield wheel(version=offer.filename.split("-")[1]).content

    def close(self) -> None: ...


def importer(source: Together) -> tuple[Importer, Report]:
    report = Report("acme", source.name)
    storage = (Operator(MemoryStore(), "user olive"), notary(MemoryFiles()))
    return Importer(storage, source, TRANSFER, report, Lines()), report


def test_eight_files_are_imported_at_a_time() -> None:
    source = Together()
    made, report = importer(source)

    made.run(source.list_projects())

    assert (report.imported, report.refused) == (AT_ONCE, [])


def test_an_import_that_stops_does_not_wait_for_the_rest_of_a_file() -> None:
    class Endless(Together):
        def read_project(self, project: NormalizedName) -> OfferedProject:
            if project == "gadgets":
                self.barrier.wait()  # the file of the other project is on its way
                raise KeyboardInterrupt
            return OfferedProject(project, (Offer(wheel().filename, "", {}),))

        def pieces(self, offer: Offer) -> Generator[bytes]:
            yield b"x"
            self.barrier.wait()
            while True:
                yield b"x"

    source = Endless()
    source.barrier = Barrier(2, timeout=10)
    made, report = importer(source)

    with pytest.raises(KeyboardInterrupt):
        made.run(Listing([normalize("widgets"), normalize("gadgets")]))

    assert report.imported == 0


def test_a_bar_counts_files_and_not_refused_projects() -> None:
    screen = io.StringIO()
    with Progress(console=Console(file=screen)) as shown:
        bar = Bar(shown, shown.add_task("", total=0, received=""))
        bar.begin("widgets", 2)
        bar.count(3_000_000)
        bar.end(Outcome("widgets", wheel().filename, Result.IMPORTED))
        bar.end(Outcome("gadgets", "", Result.REFUSED, "answers 404"))

        (task,) = shown.tasks
        assert (task.completed, task.total, task.fields["received"]) == (1, 2, "3.0 MB")


def test_a_report_says_why_an_import_stopped() -> None:
    report = Report("acme", "a test", stopped="stopped, because the source is gone")

    assert list(report.lines())[-1] == "stopped, because the source is gone"
    assert not report.is_complete


def test_a_stray_is_refused_even_if_nothing_else_is_there() -> None:
    made, report = importer(Together())

    made.run(Listing([], [Stray("x.egg", "no wheel")]))

    assert [(each.name, each.why) for each in report.refused] == [("x.egg", "no wheel")]
