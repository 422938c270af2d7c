"""`pytp-broker proxy`: released clients that upload through it, against a real `serve`."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest
from uv import find_uv_bin

from pytp_broker.client.credentials import with_proxy
from pytp_broker.client.proxy import server as proxy_server
from pytp_broker.client.proxy.server import serving
from pytp_broker.client.uploads.wire import Reply
from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.packages import TinyPackage
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.distributions import recorded, wheel_members
from tests.support.jobs import Job, write_flit_project, write_project
from tests.support.released import ROOT

pytestmark = pytest.mark.e2e

CLIENTS = ("twine", "uv", "hatch", "poetry", "flit", "pdm", "maturin")
CONFIGURATION = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher(
        *(f"by-{client}" for client in CLIENTS),
        *("widgets", "gadgets", "large"),
        repository_owner_id="9919",
        environment="release",
    ),
    issuers=["{issuer}"],
)
MINT = "POST /acme/_/oidc/mint-token 200"
BURN = "POST /acme/_/oidc/burn-token 202"
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def command_of(client: str, job: Job, *files: str) -> list[str]:
    """Return the command of docs/run.md with which a client publishes what is in a job's folder."""
    page = (ROOT / "docs/run.md").read_text()
    (line,) = re.findall(rf"^\| {client} \| `(.+?)` \|", page, re.MULTILINE)
    program, *words = line.split()
    tool = find_uv_bin() if client == "uv" else str(job.released.tool(program))
    return [tool, *(path for word in words for path in (files if word == "dist/*" else [word]))]


def prepare(client: str, job: Job) -> list[str]:
    """Write what a client publishes, and return its command."""
    name = f"by-{client}"
    files = TinyPackage(name, greeting=client).build(job.folder / "dist")
    (write_flit_project if client == "flit" else write_project)(job.folder, name)
    return command_of(client, job, *map(str, files[:1] if client == "maturin" else files))


