"""Other indexes, each a real server in a process of its own, with the 200 old files in it."""

import base64
import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import requests

from tests.support.distributions import Distribution, fields
from tests.support.ports import free_port
from tests.support.released import run_uv

PINS: Final = Path(__file__).parents[2] / "requirements/indexes.txt"
# devpi-server computes a secret when it starts, which takes half a minute on a busy machine.
SECONDS: Final = 120
USER, PASSWORD = "olive", "an old password"
# devpi has the user root from the beginning.
_DEVPI_INDEX = "root/prod"


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the servers, kept in pytest's cache until the pins change.

    Skip where it cannot be had, or fail where all must run.
    """
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    place = cache.mkdir("indexes") if cache else tmp_path_factory.mktemp("indexes")
    made = place / hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    try:
        with (place / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _make(made)
    except subprocess.CalledProcessError as error:
        reason = f"pypiserver and devpi cannot be installed: {error.stderr.strip()}"
        if os.environ.get("PYTP_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return made / "bin"


def _make(folder: Path) -> None:
    if not folder.is_dir():
        run_uv("venv", "--quiet", "--python", sys.executable, str(folder))
    pins = ("--require-hashes", "--requirement", str(PINS))
    run_uv("pip", "install", "--quiet", "--python", str(folder), *pins)


@contextmanager
def pypiserver(servers: Path, packages: Path, folder: Path, user: str = USER) -> Iterator[str]:
    """Serve a folder with pypiserver, behind a password; yield the URL of its simple API."""
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()  # noqa: S324
    passwords = folder / "htpasswd"
    passwords.write_text(f"{user}:{{SHA}}{digest}\n")
    port = free_port()
    protected = ("-a", "list,download,update", "-P", str(passwords))
    address = ("-i", "127.0.0.1", "-p", str(port))
    command = (str(servers / "pypi-server"), "run", *address, *protected, str(packages))
    with running(folder / "pypiserver.log", port, *command):
        yield f"http://127.0.0.1:{port}/simple/"


@contextmanager
def devpi(servers: Path, folder: Path) -> Iterator["Devpi"]:
    """Run devpi-server with an index without bases; yield it."""
    data, port = folder / "devpi", free_port()
    init = (servers / "devpi-init", "--serverdir", data, "--no-root-pypi", "--root-passwd", "x")
    subprocess.run(init, check=True, capture_output=True, timeout=60)
    command = (str(servers / "devpi-server"), "--serverdir", str(data))
    address = ("--host", "127.0.0.1", "--port", str(port), "--offline-mode")
    with running(folder / "devpi.log", port, *command, *address):
        yield Devpi.opened(f"http://127.0.0.1:{port}")


@dataclass(frozen=True)
class Devpi:
    """A devpi-server and its index."""

    url: str
    session: requests.Session

    @classmethod
    def opened(cls, url: str) -> "Devpi":
        session = requests.Session()
        session.trust_env = False
        login = session.post(f"{url}/+login", json={"user": "root", "password": "x"}).json()
        token = f"root:{login['result']['password']}".encode()
        session.headers["X-Devpi-Auth"] = base64.b64encode(token).decode()
        made = session.put(f"{url}/{_DEVPI_INDEX}", json={"type": "stage", "bases": []})
        assert made.status_code == 200, made.text
        return cls(url, session)

    @property
    def simple_url(self) -> str:
        return f"{self.url}/{_DEVPI_INDEX}/+simple/"

    def upload(self, file: Distribution, name: str, version: str) -> int:
        """Upload a file; return the status of the answer."""
        sent = dict(fields(file, name=name, version=version))
        content = {"content": (file.filename, file.content)}
        answer = self.session.post(f"{self.url}/{_DEVPI_INDEX}/", data=sent, files=content)
        return answer.status_code


@contextmanager
def running(
    log: Path, port: int, *command: str, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server until the `with` block ends, with all processes that it starts."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, start_new_session=True
        )
        try:
            _wait(process, port, log)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(SECONDS)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())
