"""`pytp-broker publish` as a job types it, against `pytp-broker serve`.

The client and the server are processes of their own, and the client is killed at every step.
"""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.cutting_relay import CuttingRelay
from tests.support.emulator import Emulator
from tests.support.indexes import PASSWORD, pypiserver, servers
from tests.support.jobs import secrets_in
from tests.support.memory import MEASURED

pytestmark = pytest.mark.e2e
__all__ = ["servers"]  # a fixture

PROGRAM = (sys.executable, "-m", "pytp_broker.cli")
CONFIGURATION = (
    github_issuer("{issuer}")
    + registry(
        "acme",
        github_publisher(
            *("killed", "large", "staged", "whole"),
            repository_owner_id="9919",
            environment="release",
        ),
        issuers=["{issuer}"],
        access="public",
    )
    + registry(
        "small",
        github_publisher("sized", repository_owner_id="9919", environment="release"),
        issuers=["{issuer}"],
        access="public",
        max_file_size="20 kB",
    )
)
# Runs the command, and kills the process when one of its requests is answered, or when it has read
# so many bytes of its files.
KILLED = """
import os, sys
from pytp_broker.client.uploads.bodies import Body
from pytp_broker.client.uploads.wire import Wire

last_request, last_byte = int(sys.argv[1]), int(sys.argv[2])
send, read = Wire.send, Body.read
requests = sent = 0

def count_requests(self, request):
    global requests
    reply = send(self, request)
    requests += 1
    if requests == last_request:
        os.kill(os.getpid(), 9)
    return reply

def count_bytes(self, size):
    global sent
    piece = read(self, size)
    sent += len(piece)
    if sent > last_byte:
        os.kill(os.getpid(), 9)
    return piece

Wire.send, Body.read = count_requests, count_bytes
from pytp_broker.cli import main
sys.exit(main(sys.argv[3:]))
"""