def proxy(job: Job, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return job.run(job.program, "proxy", "--url", job.upload_url, "--", *command, **variables)


def published(job: Job, since: int) -> int:
    """Return how many sessions were published: one for each file."""
    return sum(line.endswith("/publish 201") for line in job.traffic(since))


@pytest.mark.promise("password-of-a-proxy")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_publishes_through_the_proxy(job: Job, issuer: Issuer, client: str) -> None:
    command = prepare(client, job)
    before = len(job.traffic())

    done = proxy(job, *command)

    assert done.returncode == 0, done.stdout + done.stderr
    seen = job.traffic(before)
    assert (seen.count(MINT), seen[-1]) == (1, BURN)
    assert published(job, before) == (1 if client == "maturin" else 2)
    assert job.secrets(issuer) == []


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_waits_for_a_registry_that_takes_long(
    job: Job, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        def bring(self, _: object) -> Reply:
            time.sleep(0.4)
            return Reply(200, "OK")

        def page(self, *_: object) -> Reply:
            return Reply(404)

    command = prepare(client, job)
    monkeypatch.setattr(proxy_server, "INTERIM_SECONDS", 0.1)

    with serving(Slow()) as address:  # type: ignore[arg-type]
        given = with_proxy({}, address.upload_url, address.password.reveal())
        done = job.run(*command, **given)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.promise("password-of-a-proxy")
def test_the_command_gets_a_password_and_no_token(job: Job, issuer: Issuer) -> None:
    shown = proxy(job, sys.executable, "-c", SHOW, PYTP_UPLOAD_TOKEN="")

    assert "proxy-" in shown.stdout
    assert "http://127.0.0.1:" in shown.stdout
    assert not re.findall(r"pytp_[0-9A-Za-z]{71}", shown.stdout)


def test_a_given_token_does_not_reach_the_command(job: Job) -> None:
    shown = proxy(job, sys.executable, "-c", SHOW, PYTP_UPLOAD_TOKEN="pytp_of-an-operator")

    assert shown.returncode == 0, shown.stderr
    assert "pytp_of-an-operator" not in shown.stdout


def test_a_refused_file_has_the_registrys_reason_in_the_client(job: Job) -> None:
    files = TinyPackage("not-ours").build(job.folder / "dist")
    command = command_of("uv", job, *map(str, files))

    refused = proxy(job, *command)

    assert refused.returncode not in {0, 125}
    assert "not-ours" in refused.stderr
    assert "403" in refused.stderr or "orbidden" in refused.stderr


def test_a_refused_job_runs_nothing(job: Job, issuer: Issuer) -> None:
    job.variables = issuer.start_job(**github_job("octo-org/other"))

    refused = proxy(job, sys.executable, "-c", "print('ran')")

    assert (refused.returncode, refused.stdout) == (125, "")
    assert "no trusted publisher here matches repository `octo-org/other`" in refused.stderr


def test_the_status_is_the_commands_and_the_token_is_burned(job: Job) -> None:
    before = len(job.traffic())

    assert proxy(job, "sh", "-c", "exit 7").returncode == 7

    assert job.traffic(before)[-1] == BURN


def test_a_job_that_is_cancelled_ends_its_command_and_burns_the_token(job: Job) -> None:
    before = len(job.traffic())
    code = "import time; print('ready', flush=True); time.sleep(60)"
    command = (job.program, "proxy", "--url", job.upload_url, "--", sys.executable, "-c", code)

    with job.start(*command) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.terminate()
        started.communicate(timeout=30)

    assert started.returncode == 128 + signal.SIGTERM
    assert job.traffic(before)[-1] == BURN


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the arguments of processes")
def test_no_argument_of_a_process_has_the_password(job: Job) -> None:
    code = (
        "import os, pathlib\n"
        "password = os.environ['TWINE_PASSWORD'].encode()\n"
        "for pid in (os.getpid(), os.getppid()):\n"
        "    print(password in pathlib.Path(f'/proc/{pid}/cmdline').read_bytes())"
    )

    assert proxy(job, sys.executable, "-c", code).stdout == "False\nFalse\n"


def test_uv_asks_the_index_of_the_proxy_what_is_there(job: Job) -> None:
    files = TinyPackage("widgets", "4.0").build(job.folder / "dist")
    twice = command_of("uv", job, *map(str, files))
    check = '--check-url "${UV_PUBLISH_URL%legacy/}simple/"'

    assert proxy(job, *twice).returncode == 0
    done = proxy(job, "sh", "-c", f"{shlex.join(twice)} {check}")

    assert done.returncode == 0, done.stderr
    assert "already exists" in done.stderr


def test_a_command_that_cannot_be_started_is_said(job: Job) -> None:
    assert proxy(job, "no-such-client").returncode == 127


def test_an_upload_that_is_repeated_succeeds(job: Job) -> None:
    files = TinyPackage("widgets").build(job.folder / "dist")
    command = command_of("twine", job, *map(str, files))

    assert [proxy(job, *command).returncode for _ in range(2)] == [0, 0]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the memory of a process")
def test_twine_uploads_125_mb_in_little_memory(job: Job) -> None:
    members = {**wheel_members("large"), "large/data.bin": os.urandom(125_000_000)}
    wheel = job.folder / "dist" / "large-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with ZipFile(wheel, "w") as archive:
        for name, content in recorded(members.items()):
            archive.writestr(str(name), content)
    before = len(job.traffic())
    command = shlex.join(command_of("twine", job, str(wheel)))

    done = proxy(job, "sh", "-c", f"{command} && grep VmHWM /proc/$PPID/status")

    assert done.returncode == 0, done.stdout + done.stderr
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(peak) < 100_000
    seen = job.traffic(before)
    assert any(line.startswith("PUT /_/objects/") for line in seen)
    assert any(line.endswith("/publish 201") for line in seen)


def test_clients_that_run_at_the_same_time_are_all_served(job: Job) -> None:
    before = len(job.traffic())
    scripts = []
    for version in ("3.0", "3.1", "3.2"):
        files = TinyPackage("gadgets", version).build(job.folder / version)
        scripts.append(" ".join(command_of("twine", job, *map(str, files))))
    script = " & ".join(scripts)

    done = proxy(job, "bash", "-c", f"{script} & wait")

    assert done.returncode == 0, done.stdout + done.stderr
    assert published(job, before) == 6


def test_a_client_that_dies_in_the_middle_leaves_nothing(job: Job) -> None:
    before = len(job.traffic())
    code = (
        "import base64, http.client, os, urllib.parse\n"
        "url = urllib.parse.urlsplit(os.environ['TWINE_REPOSITORY_URL'])\n"
        "named = '__token__:' + os.environ['TWINE_PASSWORD']\n"
        "client = http.client.HTTPConnection(url.hostname, url.port)\n"
        "client.putrequest('POST', url.path)\n"
        "client.putheader('Authorization', 'Basic ' + base64.b64encode(named.encode()).decode())\n"
        "client.putheader('Content-Type', 'multipart/form-data; boundary=xx')\n"
        "client.putheader('Content-Length', '1000000')\n"
        "client.endheaders(b'--xx\\r\\n')\n"
        "os.kill(os.getpid(), 9)"
    )

    assert proxy(job, sys.executable, "-c", code).returncode == 128 + 9

    assert published(job, before) == 0
    assert job.traffic(before)[-1] == BURN
    assert not [*job.folder.glob("pytp-proxy-*")]


def test_a_job_behind_a_web_proxy_reaches_its_own_machine_directly(job: Job) -> None:
    code = "import os; print(os.environ['NO_PROXY'], os.environ['no_proxy'])"

    shown = proxy(job, sys.executable, "-c", code, NO_PROXY="127.0.0.1,internal")

    assert shown.stdout == "127.0.0.1,internal,127.0.0.1 127.0.0.1\n"
