"""What a project's page costs: beside pypiserver and devpi, and as the project grows.

Beside the others it is processor time of the server's processes, over plain HTTP, with one client
and the same 100 files. Growth is processor time of this process, on SQLite and on an emulator of
DynamoDB. Run it with `make bench`. It asserts only that pages are answered.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import requests

from pytp_broker.aws.dynamodb.file_rows import file_item
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.dynamodb.reservations import project_item
from pytp_broker.aws.dynamodb.table import attributes
from pytp_broker.demo.process import ServerProcess
from pytp_broker.endpoints import read
from pytp_broker.endpoints.routing import respond
from pytp_broker.http.kept_pages import KeptPages
from pytp_broker.http.messages import Request, Response
from pytp_broker.registries import PUBLIC, Configuration, Registry
from pytp_broker.services import Index, build, build_index
from pytp_broker.storage.data_folder import DATABASE
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.verifier import NoVerifier
from tests.benchmarks.goals import Goals
from tests.contract.test_page_costs import published
from tests.support.distributions import wheel
from tests.support.emulator import create_table, run_emulator
from tests.support.fakes import MemoryFiles
from tests.support.indexes import devpi, running, servers
from tests.support.metered import MeteredBucket
from tests.support.ports import free_port
from tests.support.samples import file

__all__ = ["servers"]

FILES: Final = 100
ROUNDS: Final = 5
REQUESTS: Final = 100
SIZES: Final = (10, 1000, 10_000)
JSON: Final = "application/vnd.pypi.simple.v1+json"
HTML: Final = "text/html"
PLACE: Final = ("acme", "widgets")
CONFIGURATION: Final = Configuration(registries={"acme": Registry("acme", (), access=PUBLIC)})


# Beside other indexes


@dataclass(frozen=True)
class Server:
    """A server, and the word in the command line by which its processes are found."""

    url: str
    word: str

    def cost(self, session: requests.Session, **headers: str) -> float:
        """Return the processor time of a page, in seconds."""
        before = self._processor_time()
        for _ in range(REQUESTS):
            answer = session.get(self.url, headers=headers)
            assert answer.status_code in {200, 304}, answer.text
        return (self._processor_time() - before) / REQUESTS

    def _processor_time(self) -> float:
        return sum(processor_time(folder) for folder in processes(self.word))


def processes(word: str) -> Iterator[Path]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                yield folder
        except OSError:  # it has ended
            continue


def processor_time(folder: Path) -> float:
    """Return the processor time of a process's threads so far, in seconds.

    Linux counts it here in nanoseconds; a process's own figure has ticks of ten milliseconds.
    """
    threads = (folder / "task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


@contextmanager
def ours(folder: Path) -> Iterator[Server]:
    """Serve a project with the files; a page needs their records alone."""
    data, config = folder / "data", folder / "broker.toml"
    config.write_text('[[registries]]\nname = "acme"\naccess = "public"\n')
    prepare(data / DATABASE, published(FILES))
    with ServerProcess(config, folder / "log", "--no-tls", "--data", str(data)) as running_one:
        yield Server(f"{running_one.url}/acme/simple/widgets/", str(data))


def prepare(database: Path, files: Sequence[PublishedFile]) -> None:
    database.parent.mkdir(mode=0o700)
    with closing(SqliteStore(database)) as store:
        fill_sqlite(store, files)


@contextmanager
def pypiserver(servers: Path, folder: Path) -> Iterator[Server]:
    packages, port = folder / "packages", free_port()
    packages.mkdir()
    for each in wheels():
        (packages / each.filename).write_bytes(each.content)
    address = ("-i", "127.0.0.1", "-p", str(port))
    command = (str(servers / "pypi-server"), "run", *address, "-a", ".", "-P", ".", str(packages))
    with running(folder / "pypiserver.log", port, *command):
        yield Server(f"http://127.0.0.1:{port}/simple/widgets/", str(port))


@contextmanager
def filled_devpi(servers: Path, folder: Path) -> Iterator[Server]:
    with devpi(servers, folder) as server:
        for number, each in enumerate(wheels()):
            assert server.upload(each, "widgets", f"1.{number}") == 200
        yield Server(f"{server.simple_url}widgets/", server.url.rpartition(":")[2])


def wheels() -> list[Any]:
    return [wheel(version=f"1.{number}") for number in range(FILES)]


def test_a_page_beside_pypiserver_and_devpi(servers: Path, tmp_path: Path, goals: Goals) -> None:
    session = requests.Session()
    session.trust_env = False
    asked = {"accept": HTML, "accept-encoding": "identity"}
    with (
        ours(tmp_path) as own,
        pypiserver(servers, tmp_path) as second,
        filled_devpi(servers, tmp_path) as third,
    ):
        named = {"serve": own, "pypiserver": second, "devpi": third}
        links = {n: session.get(s.url, headers=asked).text.count("<a ") for n, s in named.items()}
        assert min(links.values()) >= FILES, links
        costs: dict[str, list[float]] = {name: [] for name in (*named, "serve, JSON", "serve, 304")}
        tag = session.get(own.url, headers=asked).headers["ETag"]
        for _ in range(ROUNDS):
            for name, server in named.items():
                costs[name].append(server.cost(session, **asked))
            costs["serve, JSON"].append(own.cost(session, accept=JSON))
            costs["serve, 304"].append(own.cost(session, **asked, **{"if-none-match": tag}))
    found = {name: median(each) for name, each in costs.items()}
    print(f"\na page of {FILES} files, plain HTTP, one client")
    for name, seconds in found.items():
        print(f"{name:12} {seconds * 1e6:7.0f} µs of processor time")
    for name in ("pypiserver", "devpi"):
        what = f"pages of {FILES} files a CPU second"
        goals.at_least("pages", f"{what}, {name}", 10, found[name] / found["serve"], f"x {name}")


# Growth


def test_a_page_of_many_files_on_sqlite(tmp_path: Path, goals: Goals) -> None:
    table = Table("SQLite")
    for size in SIZES:
        with closing(SqliteStore(tmp_path / f"{size}.db")) as store:
            fill_sqlite(store, published(size))
            table.add(size, page_costs(store))
    table.show()
    goals.at_most("pages", "304 of 10,000 files, SQLite", 2, table.growth("304"), "of 10 files")


def test_a_page_of_many_files_on_an_emulator(tmp_path: Path, goals: Goals) -> None:
    table = Table("emulator of DynamoDB, processor time of the function")
    with run_emulator(tmp_path) as emulator:
        client = emulator.client("dynamodb")
        for size in SIZES:
            store = DynamoStore(client, create_table(client), MeteredBucket())
            fill_dynamo(store, published(size))
            table.add(size, page_costs(store))
    table.show()
    goals.at_most("pages", "304 of 10,000 files, DynamoDB", 2, table.growth("304"), "of 10 files")


def test_the_list_of_many_projects(tmp_path: Path) -> None:
    table = Table("list of projects, SQLite")
    for size in SIZES:
        with closing(SqliteStore(tmp_path / f"{size}.db")) as store:
            names = [f"project-{number}" for number in range(size)]
            fill_sqlite(store, [file(f"{n}-1.0.tar.gz", project=n) for n in names])
            table.add(size, list_costs(store))
    table.show()


class Table:
    """Costs by the number of files. A slope of 1 is as fast as the files, one of 0 not at all."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._rows: dict[int, Mapping[str, float]] = {}

    def add(self, size: int, costs: Mapping[str, float]) -> None:
        self._rows[size] = costs

    def growth(self, what: str) -> float:
        """Return the cost of the largest, in multiples of the smallest."""
        return self._rows[SIZES[-1]][what] / self._rows[SIZES[0]][what]

    def show(self) -> None:
        names = list(self._rows[SIZES[0]])
        print(f"\n{self._title:30}" + "".join(f"{name:>14}" for name in names))
        for size, costs in self._rows.items():
            print(f"{size:>26,}    " + "".join(f"{costs[n] * 1e3:>11.2f} ms" for n in names))
        steps = math.log(SIZES[-1] / SIZES[0])
        slopes = (math.log(self.growth(name)) / steps for name in names)
        print(f"{'slope':>26}    " + "".join(f"{slope:>14.2f}" for slope in slopes))