@dataclass
class Job:
    """A CI job: a folder, and the variables that its CI sets."""

    folder: Path
    server: ServerProcess
    variables: dict[str, str]
    registry: str = "acme"

    @property
    def url(self) -> str:
        return f"{self.server.url}/{self.registry}/legacy/"

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        ca_file = str(self.server.ca_file)
        base = {"HOME": str(self.folder), "TMPDIR": str(self.folder), "NO_PROXY": "*"}
        return inherited | base | {"REQUESTS_CA_BUNDLE": ca_file} | self.variables

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def publish(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(*PROGRAM, "publish", "--url", self.url, *words)

    def build(self, name: str, version: str = "1.0.0") -> list[Path]:
        return [*TinyPackage(name, version).build(self.folder / "dist")]

    def visible(self, name: str) -> set[str]:
        """Return the names of the files that installers see."""
        answer = requests.get(
            f"{self.server.url}/{self.registry}/simple/{name}/",
            headers={"Accept": "application/vnd.pypi.simple.v1+json"},
            verify=str(self.server.ca_file),
            timeout=30,
        )
        return {file["filename"] for file in answer.json().get("files", ())}

    def traffic(self, since: int = 0) -> list[str]:
        seen = self.server.events("access")[since:]
        return [f"{r['method']} {r['path']} {r['status']}" for r in seen]


@pytest.fixture
def job(tmp_path: Path, server: ServerProcess, issuer: Issuer) -> Job:
    return Job(tmp_path, server, issuer.start_job())


def test_a_release_is_published_and_the_token_is_burned(job: Job, issuer: Issuer) -> None:
    job.build("whole")
    before = len(job.traffic())

    ended = job.publish()

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("published whole 1.0.0: 2 files sent")
    assert job.visible("whole") == {"whole-1.0.0-py3-none-any.whl", "whole-1.0.0.tar.gz"}
    seen = job.traffic(before)
    assert seen.count("POST /acme/_/oidc/mint-token 200") == 1
    assert "POST /acme/_/oidc/burn-token 202" in seen
    shown = "".join(line for line in ended.stderr.splitlines(True) if "::add-mask::" not in line)
    assert secrets_in(ended.stdout + shown, issuer) == []


def test_what_is_published_is_skipped_and_nothing_else_replaces_it(job: Job) -> None:
    job.build("whole", "2.0.0")
    assert job.publish().returncode == 0
    assert "2 files published before" in job.publish().stdout
    TinyPackage("whole", "2.0.0", greeting="other").build(job.folder / "dist")

    ended = job.publish()

    assert ended.returncode == 1
    assert ended.stderr.count("is published already with other contents") == 2


def test_a_file_that_is_too_large_is_refused_before_a_byte_and_leaves_nothing_to_wait_for(
    job: Job,
) -> None:
    job.registry = "small"
    job.build("sized", "1.0")
    wheel, sdist = job.build("sized", "2.0")
    grow(wheel, 1_000_000)
    before = len(job.traffic())

    refused = job.publish("--jobs", "1")
    seen = job.traffic(before)
    again = job.publish("dist/sized-1.0*", str(sdist))

    assert refused.returncode == 1
    assert f"error: {wheel.name}: the registry does not take it" in refused.stderr
    assert [line for line in seen if "PUT" in line or "/bytes" in line or "complete" in line] == []
    assert again.returncode == 0, again.stderr
    assert len(job.visible("sized")) == 3


@pytest.mark.parametrize("at", range(1, 13))
def test_a_client_that_is_killed_at_a_step_is_continued_by_the_same_command(
    job: Job, at: int
) -> None:
    files = {path.name for path in job.build("killed", f"{at}.0")}
    words = ("publish", "--url", job.url, "--jobs", "1")

    killed = job.run(sys.executable, "-c", KILLED, str(at), str(1 << 60), *words)
    halfway = job.visible("killed") & files
    ended = job.publish()

    assert killed.returncode == -signal.SIGKILL
    assert halfway in (set(), files)
    assert ended.returncode == 0, ended.stderr
    assert files <= job.visible("killed")


@pytest.mark.parametrize("percent", [1, 50, 99])
def test_a_client_that_is_killed_within_a_file_sends_the_others_once(
    job: Job, percent: int
) -> None:
    wheel, sdist = job.build("killed", f"{percent}.1")
    grow(wheel, 5_000_000)
    last_byte = wheel.stat().st_size + sdist.stat().st_size - 5_000_000 * (100 - percent) // 100
    words = ("publish", "--url", job.url, "--jobs", "1", str(sdist), str(wheel))

    killed = job.run(sys.executable, "-c", KILLED, "0", str(last_byte), *words)
    ended = job.publish(str(sdist), str(wheel))

    assert killed.returncode == -signal.SIGKILL
    assert ended.stdout.startswith(f"published killed {percent}.1: 1 file sent (5.0 MB), 1 file st")
    assert {wheel.name, sdist.name} <= job.visible("killed")


@pytest.mark.parametrize("version", ["4.0", "4.1"])
def test_the_jobs_of_a_matrix_publish_one_release_together(
    tmp_path: Path, server: ServerProcess, issuer: Issuer, version: str
) -> None:
    jobs = [Job(tmp_path / str(n), server, issuer.start_job()) for n in range(3)]
    for number, job in enumerate(jobs):
        wheel, sdist = job.build("whole", version)
        sdist.unlink()
        grow(wheel.rename(wheel.with_name(f"whole-{version}-{number}-py3-none-any.whl")), 3_000_000)

    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(Job.publish, jobs))

    assert [each.returncode for each in ended] == [0, 0, 0], [each.stderr for each in ended]
    seen = {name for name in jobs[0].visible("whole") if f"-{version}-" in name}
    assert seen == {f"whole-{version}-{number}-py3-none-any.whl" for number in range(3)}


def test_a_network_that_breaks_within_a_file_is_overcome(job: Job) -> None:
    wheel, sdist = job.build("large", "2.0.0")
    sdist.unlink()
    grow(wheel, 5_000_000)

    with CuttingRelay(job.server.url, 2_500_000, 4_950_000) as relay:
        ended = job.run(*PROGRAM, "publish", "--url", f"{relay.url}/acme/legacy/")

    assert ended.returncode == 0, ended.stderr
    assert not relay.cuts
    assert ended.stderr.count("large-2.0.0-py3-none-any.whl: sent again") == 2
    assert wheel.name in job.visible("large")


