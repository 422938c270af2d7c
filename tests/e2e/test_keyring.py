"""Released clients that take their token from the keyring: no secret, no wrapper, no script.

Each runs as its user runs it, in the environment of a CI job, against `pytp-broker serve`.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from tests.support import jobs
from tests.support.configurations import github_issuer, github_publisher, github_reader, registry
from tests.support.jobs import secrets_in, write_flit_project, write_project
from tests.support.released import ROOT, Released

pytestmark = pytest.mark.e2e

PUBLISHERS = ("twine", "poetry", "hatch", "uv", "pdm", "flit")
# `public` stands for PyPI, where anybody may publish the name of a private project.
CONFIGURATION = (
    github_issuer("{issuer}")
    + registry(
        "acme",
        github_publisher(
            *(f"by-{client}" for client in PUBLISHERS),
            "widgets",
            "gadgets",
            repository_owner_id="9919",
            environment="release",
        ),
        github_reader(owner="octo-org"),
        issuers=["{issuer}"],
    )
    + registry(
        "public",
        github_publisher("widgets", repository_owner_id="9919"),
        access="public",
        issuers=["{issuer}"],
    )
    + registry(
        "foreign",
        github_publisher("widgets", repository_owner_id="9919"),
        github_reader(owner="octo-org"),
        audience="of-somebody-else",
        issuers=["{issuer}"],
    )
)
INSTALLING = (ROOT / "docs/installing.md").read_text()
PUBLIC = "https://public.example.com/simple/"
MINT_READ = "POST /acme/_/oidc/mint-read-token 200"
MINT = "POST /acme/_/oidc/mint-token 200"
UPLOAD = "POST /acme/legacy/ 200"
BURN = "POST /acme/_/oidc/burn-token 202"
# The variable that GitLab's documentation has for the audience `pytp-127.0.0.1/acme`.
GITLAB_VARIABLE = "PYTP_127_0_0_1_ACME_ID_TOKEN"


class Job(jobs.Job):
    """A job whose clients have no secret and no wrapper."""

    def publish(
        self, client: str, project: str = "", version: str = "1.0.0"
    ) -> subprocess.CompletedProcess[str]:
        """Publish a wheel and an sdist with a client; return how it ended."""
        package = TinyPackage(project or f"by-{client}", version, greeting=client)
        return COMMANDS[client](self, *package.build(self.folder / version))

    def copy_snippet(self, mark: str) -> None:
        """Write a snippet of docs/installing.md, with this server's URLs in it."""
        found = re.search(rf"<!-- {mark} -->\n```toml\n(.*?)```", INSTALLING, re.DOTALL)
        assert found
        text = found[1].replace("https://packages.example.com/acme/simple/", self.index_url)
        public = f"{self.server.url}/public/simple/"
        (self.folder / "pyproject.toml").write_text(text.replace(PUBLIC, public))


def with_twine(job: Job, *files: Path) -> subprocess.CompletedProcess[str]:
    options = ("--non-interactive", "--disable-progress-bar", "--repository-url", job.upload_url)
    return job.run(job.released.tool("twine"), "upload", *options, *files)


def with_poetry(job: Job, *files: Path) -> subprocess.CompletedProcess[str]:
    name, version = files[0].name.split("-")[:2]
    write_project(job.folder, name, version)
    return job.run(
        *(job.released.tool("poetry"), "publish", "--no-interaction", "--repository", "acme"),
        *("--dist-dir", files[0].parent),
        POETRY_REPOSITORIES_ACME_URL=job.upload_url,
    )


def with_hatch(job: Job, *files: Path) -> subprocess.CompletedProcess[str]:
    options = ("--no-prompt", "--repo", job.upload_url, "--user", "__token__")
    return job.run(job.released.tool("hatch"), "publish", *options, *files)


def with_uv(job: Job, *files: Path) -> subprocess.CompletedProcess[str]:
    options = ("--keyring-provider", "subprocess", "--username", "__token__")
    return job.run(find_uv_bin(), "publish", *options, "--publish-url", job.upload_url, *files)


def with_pdm(job: Job, *files: Path) -> subprocess.CompletedProcess[str]:
    name, version = files[0].name.split("-")[:2]
    write_project(job.folder, name, version)
    options = ("--no-build", "--dest", files[0].parent, "--repository", job.upload_url)
    return job.run(job.released.tool("pdm"), "publish", *options)


def with_flit(job: Job, *files: Path) -> subprocess.CompletedProcess[str]:
    name, version = files[0].name.split("-")[:2]  # flit builds both itself
    write_flit_project(job.folder, name, version)
    return job.run(
        *(job.released.tool("flit"), "publish", "--no-use-vcs"),
        FLIT_INDEX_URL=job.upload_url,
        FLIT_USERNAME="__token__",
    )


