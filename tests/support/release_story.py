"""A large release as its publisher and users see it: published, broken off, continued, installed.

The end-to-end tests tell the story with small files, and the benchmark with large ones.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

import requests
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.emulator import Emulator

COMMAND: Final = (sys.executable, "-m", "pytp_broker.cli")
PROJECT: Final = "widgets"
_COMPLETED: Final = re.compile(r"/files/([^/]+)/[0-9a-f]{32}/complete\Z")
_PATIENCE: Final = 600


@dataclass
class Site:
    """A server with a public registry, an issuer whose jobs publish there, and clients."""

    server: ServerProcess
    issuer: Issuer
    folder: Path
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.verify = self.server.ca_file or True
        self.session.trust_env = False

    @property
    def upload_url(self) -> str:
        return f"{self.server.url}/acme/legacy/"

    @property
    def index_url(self) -> str:
        return f"{self.server.url}/acme/simple/"

    def environment(self, job: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a job: no secret, and no user's configuration."""
        trusted = str(self.server.ca_file)
        return {
            "HOME": str(self.folder),
            "PATH": os.defpath,
            "NO_COLOR": "1",
            "PIP_CERT": trusted,
            "PIP_CONFIG_FILE": os.devnull,
            "REQUESTS_CA_BUNDLE": trusted,
            "SSL_CERT_FILE": trusted,
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            **job,
        }

    def start(self, *command: str | Path) -> "subprocess.Popen[str]":
        """Start a command in a new job."""
        return subprocess.Popen(
            [str(word) for word in command],
            env=self.environment(self.issuer.start_job()),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str | Path) -> tuple[float, str]:
        """Run a command in a new job; return its seconds and what it says, and fail if it does."""
        began = time.perf_counter()
        with self.start(*command) as process:
            said, _ = process.communicate(timeout=_PATIENCE)
        seconds = time.perf_counter() - began
        assert process.returncode == 0, said
        return seconds, said

    def publish(self, files: Sequence[Path]) -> tuple[float, str]:
        """Publish with our own client; return its seconds and what it says."""
        return self.run(*COMMAND, "publish", "--url", self.upload_url, *files)

    def publish_with_twine(self, files: Sequence[Path]) -> tuple[float, str]:
        """Publish with twine through our index on this machine, which sends the files on."""
        twine = (sys.executable, "-m", "twine", "upload", "--non-interactive")
        command = (*COMMAND, "proxy", "--url", self.upload_url, "--", *twine)
        return self.run(*command, "--disable-progress-bar", *files)

    def publish_until(self, files: Sequence[Path], completed: int) -> set[str]:
        """Kill a publish when so many files are completed; return their names."""
        seen = Counter(self.completed)
        with self.start(*COMMAND, "publish", "--url", self.upload_url, *files) as process:
            until = time.monotonic() + _PATIENCE
            while len(done := Counter(self.completed) - seen) < completed:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        return set(done)

    @property
    def completed(self) -> list[str]:
        """Return the name of the file of each request that completes an upload."""
        paths = (event["path"] for event in self.server.events("access") if event["status"] < 300)
        return [found[1] for path in paths if (found := _COMPLETED.search(path))]

    @property
    def put_seconds(self) -> list[float]:
        """Return how long each PUT of a file took, if the server itself keeps the bytes."""
        events = self.server.events("access")
        return [
            e["milliseconds"] / 1000 for e in events if (e["method"], e["status"]) == ("PUT", 200)
        ]

    @property
    def visible(self) -> list[str]:
        """Return the names of the files that installers see."""
        headers = {"Accept": "application/vnd.pypi.simple.v1+json"}
        answer = self.session.get(f"{self.index_url}{PROJECT}/", headers=headers, timeout=60)
        if answer.status_code == 404:
            return []
        return sorted(file["filename"] for file in answer.json()["files"])

    @contextmanager
    def watched(self) -> Iterator[list[int]]:
        """Look all the time at how many files are visible; the list has each number once."""
        numbers: list[int] = []
        over = Event()

        def watch() -> None:
            while not over.is_set():
                number = len(self.visible)
                if number not in numbers:
                    numbers.append(number)
                over.wait(0.02)

        thread = Thread(target=watch, name="watch", daemon=True)
        thread.start()
        try:
            yield numbers
        finally:
            over.set()
            thread.join(60)

    def install(self, installer: str) -> tuple[float, str]:
        """Install into a new folder; return its seconds and what the package prints."""
        target = self.folder / f"{installer}-{time.monotonic_ns()}"
        commands: Mapping[str, tuple[str, ...]] = {
            "pip": (sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-input"),
            "uv": (find_uv_bin(), "pip", "install", "--no-cache", "--python", sys.executable),
        }
        options = ("--target", target, "--index-url", self.index_url)
        seconds, _ = self.run(*commands[installer], *options, PROJECT)
        return seconds, self.run(sys.executable, target / f"{PROJECT}.py")[1]


@contextmanager
def site(folder: Path, emulator: Emulator | None = None) -> Iterator[Site]:
    """Run a server on a folder, or on a table and a bucket of an emulator of AWS."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "broker.toml"
    with Issuer() as issuer:
        publisher = github_publisher(PROJECT, repository_owner_id="9919")
        text = registry("acme", publisher, issuers=[issuer.url], access="public")
        config.write_text(github_issuer(issuer.url) + text)
        with ServerProcess(config, folder / "log", *_storage(folder, emulator)) as server:
            yield Site(server, issuer, folder)


def _storage(folder: Path, emulator: Emulator | None) -> tuple[str, ...]:
    if emulator is None:
        return ("--data", str(folder / "data"))
    url, name = emulator.endpoint_url, f"release-{time.monotonic_ns()}"
    places = ("--dynamodb-endpoint", url, "--s3-endpoint", url)
    return ("--store", "dynamodb", "--table", name, "--bucket", name, *places)