def test_a_staged_release_is_seen_by_nobody_until_it_is_published(job: Job) -> None:
    job.build("staged")

    ended = job.publish("--stage", "--json")

    assert ended.returncode == 0, ended.stderr
    (release,) = json.loads(ended.stdout)["releases"]
    assert job.visible("staged") == set()
    preview = job.run(
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--dest", "got", "staged"),
        *("--index-url", release["stage"], "--disable-pip-version-check", "--quiet"),
        *("--cert", str(job.server.ca_file)),
    )
    assert preview.returncode == 0, preview.stderr
    session = (*PROGRAM, "session")
    there = ("--url", job.url, release["session"])
    status = job.run(*session, "status", *there)
    assert status.stdout.startswith("open, until "), status.stderr
    assert job.run(*session, "publish", *there).returncode == 0
    assert len(job.visible("staged")) == 2


def test_a_discarded_release_is_gone(job: Job) -> None:
    job.build("staged", "2.0.0")
    (release,) = json.loads(job.publish("--stage", "--json").stdout)["releases"]

    ended = job.run(*PROGRAM, "session", "discard", "--url", job.url, release["session"])

    assert ended.returncode == 0, ended.stderr
    assert "staged-2.0.0.tar.gz" not in job.visible("staged")


def test_a_large_file_is_read_from_the_disk_piece_by_piece(job: Job) -> None:
    wheel, sdist = job.build("large")
    sdist.unlink()
    size = 150_000_000
    grow(wheel, size)

    ended = job.run(sys.executable, "-c", MEASURED, *PROGRAM, "publish", "--url", job.url)

    assert ended.returncode == 0, ended.stderr
    assert wheel.name in job.visible("large")
    # A Python process with requests has 50 MB.
    assert int(ended.stdout) * 1024 < size


def test_an_index_with_the_legacy_api_alone_is_published_to(
    tmp_path: Path, servers: Path, server: ServerProcess
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    files = TinyPackage("whole", "5.0.0").build(tmp_path / "dist")
    job = Job(tmp_path, server, {"PYTP_UPLOAD_TOKEN": PASSWORD})

    with pypiserver(servers, packages, tmp_path, "__token__") as index:
        url = index.removesuffix("simple/")
        command = (*PROGRAM, "publish", "--url", url, "--index", index)
        ended, again = job.run(*command), job.run(*command)
        TinyPackage("whole", "5.0.0", greeting="other").build(tmp_path / "dist")
        other = job.run(*command)

    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in packages.iterdir()} == {path.name for path in files}
    assert "2 files published before" in again.stdout, again.stderr
    assert other.stderr.count("is published already with other contents") == 2


@pytest.mark.ministack
def test_a_release_goes_straight_to_a_bucket(
    config: Path, issuer: Issuer, tmp_path: Path, emulator: Emulator
) -> None:
    options = (
        *("--store", "dynamodb", "--table", "release-table", "--bucket", "release-bucket"),
        *("--dynamodb-endpoint", emulator.endpoint_url, "--s3-endpoint", emulator.endpoint_url),
    )

    with ServerProcess(config, tmp_path / "server.log", *options) as server:
        job = Job(tmp_path, server, issuer.start_job())
        wheel, sdist = job.build("whole", "3.0.0")
        grow(wheel, 30_000_000)
        ended = job.publish()
        assert ended.returncode == 0, ended.stderr
        again = job.publish()
        seen, traffic = job.visible("whole"), job.traffic()

    assert not [line for line in traffic if "/bytes" in line or "/_/objects/" in line]
    assert seen == {wheel.name, sdist.name}
    assert "2 files published before" in again.stdout


def grow(path: Path, size: int) -> None:
    """Write a wheel again with a member of random bytes."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    record = next(name for name in members if name.endswith("RECORD"))
    piece, digest = os.urandom(1_000_000), hashlib.sha256()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, octets in members.items():
            if name != record:
                archive.writestr(name, octets)
        with archive.open("large.bin", "w", force_zip64=True) as member:
            for _ in range(size // 1_000_000):
                member.write(piece)
                digest.update(piece)
        named = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
        line = f"large.bin,sha256={named},{size}\n".encode()
        archive.writestr(record, members[record] + line)