COMMANDS: dict[str, Callable[..., subprocess.CompletedProcess[str]]] = {
    "twine": with_twine,
    "poetry": with_poetry,
    "hatch": with_hatch,
    "uv": with_uv,
    "pdm": with_pdm,
    "flit": with_flit,
}


@pytest.fixture
def job(tmp_path: Path, released: Released, server: ServerProcess, issuer: Issuer) -> Job:
    """Return a job whose CI signs a new identity token each time, as GitHub's does."""
    return Job(tmp_path, released, server, issuer.start_job())


@pytest.fixture
def one_token(job: Job, issuer: Issuer) -> Job:
    """Return a job whose CI gives it one identity token, as GitLab's does."""
    token = issuer.token(aud="pytp-127.0.0.1/acme", **github_job())
    job.variables = {"GITLAB_CI": "true", GITLAB_VARIABLE: token}
    return job


def text_of(file: Path) -> str:
    return file.read_bytes().decode("latin-1")


def test_the_page_lists_the_clients_that_are_tried_here() -> None:
    page = (ROOT / "docs/keyring.md").read_text()
    tables = re.findall(r"<!-- (\w+) -->\n.*\n.*\n((?:\|.*\n)+)", page)

    listed = {mark: re.findall(r"^\| (.+?) \|", rows, re.MULTILINE) for mark, rows in tables}
    assert listed == {
        "publish": list(PUBLISHERS),
        "install": ["pip", "uv pip", "uv sync, uv lock, uv run", "poetry", "pdm"],
    }


# --- publish ------------------------------------------------------------------------------------


@pytest.mark.promise("no-secret-of-a-job-in-a-log")
@pytest.mark.parametrize("client", PUBLISHERS)
def test_a_client_publishes_with_a_token_of_its_job(job: Job, issuer: Issuer, client: str) -> None:
    before = len(job.traffic())

    published = job.publish(client)

    assert published.returncode == 0, published.stdout + published.stderr
    seen = job.traffic(before)
    assert seen.count(MINT) == 1
    assert seen.count(UPLOAD) == 2
    # The program `keyring` has ended before uv uses its token, so nobody burns it.
    assert seen.count(BURN) == (client != "uv")
    assert not secrets_in(job.log, issuer)
    assert not [f for f in job.folder.rglob("*") if f.is_file() and secrets_in(text_of(f), issuer)]


@pytest.mark.parametrize(
    ("first", "second", "minor"), [("uv", "uv", 1), ("twine", "uv", 2), ("twine", "twine", 3)]
)
def test_a_job_with_one_identity_token_publishes_with_several_clients(
    one_token: Job, first: str, second: str, minor: int
) -> None:
    before = len(one_token.traffic())

    for client, project in ((first, "widgets"), (second, "gadgets")):
        published = one_token.publish(client, project, f"1.{minor}")
        assert published.returncode == 0, published.stdout + published.stderr

    seen = one_token.traffic(before)
    assert seen.count(MINT) == 1
    assert seen.count(UPLOAD) == 4
    assert BURN not in seen


def test_processes_of_a_job_that_ask_at_once_share_its_one_token(one_token: Job) -> None:
    before = len(one_token.traffic())
    program = one_token.released.keyring / "bin" / "keyring"

    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(one_token.run, program, "get", one_token.upload_url, "__token__")
            for _ in range(8)
        ]
        answers = {each.result().stdout for each in asked}

    (token,) = answers
    assert token.startswith("pytp_")
    assert one_token.traffic(before).count(MINT) == 1


@pytest.mark.parametrize("client", ["twine", "poetry", "hatch", "uv"])
def test_a_refused_job_reads_the_brokers_reason(job: Job, issuer: Issuer, client: str) -> None:
    job.variables = issuer.start_job(**github_job("octo-org/other"))
    before = len(job.traffic())

    refused = job.publish(client)

    assert refused.returncode != 0
    shown = " ".join((refused.stdout + refused.stderr).split())
    assert "no trusted publisher here matches repository `octo-org/other`" in shown
    assert "Traceback" not in shown
    assert UPLOAD not in job.traffic(before)


def test_outside_of_a_job_a_client_finds_nothing_in_the_keyring(job: Job) -> None:
    job.variables = {}
    before = len(job.traffic())

    refused = job.publish("twine")

    assert refused.returncode != 0
    assert len(job.traffic()) == before
    assert "pytp-broker" not in refused.stdout + refused.stderr


