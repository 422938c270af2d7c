"""The script of docs/shell.md, run by a real bash and jq against a fake broker."""

import http.server
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "shell.md").read_text()
PROVIDERS = sorted((ROOT / "docs" / "providers").glob("*.md"))

Answers = dict[str, tuple[int, bytes]]


def script() -> str:
    found = re.search(r"<!-- publish.sh -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


class Broker:
    """A fake broker: it gives the answers of the test, and keeps what was posted."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.posted: list[tuple[str, bytes]] = []
        broker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                broker.posted.append((self.path.rpartition("/")[2], body))
                self._answer()

            def _answer(self) -> None:
                status, body = broker.answers[self.path.rpartition("/")[2]]
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/acme"

    @property
    def tokens(self) -> list[tuple[str, str]]:
        """Return which token was posted to which endpoint."""
        return [(name, json.loads(body)["token"]) for name, body in self.posted if body]


@pytest.fixture
def broker() -> Iterator[Broker]:
    missing = [tool for tool in ("bash", "curl", "jq") if shutil.which(tool) is None]
    if missing:
        refuse = pytest.fail if os.environ.get("PYTP_REQUIRE_ALL") == "1" else pytest.skip
        refuse(f"needs {', '.join(missing)}")
    answers = {
        "audience": (200, b'{"audience":"acme"}'),
        "mint-token": (200, b'{"token":"pytp_secret","expires":1,"success":true}'),
        "burn-token": (202, b'{"message":"Accepted","errors":[]}'),
    }
    running = Broker(answers)
    thread = Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


def run(
    broker: Broker, *command: str, identity_token: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    text = script().replace("https://packages.example.com/acme", broker.url)
    if identity_token is not None:
        text = re.sub(r"(?s)^identity_token\(\) \{.*?^\}", identity_token, text, flags=re.MULTILINE)
    known = {name: os.environ[name] for name in ("PATH", "HOME")}
    return subprocess.run(
        ["bash", "-c", text, "publish.sh", *command],
        env={**known, "NO_PROXY": "*", "IDENTITY_TOKEN": "e.y.J", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_command_has_the_upload_token_and_the_token_is_burned(broker: Broker) -> None:
    seen = run(broker, "bash", "-c", 'echo "$UV_PUBLISH_TOKEN $TWINE_USERNAME $TWINE_PASSWORD"')

    assert (seen.returncode, seen.stdout) == (0, "pytp_secret __token__ pytp_secret\n")
    assert broker.tokens == [("mint-token", "e.y.J"), ("burn-token", "pytp_secret")]


def test_the_status_is_the_commands_and_the_token_is_burned_all_the_same(broker: Broker) -> None:
    seen = run(broker, "bash", "-c", "exit 7")

    assert seen.returncode == 7
    assert broker.tokens[-1] == ("burn-token", "pytp_secret")


def test_the_token_is_masked_in_the_log_of_github_actions(broker: Broker) -> None:
    seen = run(broker, "true", GITHUB_ACTIONS="true")

    assert seen.stdout == "::add-mask::pytp_secret\n"


@pytest.mark.parametrize(
    ("endpoint", "body", "said"),
    [
        (
            "mint-token",
            b'{"detail":"add `environment: release` to the job","message":"Token request failed"}',
            "add `environment: release` to the job",
        ),
        ("mint-token", b'{"message":"Too Many Requests"}', "Too Many Requests"),
        ("mint-token", b"<html>502</html>", "not an answer of the broker: <html>502</html>"),
        ("mint-token", b"", "not an answer of the broker: "),
        ("mint-token", b"{}", "not an answer of the broker: {}"),
        ("mint-token", b"null", "not an answer of the broker: null"),
        ("mint-token", b"[]", "not an answer of the broker: []"),
        ("mint-token", b'{"token":""}', 'not an answer of the broker: {"token":""}'),
        ("mint-token", b'{"token":null,"detail":"no"}', "no"),
        ("mint-token", b'{"token":{"a":1}}', 'not an answer of the broker: {"token":{"a":1}}'),
        ("audience", b'{"detail":"switched off here"}', "switched off here"),
        ("audience", b"", "not an answer of the broker: "),
    ],
)
def test_what_is_not_a_token_ends_the_script_with_the_reason(
    broker: Broker, endpoint: str, body: bytes, said: str
) -> None:
    broker.answers[endpoint] = (422, body)

    seen = run(broker, "echo", "went on")

    assert seen.returncode == 1
    assert seen.stdout == ""
    assert seen.stderr == f"publish.sh: {said}\n"


def test_a_job_without_an_identity_token_ends_the_script(broker: Broker) -> None:
    seen = run(broker, "echo", "went on", IDENTITY_TOKEN="")

    assert (seen.returncode, seen.stdout) == (1, "")
    assert seen.stderr == "publish.sh: this job has no identity token for the audience acme\n"


def test_a_broker_that_cannot_be_reached_ends_the_script(broker: Broker) -> None:
    broker.url = "http://127.0.0.1:1/acme"

    seen = run(broker, "echo", "went on")

    assert seen.returncode != 0
    assert seen.stdout == ""
    assert "curl" in seen.stderr


def test_a_token_that_cannot_be_burned_is_said(broker: Broker) -> None:
    broker.answers["burn-token"] = (503, b'{"detail":"the store is down"}')

    seen = run(broker, "bash", "-c", "exit 3")

    assert seen.returncode == 3
    assert "the upload token could not be burned; it expires by itself" in seen.stderr


# --- the functions that get the identity token, one a provider ----------------------------------


def identity_functions(page: Path) -> list[str]:
    """Return the functions for `publish.sh` that a provider's page shows."""
    return re.findall(r"^identity_token\(\) \{.*?^\}", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [p for p in PROVIDERS if p.stem != "index"], ids=lambda p: p.stem)
def test_every_provider_has_the_function_that_gets_its_identity_token(page: Path) -> None:
    assert identity_functions(page)
    assert "](../shell.md)" in page.read_text()


# What each function finds in a job: variables, and commands that print the token.
VARIABLES = {
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request",
    "SYSTEM_ACCESSTOKEN": "access",
    "IDENTITY_TOKEN": "e.y.J",
    "BITBUCKET_STEP_OIDC_TOKEN": "e.y.J",
    "SEMAPHORE_OIDC_TOKEN": "e.y.J",
    "PACKAGES_EXAMPLE_COM_ACME_ID_TOKEN": "e.y.J",
}
AUDIENCES = {
    "azure-devops": "api://AzureADTokenExchange",
    "semaphore": "https://acme.semaphoreci.com",
}


@pytest.mark.parametrize(
    ("provider", "function"),
    [(page.stem, function) for page in PROVIDERS for function in identity_functions(page)],
    ids=lambda value: value if "{" not in value else "",
)
def test_the_function_gets_the_token_that_is_exchanged(
    broker: Broker, tmp_path: Path, provider: str, function: str
) -> None:
    audience = AUDIENCES.get(provider, "acme")
    broker.answers["audience"] = (200, json.dumps({"audience": audience}).encode())
    broker.answers["ci"] = (200, b'{"value":"e.y.J","oidcToken":"e.y.J"}')
    broker.answers |= {
        f"ci?{query}": broker.answers["ci"]
        for query in (f"audience={audience}", "api-version=7.1-preview.1")
    }
    for command in ("aws", "gcloud", "circleci", "buildkite-agent"):
        tool = tmp_path / command
        tool.write_text('#!/bin/sh\n[ "$*" != "${*%acme*}" ] && echo e.y.J\n')
        tool.chmod(0o755)
    (tmp_path / "token").write_text("e.y.J")
    function = function.replace("/var/run/secrets/pytp", str(tmp_path))
    url = f"{broker.url.removesuffix('acme')}ci"

    seen = run(
        broker,
        "true",
        identity_token=function,
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        ACTIONS_ID_TOKEN_REQUEST_URL=url,
        SYSTEM_OIDCREQUESTURI=url,
        **VARIABLES,
    )

    assert seen.returncode == 0, seen.stderr
    assert ("mint-token", "e.y.J") in broker.tokens
