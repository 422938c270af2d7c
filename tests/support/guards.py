"""Guards in front of other indexes, each a real server in a process of its own.

The environment with the indexes has this package too, as an operator would install it.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import requests

from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import (
    github_issuer,
    github_publisher,
    github_reader,
    registry,
)
from tests.support.distributions import BOUNDARY, CONTENT_TYPE, Distribution, fields, form
from tests.support.indexes import PINS, running
from tests.support.ports import free_port
from tests.support.released import REQUIREMENTS, ROOT, run_uv

CLIENT: Final = "guard"
SECRET: Final = "a-long-random-secret-of-a-guard"
# A project of the registry, and one whose publisher is another repository.
OWN, FOREIGN = "widgets", "gadgets"


def guarded_registry(name: str, *projects: str) -> str:
    """Return a registry that trusts two repositories, and knows the guard."""
    client = hashlib.sha256(SECRET.encode()).hexdigest()
    return (
        registry(
            name,
            github_publisher(*(projects or (OWN, "sprockets")), repository_owner_id="9919"),
            github_publisher(FOREIGN, repository="octo-org/gadgets", repository_owner_id="9919"),
            github_reader(owner="octo-org", repository_owner_id="9919"),
            issuers=["{issuer}"],
        )
        + "[[registries.introspection_clients]]\n"
        + f'id = "{CLIENT}"\nsecret_sha256 = "{client}"\n'
    )


CONFIGURATION: Final = (
    github_issuer("{issuer}") + guarded_registry("acme") + guarded_registry("umbrella")
)


@pytest.fixture(scope="session")
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the indexes and this package; skip where it cannot be had."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    place = cache.mkdir("guarded") if cache else tmp_path_factory.mktemp("guarded")
    try:
        with (place / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _make(place, tmp_path_factory.mktemp("wheel"))
    except subprocess.CalledProcessError as error:
        reason = f"pypiserver and devpi cannot be installed: {error.stderr.strip()}"
        if os.environ.get("PYTP_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def _make(place: Path, built: Path) -> Path:
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (wheel,) = built.glob("*.whl")
    content = hashlib.sha256(wheel.read_bytes() + PINS.read_bytes()).hexdigest()
    made = place / hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    mark = made / "content"
    if not mark.exists() or mark.read_text() != content:
        run_uv("venv", "--quiet", "--allow-existing", "--python", sys.executable, str(made))
        install = ("pip", "install", "--quiet", "--python", str(made))
        run_uv(*install, "--require-hashes", "--requirement", str(PINS))
        own = ("--reinstall-package", "pytp-broker", f"{wheel}[guards]")
        run_uv(*install, "--constraint", str(REQUIREMENTS / "dev.txt"), *own)
        mark.write_text(content)
    return made / "bin"


@dataclass(frozen=True)
class Tokens:
    """What jobs get from a broker."""

    server: ServerProcess
    issuer: Issuer

    def upload(
        self, registry: str = "acme", repository: str = "octo-org/widgets", **more: object
    ) -> str:
        return self._mint(registry, "mint-token", github_job(repository), more)

    def read(self, registry: str = "acme") -> str:
        job = github_job("octo-org/app", workflow="test.yml", environment=None)
        return self._mint(registry, "mint-read-token", job, {})

    def burn(self, token: str, registry: str = "acme") -> None:
        answer = self._ask("POST", f"/{registry}/_/oidc/burn-token", {"token": token})
        assert answer.status_code == 202

    def _mint(
        self, registry: str, path: str, job: Mapping[str, object], more: Mapping[str, object]
    ) -> str:
        base = f"/{registry}/_/oidc"
        audience = self._ask("GET", f"{base}/audience").json()["audience"]
        sent = {"token": self.issuer.token(aud=audience, **job), **more}
        answer = self._ask("POST", f"{base}/{path}", sent)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> requests.Response:
        session = requests.Session()
        session.trust_env = False
        with session:
            return session.request(
                method, self.server.url + path, json=body, verify=str(self.server.ca_file)
            )


def guard_variables(server: ServerProcess, folder: Path, **changes: str) -> dict[str, str]:
    """Return the environment of a guard of the registry `acme`."""
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    variables = {
        "PYTP_GUARD_REGISTRY": f"{server.url}/acme/",
        "PYTP_GUARD_CLIENT": CLIENT,
        "PYTP_GUARD_SECRET_FILE": str(secret),
        "REQUESTS_CA_BUNDLE": str(server.ca_file),
    }
    return {**os.environ, "NO_PROXY": "*", **variables, **changes}


@contextmanager
def guarded_pypiserver(
    bin_folder: Path, folder: Path, variables: Mapping[str, str]
) -> Iterator[str]:
    """Serve the folder `packages` with a guarded pypiserver; yield its URL."""
    packages, port = folder / "packages", free_port()
    packages.mkdir(exist_ok=True)
    command = (str(bin_folder / "python"), "-m", "pytp_broker.guards.pypiserver")
    options = ("--packages", str(packages), "--port", str(port))
    log = folder / "pypiserver.log"
    with running(log, port, *command, *options, environment=variables):
        yield f"http://127.0.0.1:{port}/"


def post(
    url: str,
    file: Distribution,
    token: str = "",
    *,
    extra: Mapping[str, str] | None = None,
    **changes: str,
) -> requests.Response:
    """Upload as twine does, with some fields of the form changed."""
    session = requests.Session()
    session.trust_env = False
    sent = form(file, fields(file, **changes))
    headers = {"Content-Type": CONTENT_TYPE, **(extra or {})}
    auth = ("__token__", token) if token else None
    with session:
        return session.post(url, data=sent, headers=headers, auth=auth, timeout=30)


def post_action(url: str, token: str, **texts: str) -> requests.Response:
    """Send a form without a file, such as one that asks to remove a release."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in texts.items()
    ]
    body = "".join(parts) + f"--{BOUNDARY}--\r\n"
    session = requests.Session()
    session.trust_env = False
    with session:
        headers = {"Content-Type": CONTENT_TYPE}
        return session.post(url, data=body, headers=headers, auth=("__token__", token), timeout=30)


def get(url: str, token: str = "", **options: object) -> requests.Response:
    session = requests.Session()
    session.trust_env = False
    with session:
        auth = ("__token__", token) if token else None
        return session.get(url, auth=auth, timeout=30, allow_redirects=False, **options)  # type: ignore[arg-type]
