"""What docs/ci.md and infra/ci/ show, run as a CI runs it, against `pytp-broker serve`."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import yaml

from pytp_broker.client import ambient
from pytp_broker.demo.issuer import Issuer, github_job
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.process import ServerProcess
from pytp_broker.trust.providers import PROVIDERS
from tests.support.ci_runner import (
    ACTION,
    GitHubRunner,
    GitLabRunner,
    Runner,
    lines_of,
    quoted,
    snippet,
    variables_of,
)
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.jobs import Job
from tests.support.released import ROOT, Released

pytestmark = pytest.mark.e2e

OWN_AUDIENCES = {
    "azure-devops": "api://AzureADTokenExchange",
    "semaphore": "https://acme.semaphoreci.com",
}
AUDIENCE = "pytp-127.0.0.1/acme"
TRUSTED = github_publisher(
    *(f"from-{name}" for name in (*PROVIDERS, "action", "export", "component")),
    repository_owner_id="9919",
    environment="release",
)
CONFIGURATION = (
    github_issuer("{issuer}")
    + registry("acme", TRUSTED, issuers=["{issuer}"], access="public")
    + "".join(
        registry(
            name,
            TRUSTED,
            issuers=["{issuer}"],
            access="public",
            audience=audience,
            shared_host_exchange=False,
        )
        for name, audience in OWN_AUDIENCES.items()
    )
)
MINT, BURN = "/_/oidc/mint-token 200", "/_/oidc/burn-token 202"
MASKS = {"yes": 1, "no": 0}


@pytest.fixture
def job(tmp_path: Path, released: Released, server: ServerProcess) -> Job:
    return Job(tmp_path, released, server, {})


def rows() -> dict[str, list[str]]:
    """Return the cells of the page's table, by the title of the provider."""
    page = (ROOT / "docs/ci.md").read_text()
    (table,) = re.findall(r"<!-- ci -->\n.*\n.*\n((?:\|.*\n)+)", page)
    cells = [line.strip("|").split(" | ") for line in table.splitlines()]
    return {re.findall(r"\[(.+)\]", first)[0]: rest for first, *rest in cells}


def test_the_table_has_every_provider() -> None:
    assert [*rows()] == [provider.title for provider in PROVIDERS.values()]


def ends(runner: Runner, before: int) -> list[str]:
    """Return the first and the last thing that a job has posted: an exchange, and a burn."""
    prefix = f"POST /{runner.job.registry}"
    posted = [line for line in runner.job.traffic(before) if line.startswith(prefix)]
    return [line.removeprefix(prefix) for line in (posted[0], posted[-1])]


def published(job: Job, project: str) -> list[str]:
    """Return the files of a project that everybody sees."""
    page = requests.get(
        f"{job.index_url}{project}/",
        headers={"Accept": "application/vnd.pypi.simple.v1+json"},
        verify=str(job.server.ca_file),
        timeout=20,
    )
    assert page.status_code == 200, page.text
    return [file["filename"] for file in page.json()["files"]]


# --- snippets ------------------------------------------------------------------------------------


@dataclass
class Setting:
    """What the CI of a provider has in a job: an identity token, and where it is."""

    runner: Runner
    issuer: Issuer
    audience: str

    def token(self) -> str:
        return self.issuer.token(aud=self.audience, **github_job())

    def variables(self, **names: str) -> None:
        self.runner.job.variables |= names

    def tool(self, name: str, words: str) -> None:
        """Give the job a tool of the CI that prints the token if it is asked with these words."""
        token = quoted(self.token())
        redact = '"redactor add") cat > redacted'
        self.runner.give(name, f'case "$*" in {words}) echo {token};; {redact};; *) exit 9;; esac')


def as_github(setting: Setting) -> None:
    setting.variables(**setting.issuer.start_job())


def as_azure(setting: Setting) -> None:
    token = setting.token()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            is_ours = self.headers["Authorization"] == "Bearer of-the-job"
            body = json.dumps({"oidcToken": token} if is_ours else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=service.serve_forever, args=(0.05,), daemon=True).start()
    uri = f"http://127.0.0.1:{service.server_port}/oidctoken"
    setting.variables(TF_BUILD="True", SYSTEM_OIDCREQUESTURI=uri)


def as_buildkite(setting: Setting) -> None:
    setting.variables(BUILDKITE="true")
    setting.tool("buildkite-agent", f'"oidc request-token --audience {setting.audience}"')


