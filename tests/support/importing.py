"""An operator who imports into a data folder, and what installers then find there."""

import json
import shlex
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from pytp_broker.cli import main
from pytp_broker.cli.sources.source import Listing, Stream
from pytp_broker.index.offers import Offer, OfferedProject
from pytp_broker.names import NormalizedName
from pytp_broker.registries import Configuration, Registry
from pytp_broker.storage.data_folder import DATABASE
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import content_key
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.deployment import HOST
from tests.support.distributions import Distribution
from tests.support.fake_web import INDEX
from tests.support.fakes import stored_bytes

SOURCE: Final = f"--from-index {INDEX}"
LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OneFile:
    """Another index with one project, which has one file, perhaps a yanked one."""

    project: NormalizedName
    file: Distribution
    yanked: str | None = None
    name: str = INDEX
    is_index: bool = True

    def list_projects(self) -> Listing:
        return Listing([self.project])

    def read_project(self, project: NormalizedName) -> OfferedProject:
        digests = {"sha256": self.file.sha256}
        offer = Offer(self.file.filename, "", digests, None, LONG_AGO, self.yanked)
        return OfferedProject(project, (offer,))

    def fetch(self, _offer: Offer) -> Stream:
        return Stream((piece for piece in [self.file.content]), None)

    def close(self) -> None: ...


@dataclass
class Move:
    """A data folder with the registry `acme`; `type` runs an import into it."""

    data: Path
    store: SqliteStore
    capsys: pytest.CaptureFixture[str]

    @property
    def packages(self) -> Path:
        """Return a folder of distributions."""
        folder = self.data / "packages"
        folder.mkdir(exist_ok=True)
        return folder

    def put(self, *files: Distribution) -> None:
        """Write files into the folder of distributions."""
        for file in files:
            (self.packages / file.filename).write_bytes(file.content)

    def type(self, options: str) -> str:
        """Run an import; return its report, and its exit status if that is not 0."""
        status = self.run(options)
        seen = self.capsys.readouterr()
        self.errors = seen.err
        return seen.out + (f"exit {status}\n" if status else "")

    def run(self, options: str, *, host: str | None = HOST) -> int:
        named = [] if host is None else ["--host", host]
        place = ["--data", str(self.data), *named]
        return main(["import", "--registry", "acme", *shlex.split(options), *place])

    def folder(self, options: str = "") -> str:
        return self.type(f"--from-folder {self.packages} {options}")

    def report(self, options: str = SOURCE) -> dict[str, Any]:
        """Run an import; return its report as JSON."""
        self.run(f"{options} --json")
        seen = self.capsys.readouterr()
        self.errors = seen.err
        document: dict[str, Any] = json.loads(seen.out)
        return document

    def refusal(self, options: str = SOURCE) -> str:
        """Run an import that refuses one thing; return why."""
        (refused,) = self.report(options)["refused"]
        return str(refused["why"])

    def files(self) -> dict[str, PublishedFile]:
        """Return the visible files by name, after checking that each has its bytes."""
        files = FolderFiles(self.data / "files")
        found = {
            file.filename: file
            for project in self.store.list_projects("acme")
            for file in self.store.list_files("acme", project)
        }
        for file in found.values():
            assert (
                len(stored_bytes(files, content_key("acme", file.sha256, file.filename)))
                == file.size
            )
        return found

    def records(self, event: str = "import") -> list[dict[str, Any]]:
        every = map(dict, self.store.list_operator_records())
        return [record for record in every if record["event"] == event]


@pytest.fixture
def move(
    quick_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Move]:
    monkeypatch.setenv("LOGNAME", "olive")
    monkeypatch.setenv("NETRC", str(quick_path / "no-netrc"))
    for name in ("PYTP_SOURCE_USERNAME", "PYTP_SOURCE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with closing(SqliteStore(quick_path / DATABASE)) as store:
        store.apply(Configuration(registries={"acme": Registry("acme", ())}), [])
        yield Move(quick_path, store, capsys)
