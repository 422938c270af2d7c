"""A CI job on this machine: its folder, its variables, and the server that it publishes to."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.process import ServerProcess
from tests.support.released import Released


@dataclass
class Job:
    """A CI job: a folder, a home without secrets, and the variables that its CI sets.

    ``log`` is what its commands have printed, without what tells the CI what to hide.
    """

    folder: Path
    released: Released
    server: ServerProcess
    variables: dict[str, str]
    registry: str = "acme"
    log: str = ""

    @property
    def program(self) -> Path:
        """Return `pytp-broker` as a base install has it."""
        return self.released.keyring / "bin" / "pytp-broker"

    @property
    def upload_url(self) -> str:
        return f"{self.server.url}/{self.registry}/legacy/"

    @property
    def index_url(self) -> str:
        return f"{self.server.url}/{self.registry}/simple/"

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            command,
            env=self.environment(**variables),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.log += re.sub("(::add-mask::|##vso).*\n", "", ended.stdout + ended.stderr)
        return ended

    @contextmanager
    def start(self, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Start a command that the test ends; kill it if the test fails."""
        with subprocess.Popen(
            command,
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as started:
            try:
                yield started
            finally:
                started.kill()

    def environment(self, **variables: str) -> dict[str, str]:
        ca_file = str(self.server.ca_file)
        base = {
            "HOME": str(self.folder),
            "HATCH_CACHE_DIR": str(self.folder / "hatch"),
            "NO_COLOR": "1",
            "PATH": f"{self.released.keyring / 'bin'}:{os.defpath}",
            "PDM_CHECK_UPDATE": "false",
            "PDM_PUBLISH_CA_CERTS": ca_file,
            "PIP_CERT": ca_file,
            "POETRY_CERTIFICATES_ACME_CERT": ca_file,
            "POETRY_CERTIFICATES_PYTP_CERT": ca_file,
            "REQUESTS_CA_BUNDLE": ca_file,
            "SSL_CERT_FILE": ca_file,
            "TMPDIR": str(self.folder),
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
        return base | self.variables | variables

    def traffic(self, since: int = 0) -> list[str]:
        """Return the requests that the server has answered."""
        seen = self.server.events("access")[since:]
        return [f"{r['method']} {r['path']} {r['status']}" for r in seen]

    def secrets(self, issuer: Issuer) -> list[str]:
        """Return the beginning of each token in the log and in the files of the job."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        texts = [self.log, *(path.read_bytes().decode("latin-1") for path in files)]
        return [found for text in texts for found in secrets_in(text, issuer)]


def secrets_in(text: str, issuer: Issuer) -> list[str]:
    """Return the beginning of each token in a text."""
    signed = [token for token in issuer.issued if token in text]
    return [token[:9] for token in (*signed, *re.findall(r"pytp_[0-9A-Za-z]{71}", text))]


def write_project(folder: Path, name: str, version: str = "1.0.0") -> None:
    """Write what poetry and pdm want to see beside the files that they publish."""
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{version}"\nrequires-python = ">=3.11"\n'
    )


def write_flit_project(folder: Path, name: str, version: str = "1.0.0") -> None:
    """Write a project that flit can build, because it publishes nothing else."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(f'"""A greeting."""\n__version__ = "{version}"\n')
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
        f'[project]\nname = "{name}"\ndynamic = ["version", "description"]\n'
    )
