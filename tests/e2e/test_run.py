"""`pytp-broker run`: released clients that publish with a token of their job, and its burning.

Each runs as its user runs it, in the environment of a CI job, against `pytp-broker serve`.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from pytp_broker.client.credentials import VARIABLES
from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.packages import TinyPackage
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.jobs import Job, write_flit_project, write_project
from tests.support.released import ROOT

pytestmark = pytest.mark.e2e

CLIENTS = ("twine", "uv", "hatch", "poetry", "flit", "pdm", "maturin")
CONFIGURATION = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher(
        *(f"run-{client}" for client in CLIENTS),
        "widgets",
        repository_owner_id="9919",
        environment="release",
    ),
    issuers=["{issuer}"],
)
MINT = "POST /acme/_/oidc/mint-token 200"
UPLOAD = "POST /acme/legacy/ 200"
BURN = "POST /acme/_/oidc/burn-token 202"
SHOW = "import os; print(os.environ['TWINE_PASSWORD'])"


def run(job: Job, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command by `pytp-broker run`, as its page shows it."""
    return job.run(job.program, "run", "--url", job.upload_url, "--", *command, **variables)


def publish(job: Job, client: str) -> subprocess.CompletedProcess[str]:
    """Publish a wheel and an sdist with a client, by the command that the page shows."""
    name = f"run-{client}"
    wheel, sdist = TinyPackage(name, greeting=client).build(job.folder / "dist")
    if client == "flit":
        write_flit_project(job.folder, name)
    else:
        write_project(job.folder, name)
    if client == "maturin":
        sdist.unlink()
    page = (ROOT / "docs/run.md").read_text()
    (line,) = re.findall(rf"^\| {client} \| `(.+?)` \|", page, re.MULTILINE)
    program, *words = line.split()
    tool = find_uv_bin() if client == "uv" else str(job.released.tool(program))
    files = [str(wheel)] if client == "maturin" else [str(wheel), str(sdist)]
    expanded = [path for word in words for path in (files if word == "dist/*" else [word])]
    return run(job, tool, *expanded)


def test_the_page_lists_the_clients_that_are_tried_here() -> None:
    page = (ROOT / "docs/run.md").read_text()
    (rows,) = re.findall(r"<!-- run -->\n.*\n.*\n((?:\|.*\n)+)", page)

    assert tuple(re.findall(r"^\| (\w+) \|", rows, re.MULTILINE)) == CLIENTS == tuple(VARIABLES)


def test_the_page_lists_every_variable() -> None:
    page = (ROOT / "docs/run.md").read_text()

    for client, variables in VARIABLES.items():
        (row,) = re.findall(rf"^\| {client} \| `.+?` \| (.+) \|$", page, re.MULTILINE)
        assert re.findall("`(.+?)`", row) == [*variables], client


@pytest.mark.promise("no-secret-of-a-job-in-a-log")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_publishes_and_the_token_is_burned(job: Job, issuer: Issuer, client: str) -> None:
    before = len(job.traffic())

    published = publish(job, client)

    assert published.returncode == 0, published.stdout + published.stderr
    seen = [line for line in job.traffic(before) if line.startswith("POST")]
    uploads = 1 if client == "maturin" else 2
    assert seen == [MINT, *[UPLOAD] * uploads, BURN]
    assert job.secrets(issuer) == []


def test_the_status_is_the_commands_and_the_token_is_burned_all_the_same(job: Job) -> None:
    before = len(job.traffic())

    ended = run(job, sys.executable, "-c", "import sys; sys.exit(7)")

    assert ended.returncode == 7
    assert job.traffic(before)[-1] == BURN


def test_a_command_that_cannot_be_started_leaves_no_token(job: Job) -> None:
    before = len(job.traffic())

    ended = run(job, "no-such-client")

    assert ended.returncode == 127
    assert ended.stderr.endswith("no-such-client: there is no such command\n")
    assert job.traffic(before)[-1] == BURN


@pytest.mark.promise("lent-token")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_job_that_is_cancelled_ends_its_command_and_burns_the_token(job: Job, name: str) -> None:
    before = len(job.traffic())
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.{name}, lambda *_: sys.exit(3))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    command = (job.program, "run", "--url", job.upload_url, "--", sys.executable, "-c", code)
    with job.start(*command) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.send_signal(signal.Signals[name])
        started.communicate(timeout=30)

    assert started.returncode == 3
    assert job.traffic(before)[-1] == BURN


def test_a_job_with_one_identity_token_burns_its_token_too(job: Job, issuer: Issuer) -> None:
    identity = issuer.token(aud="pytp-127.0.0.1/acme", **github_job())
    job.variables = {"GITLAB_CI": "true", "PYTP_IDENTITY_TOKEN": identity}
    before = len(job.traffic())

    shown = run(job, sys.executable, "-c", SHOW)

    assert shown.stdout.startswith("pytp_")
    assert job.traffic(before)[-1] == BURN
    assert not [*job.folder.rglob("pytp-broker-*/*.json")]


def test_a_refused_job_reads_the_brokers_reason_and_runs_nothing(job: Job, issuer: Issuer) -> None:
    job.variables = issuer.start_job(**github_job("octo-org/other"))

    refused = run(job, sys.executable, "-c", "print('ran')")

    assert (refused.returncode, refused.stdout) == (125, "")
    assert "no trusted publisher here matches repository `octo-org/other`" in refused.stderr


def test_outside_of_a_job_nothing_runs(job: Job) -> None:
    job.variables = {}

    refused = run(job, sys.executable, "-c", "print('ran')")

    assert (refused.returncode, refused.stdout) == (125, "")
    assert "this job has no identity token for the audience" in refused.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1/acme/legacy/", "https://127.0.0.1/acme/simple/"])
def test_a_url_that_is_not_for_uploads_is_refused(job: Job, url: str) -> None:
    refused = job.run(job.program, "run", "--url", url, "--", "true")

    assert refused.returncode == 2
    assert "is not the upload URL of a registry; it looks like" in refused.stderr


@pytest.mark.promise("lent-token")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the arguments of processes")
def test_no_argument_of_a_process_has_the_token(job: Job) -> None:
    code = (
        "import os, pathlib\n"
        "token = os.environ['TWINE_PASSWORD'].encode()\n"
        "for pid in (os.getpid(), os.getppid()):\n"
        "    print(token in pathlib.Path(f'/proc/{pid}/cmdline').read_bytes())"
    )

    assert run(job, sys.executable, "-c", code).stdout == "False\nFalse\n"