def as_circleci(setting: Setting) -> None:
    setting.variables(CIRCLECI="true")
    setting.tool("circleci", '"run oidc get"*')


def as_aws(setting: Setting) -> None:
    setting.variables(CODEBUILD_BUILD_ID="widgets:1")
    setting.tool("aws", f'"sts get-web-identity-token --audience {setting.audience} "*')


def as_google(setting: Setting) -> None:
    setting.tool("gcloud", '"auth print-identity-token --audiences="*')


def as_kubernetes(setting: Setting) -> None:
    mounted = setting.runner.job.folder.parent / "mounted-token"
    mounted.write_text(setting.token())
    setting.variables(PYTP_IDENTITY_TOKEN_FILE=str(mounted))


def in_variable(name: str) -> Callable[[Setting], None]:
    return lambda setting: setting.variables(**{name: setting.token()})


SETTINGS: dict[str, Callable[[Setting], None]] = {
    "github": as_github,
    "gitlab": in_variable("PYTP_IDENTITY_TOKEN"),
    "google": as_google,
    "activestate": in_variable("IDENTITY_TOKEN"),
    "circleci": as_circleci,
    "buildkite": as_buildkite,
    "bitbucket": in_variable("BITBUCKET_STEP_OIDC_TOKEN"),
    "azure-devops": as_azure,
    "forgejo": as_github,
    "semaphore": in_variable("SEMAPHORE_OIDC_TOKEN"),
    "kubernetes": as_kubernetes,
    "aws": as_aws,
    "generic": in_variable("IDENTITY_TOKEN"),
}


@pytest.fixture(params=PROVIDERS)
def setting(request: pytest.FixtureRequest, job: Job, issuer: Issuer) -> Setting:
    """Return a job of each provider, with a wheel and an sdist to publish."""
    name = request.param
    job.registry = name if name in OWN_AUDIENCES else "acme"
    TinyPackage(f"from-{name}").build(job.folder / "dist")
    made = Setting(Runner(job), issuer, OWN_AUDIENCES.get(name, AUDIENCE))
    SETTINGS[name](made)
    return made


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["setting"])


@pytest.mark.promise("no-secret-of-a-job-in-a-log")
def test_a_snippet_publishes_and_burns_its_token(
    setting: Setting, provider: str, issuer: Issuer
) -> None:
    job, text = setting.runner.job, setting.runner.place(snippet(provider))
    given = {
        name: value.replace("$(System.AccessToken)", "of-the-job")
        for name, value in variables_of(text).items()
    }
    before = len(job.traffic())

    status = setting.runner.shell(*lines_of(text), **given)

    assert status == 0, setting.runner.log
    assert ends(setting.runner, before) == [MINT, BURN]
    assert len(published(job, f"from-{provider}")) == 2
    _, found_in, hidden = rows()[PROVIDERS[provider].title]
    redacted = job.folder / "redacted"
    assert len(setting.runner.masked) + redacted.exists() == MASKS[hidden.strip()]
    redacted.unlink(missing_ok=True)
    assert is_there(found_in.strip(" `"), setting, text)
    shutil.rmtree(setting.runner.tools)
    assert job.secrets(issuer) == []


def is_there(source: str, setting: Setting, text: str) -> bool:
    """Say whether the token was where the table says: nowhere else was one."""
    if source == str(ambient.PROJECTED):
        return "PYTP_IDENTITY_TOKEN_FILE" in setting.runner.job.variables
    if source.isupper() or "_" in source:
        return source in setting.runner.job.variables or source in text
    return (setting.runner.tools / source.split(maxsplit=1)[0]).exists()


# --- the action ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runner")


@pytest.fixture
def github(job: Job, issuer: Issuer, temporary: Path) -> GitHubRunner:
    if shutil.which("node") is None:
        refuse = pytest.fail if os.environ.get("PYTP_REQUIRE_ALL") == "1" else pytest.skip
        refuse("needs node, which every runner of GitHub has")
    job.variables = issuer.start_job()
    return GitHubRunner(job, temporary=temporary)


