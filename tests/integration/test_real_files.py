"""Real files of many build tools, old and new, published here again: the index accepts them.

They come from the index that this machine's pip asks, and are kept in pytest's cache. By default
these are the small ones; PYTP_REAL_FILES=all (`make real`) takes them all, 95 MB.
"""

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import requests

from tests.support.distributions import Distribution
from tests.support.shelf import Shelf, shelf_publisher

pytestmark = pytest.mark.network

LIST: Final = Path(__file__).with_name("real_files.txt")
SMALL_BYTES: Final = 64 * 1024
JSON: Final = "application/vnd.pypi.simple.v1+json"
SECONDS: Final = 30
AT_ONCE: Final = 8


class RealFile(NamedTuple):
    """A line of the list: how large a file is, its name, and what is particular about it."""

    size: int
    filename: str
    kind: str

    @property
    def project(self) -> str:
        return self.filename.partition("-")[0].replace("_", "-")


def read_list() -> list[RealFile]:
    lines = (line.split(maxsplit=2) for line in LIST.read_text().splitlines() if line[0] != "#")
    files = [RealFile(int(size), filename, kind) for size, filename, kind in lines]
    return [f for f in files if f.size <= SMALL_BYTES or os.environ.get("PYTP_REAL_FILES") == "all"]


FILES: Final = read_list()


class PipIndex:
    """The index that pip is told to ask, and a session with its certificates."""

    def __init__(self) -> None:
        self.url = (setting("index-url") or default_url()).rstrip("/")
        self.session = requests.Session()
        self.session.verify = setting("cert") or True

    def page(self, project: str) -> Mapping[str, Mapping[str, str]]:
        """Return the URL and the sha256 of each of a project's files."""
        answer = self.session.get(
            f"{self.url}/{project}/", headers={"Accept": JSON}, timeout=SECONDS
        )
        answer.raise_for_status()
        return {
            file["filename"]: {"url": file["url"], "sha256": file["hashes"]["sha256"]}
            for file in answer.json()["files"]
        }

    def download(self, file: RealFile, found: Mapping[str, str]) -> bytes:
        content = self.session.get(found["url"], timeout=SECONDS).content
        if hashlib.sha256(content).hexdigest() != found["sha256"]:
            raise ValueError(f"{file.filename} did not arrive whole")
        return content


def setting(name: str) -> str:
    """Return an option as pip has it, from the environment or its files; empty for none."""
    if said := os.environ.get(f"PIP_{name.replace('-', '_').upper()}"):
        return said
    command = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def default_url() -> str:
    """Return the index that pip asks if nobody tells it which."""
    try:
        url: str = importlib.import_module("pip._internal.models.index").PyPI.simple_url
    except ImportError:
        pytest.skip("pip is not here, and says which index to ask")
    return url


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that could be downloaded."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    place = cache.mkdir("real-files") if cache else tmp_path_factory.mktemp("real-files")
    missing = [file for file in FILES if not (place / file.filename).is_file()]
    if missing:
        fetch_all(missing, place)
    return place


def fetch_all(files: list[RealFile], place: Path) -> None:
    index = PipIndex()
    try:
        index.page(files[0].project)
    except requests.HTTPError:
        pass  # the index is there, though it may not have this project
    except (requests.RequestException, ValueError, KeyError) as error:
        pytest.skip(f"the index that pip asks cannot be read: {type(error).__name__}")
    by_project = {file.project: [f for f in files if f.project == file.project] for file in files}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda wanted: fetch(index, wanted, place), by_project.values()))


def fetch(index: PipIndex, files: list[RealFile], place: Path) -> None:
    """Download a project's files as far as they can be downloaded, each one whole."""
    try:
        page = index.page(files[0].project)
        for file in (file for file in files if file.filename in page):
            content = index.download(file, page[file.filename])
            part = place / f"{file.filename}.part"
            part.write_bytes(content)
            part.rename(place / file.filename)
    except (requests.RequestException, ValueError, KeyError):
        return  # what is missing is skipped by name


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf()


@pytest.mark.parametrize("file", FILES, ids=[f"{f.filename}: {f.kind}" for f in FILES])
def test_a_real_file_is_published(shelf: Shelf, folder: Path, file: RealFile) -> None:
    if not (folder / file.filename).is_file():
        pytest.skip(f"{file.filename} is not at the index that pip asks, or it cannot be reached")
    content = (folder / file.filename).read_bytes()
    trust(shelf, file.project)

    answer = shelf.publish(Distribution(file.filename, content))

    assert answer.status == 200, answer.detail
    assert shelf.store.files["acme", file.filename].size == file.size


def trust(shelf: Shelf, project: str) -> None:
    """Let the token upload files of this project."""
    shelf.publishers.append(shelf_publisher(f"p-{project}", "acme", project))
    shelf.apply()
    shelf.token = shelf.mint(("acme", project, f"p-{project}"))
