"""How many files a second `pytp-broker import` moves, and the most memory that it takes.

Each import is a process of its own. The source is a folder or an HTTP server of this process, and
the target a data folder, so the disk, which each file waits for, sets the pace. It asserts only
that everything is imported, and that memory has a bound. Run it with `make bench`.
"""

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from pytp_broker.registries import Configuration, Registry
from pytp_broker.storage.data_folder import DATABASE
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.distributions import Distribution, metadata, noise, wheel, wheel_members
from tests.support.fake_web import JSON
from tests.support.old_packages import distributions

MIB: Final = 1024 * 1024
MANY: Final = 2000
LISTED: Final = 100_000
LARGE: Final = 300 * MIB
# Linux counts what the process had before it became another program in all other figures.
SCRIPT: Final = """
import sys
from pathlib import Path
from pytp_broker.cli import main

main(sys.argv[2:])
Path(sys.argv[1]).write_bytes(Path("/proc/self/status").read_bytes())
"""


@dataclass(frozen=True)
class Run:
    """An import that has ended: its report, how long it took, and the most memory that it had."""

    report: dict[str, Any]
    seconds: float
    memory: int

    def show(self, name: str, count: float, unit: str = "files") -> None:
        print(
            f"\n{name}: {count / self.seconds:,.0f} {unit} a second "
            f"({self.seconds:.1f} s), {self.memory / MIB:.0f} MiB of memory at most"
        )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(SqliteStore(folder / DATABASE)) as store:
        store.apply(Configuration(registries={"acme": Registry("acme", ())}), [])
    return folder


def run(data: Path, *source: str) -> Run:
    """Run an import in a process of its own."""
    place = ("--data", str(data), "--host", "packages.example.com")
    arguments = ("import", "--registry", "acme", *source, *place, "--json")
    began, status = time.perf_counter(), data / "status"
    with (data / "log").open("w") as log:
        ended = subprocess.run(
            (sys.executable, "-c", SCRIPT, str(status), *arguments),
            stdout=subprocess.PIPE,
            stderr=log,
            check=False,
        )
    seconds = time.perf_counter() - began
    (kibibytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    return Run(json.loads(ended.stdout), seconds, int(kibibytes) * 1024)


@contextmanager
def serving(pages: dict[str, bytes]) -> Iterator[str]:
    """Serve these bodies over HTTP; yield the URL of the simple API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = pages[self.path]
            self.send_response(200)
            self.send_header("Content-Type", JSON)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple/"
    finally:
        server.shutdown()
        server.server_close()


def index_of(project: str, files: list[dict[str, object]]) -> dict[str, bytes]:
    """Return the pages of an index with one project."""
    meta = {"api-version": "1.1"}
    return {
        "/simple/": json.dumps({"meta": meta, "projects": [{"name": project}]}).encode(),
        f"/simple/{project}/": json.dumps({"meta": meta, "files": files}).encode(),
    }


def entry(filename: str, sha256: str, size: int) -> dict[str, object]:
    return {
        "filename": filename,
        "url": f"/files/{filename}",
        "hashes": {"sha256": sha256},
        "size": size,
        "upload-time": "2019-03-04T05:06:07.891234Z",
        "requires-python": ">=3.9",
    }


def test_a_folder_of_200_files(data: Path, tmp_path: Path) -> None:
    files = list(distributions())
    (tmp_path / "packages").mkdir()
    for file in files:
        (tmp_path / "packages" / file.filename).write_bytes(file.content)

    seen = run(data, "--from-folder", str(tmp_path / "packages"))

    assert seen.report["imported"] == len(files)
    seen.show("a folder of 200 files", len(files))


def test_an_index_of_2000_files(data: Path) -> None:
    files = [wheel(version=f"1.{number}") for number in range(MANY)]
    pages = index_of("widgets", [entry(f.filename, f.sha256, len(f.content)) for f in files])
    pages |= {f"/files/{file.filename}": file.content for file in files}

    with serving(pages) as url:
        seen = run(data, "--from-index", url)
        again = run(data, "--from-index", url)

    assert (seen.report["imported"], again.report["present"]) == (MANY, MANY)
    seen.show("an index of 2,000 files", MANY)
    again.show("the same again", MANY)


def test_a_page_of_100000_files_that_are_refused(data: Path) -> None:
    sha256 = hashlib.sha256(b"").hexdigest()
    names = (f"widgets-{number}.0-py2.7-macosx-10.9-x86_64.egg" for number in range(LISTED))
    pages = index_of("widgets", [entry(name, sha256, 1) for name in names])

    with serving(pages) as url:
        seen = run(data, "--from-index", url)

    assert len(seen.report["refused"]) == LISTED
    assert seen.memory < 600 * MIB
    seen.show("a page of 100,000 files, all refused", LISTED)


def test_a_file_of_300_mib(data: Path, tmp_path: Path) -> None:
    file = large()
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / file.filename).write_bytes(file.content)

    seen = run(data, "--from-folder", str(tmp_path / "packages"))

    assert seen.report["imported"] == 1
    assert seen.memory < 150 * MIB
    seen.show("a wheel of 300 MiB", LARGE / MIB, "MiB")


def large() -> Distribution:
    """Return a wheel with a member that does not compress."""
    members = {"widgets/data.bin": noise(LARGE), **wheel_members(text=metadata())}
    return wheel(members=members)