def workflow(name: str, **changes: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(snippet(name))
    (job,) = loaded["jobs"].values()
    for step in job["steps"]:
        if "with" in step:
            step["with"] |= changes
    return loaded


def test_the_action_gives_later_steps_a_token_and_burns_it_when_the_job_ends(
    github: GitHubRunner, issuer: Issuer
) -> None:
    TinyPackage("from-action").build(github.job.folder / "dist")
    before = len(github.job.traffic())

    assert github.run(workflow("action")) == 0, github.log

    assert ends(github, before) == [MINT, BURN]
    assert len(published(github.job, "from-action")) == 2
    assert set(github.masked) == {github.outputs["registry"]["token"]}
    assert github.job.secrets(issuer) == []


def test_the_action_gives_the_token_to_every_step_only_if_it_is_told_to(
    github: GitHubRunner,
) -> None:
    TinyPackage("from-export").build(github.job.folder / "dist")
    told = workflow("action", export="true")
    told["jobs"]["release"]["steps"][-1].pop("env")
    before = len(github.job.traffic())

    assert github.run(told) == 0, github.log

    assert ends(github, before) == [MINT, BURN]
    assert len(published(github.job, "from-export")) == 2
    assert github.exported["UV_PUBLISH_TOKEN"] == github.outputs["registry"]["token"]


def test_the_action_exports_nothing_by_itself_and_burns_after_a_failure(
    github: GitHubRunner,
) -> None:
    before = len(github.job.traffic())
    steps = [*workflow("action")["jobs"]["release"]["steps"][:-1], {"run": "exit 5"}]

    assert github.run({"jobs": {"release": {"steps": steps}}}) == 5

    assert ends(github, before) == [MINT, BURN]
    assert github.exported == {}


def test_a_refused_action_says_why_and_leaves_nothing_to_burn(
    github: GitHubRunner, issuer: Issuer
) -> None:
    github.job.variables = issuer.start_job(**github_job("octo-org/other"))

    assert github.run(workflow("action")) == 1

    assert "::error::" in github.log
    assert "no trusted publisher here matches repository `octo-org/other`" in github.log
    assert github.masked == []


def test_an_action_with_another_url_says_what_one_looks_like(github: GitHubRunner) -> None:
    assert github.run(workflow("action", url="https://packages.example.com/simple/")) == 1

    assert "is not the upload URL of a registry; it looks like" in github.log


def test_the_action_runs_no_python_of_the_workspace(github: GitHubRunner, tmp_path: Path) -> None:
    github.temporary = tmp_path / "empty"
    for name in ("pip.py", "requests.py", "pytp_broker.py"):
        (github.job.folder / name).write_text("open('taken', 'w')")

    assert github.run(workflow("action", url="https://packages.example.com/simple/")) == 1

    assert "is not the upload URL of a registry" in github.log
    assert not (github.job.folder / "taken").exists()


def test_the_action_looks_for_no_program_in_the_workspace(github: GitHubRunner) -> None:
    github.give("python3", "pwd; exit 1")

    assert github.run(workflow("action")) == 1

    assert f"{ACTION}\n" in github.log


def test_a_runner_without_a_new_python_says_what_to_add(github: GitHubRunner) -> None:
    github.give("python3", "exit 1")

    assert github.run(workflow("action")) == 1

    assert "needs Python 3.11 or later: add actions/setup-python" in github.log


def test_the_page_lists_the_inputs_and_outputs_of_the_action() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    tables = re.findall(r"\| (?:Input|Output) \| What it is \|\n.*\n((?:\|.*\n)+)", page)

    listed = [re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for table in tables]
    assert listed == [[*action["inputs"]], [*action["outputs"]]]


# --- the component -------------------------------------------------------------------------------


def test_the_component_publishes_and_burns_its_token(job: Job, issuer: Issuer) -> None:
    runner = GitLabRunner(job)
    TinyPackage("from-component").build(job.folder / "dist")
    before = len(job.traffic())

    status = runner.run(
        lambda audience: issuer.token(aud=audience, **github_job()),
        url=job.upload_url,
        audience=AUDIENCE,
    )

    assert status == 0, runner.log
    assert ends(runner, before) == [MINT, BURN]
    assert len(published(job, "from-component")) == 2
    assert job.secrets(issuer) == []


def test_the_page_lists_the_inputs_of_the_component() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    (table,) = re.findall(r"<!-- component inputs -->\n.*\n.*\n((?:\|.*\n)+)", page)
    head = (ROOT / "infra/ci/gitlab/templates/publish.yml").read_text().split("\n---\n")[0]
    declared = yaml.safe_load(head)["spec"]["inputs"]

    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [*declared]
    shown = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", table, re.MULTILINE))
    texts = {name: each["default"] for name, each in declared.items() if "default" in each}
    assert shown == {name: text for name, text in texts.items() if isinstance(text, str)}