def page_costs(store: Store) -> dict[str, float]:
    """Return the processor time of each kind of answer, in seconds."""
    rendering, keeping = index_of(store, KeptPages(0)), index_of(store)
    gzip = {"accept": JSON, "accept-encoding": "gzip"}
    tag = asking(rendering)(gzip).headers["ETag"]
    asking(keeping)(gzip)
    return {
        "JSON": cost(lambda: asking(rendering)({"accept": JSON}), 200),
        "HTML": cost(lambda: asking(rendering)({"accept": HTML}), 200),
        "gzip": cost(lambda: asking(rendering)(gzip), 200),
        "kept": cost(lambda: asking(keeping)(gzip), 200),
        "304": cost(lambda: asking(rendering)({**gzip, "if-none-match": tag}), 304),
    }


def list_costs(store: Store) -> dict[str, float]:
    ask = asking(index_of(store), "/acme/simple/")
    return {
        "JSON": cost(lambda: ask({"accept": JSON}), 200),
        "HTML": cost(lambda: ask({"accept": HTML}), 200),
    }


def cost(ask: Callable[[], Response], status: int) -> float:
    """Return the median processor time of an answer, over about a quarter of a second."""
    times: list[float] = []
    ends = time.process_time() + 0.25
    while len(times) < 5 or (time.process_time() < ends and len(times) < 500):
        started = time.process_time()
        answer = ask()
        times.append(time.process_time() - started)
        assert answer.status == status
    return median(times)


def index_of(store: Store, kept_pages: KeptPages | None = None) -> Index:
    services = build(store, shared_host="packages.example.com", audit=lambda _: None)
    return build_index(
        services,
        files=MemoryFiles(),
        max_upload_bytes=0,
        verifier=NoVerifier(),
        kept_pages=kept_pages,
    )


def asking(
    index: Index, path: str = "/acme/simple/widgets/"
) -> Callable[[Mapping[str, str]], Response]:
    def ask(headers: Mapping[str, str]) -> Response:
        request = Request("GET", "packages.example.com", path, headers=headers)
        return respond(request, read.ROUTES, index)

    return ask


def fill_sqlite(store: SqliteStore, files: Sequence[PublishedFile]) -> None:
    store.apply(CONFIGURATION, [])
    with store._write() as connection:
        connection.executemany(
            "INSERT INTO files (registry, filename, project, document) VALUES (?, ?, ?, ?)",
            [(f.registry, f.filename, f.project, file_item(f)["document"]) for f in files],
        )


def fill_dynamo(store: DynamoStore, files: Sequence[PublishedFile]) -> None:
    """Write the rows of all files but one, which is added and so brings the listing up to date."""
    store.apply(CONFIGURATION, [])
    *others, last = files
    rows = [attributes(**file_item(each)) for each in others]
    store._write_all([{"PutRequest": {"Item": row}} for row in (project_item(*PLACE), *rows)])
    store.add_file(last)
