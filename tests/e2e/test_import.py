"""200 files of a real pypiserver and a real devpi, imported into a running `serve`."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import registry
from tests.support.distributions import Distribution
from tests.support.indexes import PASSWORD, USER, devpi, pypiserver, servers
from tests.support.old_packages import CHANGED_AT, COUNT, write_folder

__all__ = ["servers"]

pytestmark = pytest.mark.e2e

JSON: Final = {"Accept": "application/vnd.pypi.simple.v1+json"}
IMPORT: Final = (sys.executable, "-m", "pytp_broker.cli", "import", "--registry", "acme")


@dataclass
class Site:
    """A running `serve` and its data folder."""

    url: str
    data: Path

    def command(self, *options: str) -> tuple[str, ...]:
        return (*IMPORT, *options, "--data", str(self.data), "--json")

    def imported(self, *options: str, **environment: str) -> dict[str, Any]:
        """Run an import to its end; return its report."""
        ended = subprocess.run(
            self.command(*options),
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        report: dict[str, Any] = json.loads(ended.stdout)
        return report

    def files(self) -> dict[str, dict[str, Any]]:
        """Return the files that installers see, by name."""
        listed = requests.get(f"{self.url}/acme/simple/", headers=JSON, timeout=10).json()
        pages = (
            requests.get(f"{self.url}/acme/simple/{p['name']}/", headers=JSON, timeout=10).json()
            for p in listed["projects"]
        )
        return {file["filename"]: file for page in pages for file in page["files"]}

    def check(self, expected: dict[str, Distribution]) -> None:
        """Check that installers see these files, and that each has its bytes."""
        seen = self.files()
        assert seen.keys() == expected.keys()
        for name, file in seen.items():
            assert file["hashes"]["sha256"] == expected[name].sha256
        for name in ("My.Package-1.0.tar.gz", "my-package-1.2.zip"):
            if name in seen:
                content = requests.get(self.url + seen[name]["url"], timeout=10).content
                assert hashlib.sha256(content).hexdigest() == expected[name].sha256

    def installed(self, target: Path, *requirements: str) -> str:
        """Install with pip; return what the installed module `my_package` prints."""
        pip = (sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir")
        place = ("--target", str(target), "--index-url", f"{self.url}/acme/simple/")
        environment = {"PATH": os.defpath, "HOME": str(target), "PIP_CONFIG_FILE": os.devnull}
        done = subprocess.run(
            (*pip, *place, *requirements),
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        module = target / "my_package.py"
        return (
            subprocess.check_output((sys.executable, module), text=True) if module.exists() else ""
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    config, data = tmp_path / "broker.toml", tmp_path / "data"
    config.write_text(registry("acme", access="public"))
    with ServerProcess(config, tmp_path / "log", "--no-tls", "--data", str(data)) as server:
        yield Site(server.url, data)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def expected(packages: Path) -> dict[str, Distribution]:
    return write_folder(packages)


def test_200_files_of_pypiserver_are_imported_and_installed(
    site: Site, servers: Path, packages: Path, expected: dict[str, Distribution], tmp_path: Path
) -> None:
    secret = {"PYTP_SOURCE_USERNAME": USER, "PYTP_SOURCE_PASSWORD": PASSWORD}
    with pypiserver(servers, packages, tmp_path) as index:
        refused = subprocess.run(
            site.command("--from-index", index), capture_output=True, text=True, check=False
        )
        report = site.imported("--from-index", index, **secret)
        again = site.imported("--from-index", index, **secret)

    assert refused.returncode == 1
    assert "answers 401: give a user and a password" in refused.stderr
    assert (report["imported"], report["remarks"]) == (COUNT, [])
    assert (again["imported"], again["present"]) == (0, COUNT)
    site.check(expected)
    (when,) = {file["upload-time"] for file in site.files().values()}
    assert datetime.fromisoformat(when) == datetime.fromtimestamp(CHANGED_AT, UTC)
    assert site.installed(tmp_path / "1", "my-package==1.2", "project-00") == "1.2\n"
    assert site.installed(tmp_path / "2", "My.Package==1.0", "old-tool==2.1") == "1.0\n"


def test_200_files_of_devpi_are_imported_and_installed(
    site: Site, servers: Path, expected: dict[str, Distribution], tmp_path: Path
) -> None:
    with devpi(servers, tmp_path) as index:
        taken = {
            name: file
            for name, file in expected.items()
            if index.upload(file, *project_and_version(file)) == 200
        }
        report = site.imported("--from-index", index.simple_url)

    assert len(taken) > COUNT - 5
    assert (report["imported"], report["remarks"]) == (len(taken), [])
    site.check(taken)
    assert site.installed(tmp_path / "1", "my-package==1.1", "project-47==1.0") == "1.1\n"


def project_and_version(file: Distribution) -> tuple[str, str]:
    """Return the project as the file name spells it, and the version."""
    is_wheel = file.filename.endswith(".whl")
    parsed = (parse_wheel_filename if is_wheel else parse_sdist_filename)(file.filename)
    name = file.filename.partition("-")[0] if is_wheel else file.filename.rpartition("-")[0]
    return name, str(parsed[1])


def test_an_import_that_is_killed_again_and_again_is_completed_by_the_next(
    site: Site, packages: Path, expected: dict[str, Distribution], tmp_path: Path
) -> None:
    command, log = site.command("--from-folder", str(packages)), tmp_path / "killed"
    kept = 0
    for goal in (10, 60, 110, 160):
        with log.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
            deadline = time.monotonic() + 60
            while kept < goal and process.poll() is None and time.monotonic() < deadline:
                kept = len(site.files())
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        for name in site.files():  # nothing is half visible
            assert name in expected

    report = site.imported("--from-folder", str(packages))

    assert report["imported"] + report["present"] == COUNT
    site.check(expected)


def test_two_imports_at_the_same_time_import_everything_once(
    site: Site, packages: Path, expected: dict[str, Distribution]
) -> None:
    command = site.command("--from-folder", str(packages))
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    ended = [process.communicate(timeout=120) for process in both]

    assert [process.returncode for process in both] == [0, 0], ended
    reports = [json.loads(out) for out, _ in ended]
    assert all(r["imported"] + r["present"] == COUNT for r in reports)
    site.check(expected)