# --- install ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def widgets(
    released: Released,
    server: ServerProcess,
    issuer: Issuer,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Publish what the tests install, and a higher version of it elsewhere; return its version."""
    job = Job(tmp_path_factory.mktemp("publisher"), released, server, issuer.start_job())
    published = job.publish("twine", "widgets", "2.0")
    assert published.returncode == 0, published.stdout + published.stderr
    job.registry = "public"
    published = job.publish("uv", "widgets", "9.0")
    assert published.returncode == 0, published.stdout + published.stderr
    return "2.0"


@pytest.fixture
def reader(job: Job, issuer: Issuer, widgets: str) -> Job:
    """Return a job of another repository of the owner, which may read and not publish."""
    job.variables = issuer.start_job(
        **github_job("octo-org/app", workflow="ci.yml", environment=None, ref="refs/heads/main")
    )
    return job


def with_pip(job: Job, user: str = "") -> tuple[subprocess.CompletedProcess[str], Path]:
    target = job.folder / "installed"
    python = job.released.tool("python")
    options = ("--disable-pip-version-check", "--no-cache-dir", "--keyring-provider", "subprocess")
    where = ("--index-url", job.index_url.replace("//", f"//{user}"), "--target", target)
    return job.run(python, "-m", "pip", *options, "install", *where, "widgets"), target


def with_pip_and_user(job: Job) -> tuple[subprocess.CompletedProcess[str], Path]:
    return with_pip(job, user="__token__@")


def with_uv_pip(job: Job) -> tuple[subprocess.CompletedProcess[str], Path]:
    target = job.folder / "installed"
    url = job.index_url.replace("https://", "https://__token__@")
    options = ("--keyring-provider", "subprocess", "--python", sys.executable)
    where = ("--index-url", url, "--target", target)
    return job.run(find_uv_bin(), "pip", "install", *options, *where, "widgets"), target


def with_uv_sync(job: Job) -> tuple[subprocess.CompletedProcess[str], Path]:
    job.copy_snippet("uv")
    elsewhere = {"UV_NO_CONFIG": "0", "UV_DEFAULT_INDEX": f"{job.server.url}/public/simple/"}
    done = job.run(find_uv_bin(), "sync", "--python", sys.executable, **elsewhere)
    return done, job.folder / ".venv"


def with_poetry_install(job: Job) -> tuple[subprocess.CompletedProcess[str], Path]:
    job.copy_snippet("poetry")
    done = job.run(
        *(job.released.tool("poetry"), "install", "--no-interaction", "--no-root"),
        POETRY_VIRTUALENVS_IN_PROJECT="true",
        POETRY_CACHE_DIR=str(job.folder / "poetry"),
    )
    return done, job.folder / ".venv"


def with_pdm_install(job: Job) -> tuple[subprocess.CompletedProcess[str], Path]:
    job.copy_snippet("pdm")
    project = job.folder / "pyproject.toml"
    trusting = f'\nca_certs = "{job.server.ca_file}"\nexclude_packages'
    project.write_text(project.read_text().replace("\nexclude_packages", trusting))
    done = job.run(job.released.tool("pdm"), "install", "--no-self", PDM_CACHE_DIR=str(job.folder))
    return done, job.folder / ".venv"


INSTALLERS: dict[str, Callable[[Job], tuple[subprocess.CompletedProcess[str], Path]]] = {
    "pip": with_pip,
    "pip with a user name": with_pip_and_user,
    "uv pip": with_uv_pip,
    "uv sync": with_uv_sync,
    "poetry": with_poetry_install,
    "pdm": with_pdm_install,
}


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_client_installs_from_a_private_registry(
    reader: Job, issuer: Issuer, installer: str
) -> None:
    before = len(reader.traffic())

    done, folder = INSTALLERS[installer](reader)

    assert done.returncode == 0, done.stdout + done.stderr
    (module,) = folder.rglob("widgets.py")
    assert reader.run(sys.executable, module).stdout == "twine\n"
    seen = reader.traffic(before)
    assert seen.count(MINT_READ) == 1
    assert MINT not in seen
    assert not any(secrets_in(text_of(lock), issuer) for lock in reader.folder.glob("*.lock"))


def test_with_an_extra_index_pip_takes_the_higher_version_of_a_stranger(reader: Job) -> None:
    target = reader.folder / "installed"
    options = ("--disable-pip-version-check", "--no-cache-dir", "--keyring-provider", "subprocess")
    extra = ("--extra-index-url", f"{reader.server.url}/public/simple/")
    where = ("--index-url", reader.index_url, *extra, "--target", target)

    done = reader.run(
        reader.released.tool("python"), "-m", "pip", *options, "install", *where, "widgets"
    )

    assert done.returncode == 0, done.stderr
    assert reader.run(sys.executable, target / "widgets.py").stdout == "uv\n"


@pytest.mark.promise("audience-of-an-address")
def test_an_index_that_names_a_foreign_audience_gets_no_identity_token(
    reader: Job, issuer: Issuer
) -> None:
    reader.registry = "foreign"
    before, asked = len(reader.traffic()), len(issuer.requests)

    refused, _ = INSTALLERS["uv pip"](reader)

    assert refused.returncode != 0
    assert "set PYTP_TRUSTED_URLS=" in refused.stderr
    assert not [line for line in reader.traffic(before) if line.startswith("POST")]
    assert len(issuer.requests) == asked


def test_a_registry_with_an_audience_of_its_own_is_used_if_the_job_trusts_it(reader: Job) -> None:
    reader.registry = "foreign"
    reader.variables["PYTP_TRUSTED_URLS"] = f"{reader.server.url}/foreign"
    before = len(reader.traffic())

    INSTALLERS["uv pip"](reader)

    assert "POST /foreign/_/oidc/mint-read-token 200" in reader.traffic(before)


def test_a_job_with_one_identity_token_reads_and_publishes(one_token: Job, widgets: str) -> None:
    before = len(one_token.traffic())

    for installer in ("pip", "uv pip"):
        done, _ = INSTALLERS[installer](one_token)
        assert done.returncode == 0, done.stdout + done.stderr
    published = one_token.publish("uv", "gadgets", "2.0")

    assert published.returncode == 0, published.stdout + published.stderr
    seen = one_token.traffic(before)
    assert (seen.count(MINT_READ), seen.count(MINT)) == (1, 1)


def test_a_job_that_may_not_read_sees_the_brokers_reason(job: Job, issuer: Issuer) -> None:
    job.variables = issuer.start_job(**github_job("umbrella-corp/app", owner_id="77"))

    done, _ = INSTALLERS["uv pip"](job)

    assert done.returncode != 0
    assert "pytp-broker: " in done.stderr
    assert "umbrella-corp/app" in done.stderr
    assert "Traceback" not in done.stderr


# --- a person's machine -------------------------------------------------------------------------


@pytest.fixture
def laptop(job: Job, issuer: Issuer, widgets: str) -> Job:
    """Return the machine of a person, who keeps a read token in the keyring of the system."""
    audience = "pytp-127.0.0.1/acme"
    identity = issuer.token(aud=audience, **github_job("octo-org/app", environment=None))
    with requests.Session() as session:
        session.trust_env = False
        session.verify = job.server.ca_file or True
        answer = session.post(
            f"{job.server.url}/acme/_/oidc/mint-read-token", json={"token": identity}
        )
    job.variables = {
        "PYTHON_KEYRING_BACKEND": "tests.support.keyrings.FileKeyring",
        "PYTHONPATH": str(ROOT),
        "TEST_KEYRING": str(job.folder / "keyring.json"),
    }
    (job.folder / "token").write_text(answer.json()["token"])
    return job


def log_in(laptop: Job) -> subprocess.CompletedProcess[str]:
    program = laptop.released.keyring / "bin" / "pytp-broker"
    return laptop.run("sh", "-c", f"{program} login {laptop.index_url} < token")


@pytest.mark.parametrize("installer", INSTALLERS)
def test_an_installer_finds_the_token_of_a_login(laptop: Job, installer: str) -> None:
    kept = log_in(laptop)
    assert kept.returncode == 0, kept.stderr
    before = len(laptop.traffic())

    done, folder = INSTALLERS[installer](laptop)

    assert done.returncode == 0, done.stdout + done.stderr
    assert list(folder.rglob("widgets.py"))
    assert not [line for line in laptop.traffic(before) if "/_/oidc/" in line]


def test_a_login_with_a_bad_token_keeps_nothing(laptop: Job) -> None:
    (laptop.folder / "token").write_text("pytp_wrong")

    refused = log_in(laptop)

    assert refused.returncode == 1
    assert "unauthorized" in refused.stderr
    assert not (laptop.folder / "keyring.json").exists()


# --- what a client installs -----------------------------------------------------------------------


def test_a_client_installs_in_seconds(released: Released) -> None:
    packages = released.keyring.glob("lib/python3.*/site-packages/*.dist-info")
    names = {path.name.partition("-")[0] for path in packages}

    assert not names & {
        "boto3",
        "botocore",
        "pydantic",
        "uvicorn",
        "pyjwt",
    }
    # A base install shows progress with rich.
    assert len(names - {"rich", "markdown_it_py", "mdurl", "pygments"}) <= 24
    assert size(released.keyring) < 40_000_000


def size(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)
