"""Pulp on its own PostgreSQL: an environment, a database, and Pulp's three servers.

`make pulp` alone runs it, because a new database takes Pulp half a minute of the processor.
"""

import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from tests.support.indexes import running
from tests.support.ports import free_port
from tests.support.released import REQUIREMENTS, ROOT, run_uv

PINS: Final = REQUIREMENTS / "pulp.txt"
PUBLISHER: Final = "pytp-publisher"
_ADMIN: Final = ("admin", "a password of an operator")
_REST: Final = "/pulp/api/v3"
_TASK_SECONDS: Final = 60
# Debian has PostgreSQL's own programs in a folder that is not on PATH.
_FOLDERS: Final = map(str, Path("/usr/lib/postgresql").glob("*/bin"))
_POSTGRES: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), *_FOLDERS])
_PLACE: Final = """
ENABLED_PLUGINS = ["pulp_python"]
ANALYTICS = False
DEPLOY_ROOT = MEDIA_ROOT = STATIC_ROOT = "{folder}/media"
WORKING_DIRECTORY = FILE_UPLOAD_TEMP_DIR = "{folder}/work"
DB_ENCRYPTION_KEY = "{folder}/key"
SECRET_KEY = "{secret}"
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "pulp",
        "HOST": "127.0.0.1",
        "PORT": "{database}",
    }}
}}
"""


@dataclass(frozen=True)
class Pulp:
    """Pulp with the repository and the distribution `prod`, to which one user may publish."""

    api_url: str
    content_url: str

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Send a request to Pulp's own port, as its operator unless a header names another."""
        session = requests.Session()
        session.trust_env = False
        auth = None if headers else _ADMIN
        with session:
            return session.request(
                method, self.api_url + path, json=body, auth=auth, headers=headers, timeout=60
            )

    def set_up(self) -> None:
        """Make what docs/guards.md says: the repository, the distribution, the user, the right."""
        repository = {"name": "prod", "allow_package_substitution": False}
        made = self._make("/repositories/python/python/", repository)
        index = {"name": "prod", "base_path": "prod", "repository": made["pulp_href"]}
        self._make("/distributions/python/pypi/", index)
        self._make("/users/", {"username": PUBLISHER})
        right = {"name": "pytp.publisher", "permissions": ["python.modify_pythonrepository"]}
        self._make("/roles/", right)
        given = {"role": "pytp.publisher", "users": [PUBLISHER]}
        answer = self.ask("POST", made["pulp_href"] + "add_role/", given)
        assert answer.status_code == 201, answer.text
        wait(lambda: self.files("widgets") == set())

    def files(self, project: str) -> set[str] | None:
        """Return the names of a project's files; None while Pulp does not serve the index."""
        if self.ask("GET", "/pypi/prod/simple/").status_code != 200:
            return None
        accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
        answer = self.ask("GET", f"/pypi/prod/simple/{project}/", **accept)
        if answer.status_code == 404:
            return set()
        return {file["filename"] for file in answer.json()["files"]}

    def _make(self, path: str, body: Mapping[str, object]) -> Any:
        answer = self.ask("POST", _REST + path, body)
        assert answer.status_code in {201, 202}, answer.text
        return answer.json()


def wait(is_done: Callable[[], object]) -> None:
    """Wait for a task of Pulp's worker."""
    deadline = time.monotonic() + _TASK_SECONDS
    while not is_done():
        assert time.monotonic() < deadline, "Pulp's worker has not done its task"
        time.sleep(0.2)


@contextmanager
def pulp(cache: Path, folder: Path, public_url: str) -> Iterator[Pulp]:
    """Install Pulp, make its database, and run it."""
    bin_folder = _install(cache)
    ports = (free_port(), free_port())
    with _postgres() as database, ExitStack() as stack:
        environment = _configure(folder, public_url, database)
        manager = str(bin_folder / "pulpcore-manager")
        for command in (("migrate",), ("reset-admin-password", "--password", _ADMIN[1])):
            _run(manager, *command, environment=environment)
        for name, port in zip(("api", "content"), ports, strict=True):
            command = (str(bin_folder / f"pulpcore-{name}"), "--workers", "1")
            bind = ("--bind", f"127.0.0.1:{port}")
            log = folder / f"{name}.log"
            stack.enter_context(running(log, port, *command, *bind, environment=environment))
        # The worker has no port: what it does is waited for.
        worker = str(bin_folder / "pulpcore-worker")
        stack.enter_context(
            running(folder / "worker.log", ports[0], worker, environment=environment)
        )
        index = Pulp(*(f"http://127.0.0.1:{port}" for port in ports))
        index.set_up()
        yield index


def _install(cache: Path) -> Path:
    made = cache / hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            run_uv("venv", "--quiet", "--python", sys.executable, str(made))
        pins = ("--require-hashes", "--requirement", str(PINS))
        run_uv("pip", "install", "--quiet", "--python", str(made), *pins)
    return made / "bin"


def _configure(folder: Path, public_url: str, database: int) -> dict[str, str]:
    """Write Pulp's settings, ours among them; return the environment of its programs."""
    for name in ("media", "work"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(urlsafe_b64encode(secrets.token_bytes(32)))
    ours = (ROOT / "infra/pulp/settings.py").read_text()
    assert "https://packages.example.com" in ours
    place = _PLACE.format(folder=folder, secret=secrets.token_hex(32), database=database)
    settings = folder / "settings.py"
    settings.write_text(ours.replace("https://packages.example.com", public_url) + place)
    return {**os.environ, "NO_PROXY": "*", "PULP_SETTINGS": str(settings)}


@contextmanager
def _postgres() -> Iterator[int]:
    """Run PostgreSQL for this test alone; yield its port. It refuses to run as root."""
    programs = {name: shutil.which(name, path=_POSTGRES) for name in ("initdb", "postgres")}
    if None in programs.values():
        pytest.fail("PostgreSQL is not installed: `apt-get install postgresql`")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    # Nobody but root enters pytest's own folders.
    with tempfile.TemporaryDirectory(prefix="pytp-postgres-") as made:
        shutil.chown(made, user)
        data, port = f"{made}/data", free_port()
        init = (str(programs["initdb"]), "-D", data, "-A", "trust", "-U", "pulp", "-E", "UTF8")
        _run(*init, "--no-sync", user=user)
        command = _as_user(user, str(programs["postgres"]), "-D", data, "-p", str(port))
        options = ("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={made}")
        with tempfile.TemporaryDirectory() as logs:
            log = Path(logs) / "postgres.log"
            with running(log, port, *command, *options, "-c", "fsync=off"):
                yield port


def _as_user(user: str, *command: str) -> tuple[str, ...]:
    if os.geteuid() != 0:
        return command
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *command)


def _run(*command: str, user: str = "", environment: Mapping[str, str] | None = None) -> None:
    whole = _as_user(user, *command) if user else command
    done = subprocess.run(
        whole, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
