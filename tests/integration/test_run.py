"""`run` and `proxy` in this process: what the command gets, and how the run ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytp_broker.cli import main, proxy
from pytp_broker.cli import run as command
from pytp_broker.client.job_tokens import NOT_BURNED, JobTokens
from pytp_broker.client.proxy.relay import Relay
from pytp_broker.client.proxy.server import Address as Local
from pytp_broker.client.publishing.opening import Address
from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.token_cache import TokenCache
from pytp_broker.client.transport import Answer
from pytp_broker.client.uploads.api import UploadApi
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.redaction import Hidden
from tests.support.remote import BASE, INDEX, UPLOAD, Remote
from tests.support.upload_server import AUTHORIZATION, ORIGIN, ROOT, UploadServer

SHOW = "import os; print(os.environ['TWINE_REPOSITORY_URL'], os.environ['UV_PUBLISH_TOKEN'])"


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, quick_path: Path) -> Remote:
    """Let this process be a job with one identity token, and a broker be at the other end."""
    monkeypatch.delenv("PYTP_UPLOAD_TOKEN", raising=False)
    remote = Remote()
    variables = {"PYTP_IDENTITY_TOKEN": remote.identity()}
    monkeypatch.setattr(
        command,
        "tokens_to_lend",
        lambda _: JobTokens(
            variables, TokenCache(quick_path), remote.send, remote.seconds, is_shared=False
        ),
    )
    return remote


def run(*words: str, url: str = UPLOAD) -> int:
    return main(["run", "--url", url, "--", *words])


def test_the_command_has_the_url_and_a_token_that_is_burned(
    remote: Remote, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(sys.executable, "-c", SHOW) == 0

    url, token = capfd.readouterr().out.split()
    assert url == UPLOAD
    assert token.startswith("pytp_")
    (record,) = remote.store.tokens.values()
    assert record.burned_at is not None


def test_a_token_that_could_not_be_burned_is_told_and_the_status_stays(
    remote: Remote, capfd: pytest.CaptureFixture[str]
) -> None:
    remote.answers[f"{BASE}/_/oidc/burn-token"] = Answer(503, {})

    assert run(sys.executable, "-c", "import sys; sys.exit(4)") == 4

    assert capfd.readouterr().err == f"pytp-broker: {NOT_BURNED}\n"


def test_a_token_that_is_given_is_used_and_not_burned(
    remote: Remote, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTP_UPLOAD_TOKEN", " pytp_given ")

    assert run(sys.executable, "-c", SHOW) == 0

    assert capfd.readouterr().out == f"{UPLOAD} pytp_given\n"
    assert not remote.calls


def test_without_a_token_nothing_runs(remote: Remote, capfd: pytest.CaptureFixture[str]) -> None:
    remote.configure("")

    assert run(sys.executable, "-c", "print('ran')") == 125

    assert capfd.readouterr().out == ""


def test_a_command_that_cannot_be_started_says_why(
    remote: Remote, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("no-such-command") == 127

    assert capfd.readouterr().err == "no-such-command: there is no such command\n"


@pytest.mark.parametrize("url", [INDEX, "packages.example.com"])
def test_another_url_is_refused_before_anybody_is_asked(
    remote: Remote, capfd: pytest.CaptureFixture[str], url: str
) -> None:
    assert run("true", url=url) == 2

    assert "is not the upload URL of a registry" in capfd.readouterr().err
    assert not remote.calls


# --- proxy ---------------------------------------------------------------------------------------

CHECK = "import os; print(os.environ['TWINE_REPOSITORY_URL'], os.environ['TWINE_PASSWORD'])"


@dataclass
class Registry:
    """A registry that is open; ``failure`` is why it authorises nothing."""

    failure: Exception | None = None
    ended: list[str] = field(default_factory=list)

    @property
    def legacy(self) -> "Registry":
        return self

    def authorize(self) -> None:
        if self.failure:
            raise self.failure

    @contextmanager
    def opened(self, address: Address, *_: object) -> Iterator["Registry"]:
        if address.url != UPLOAD:
            raise PublishError(["it is not an upload URL", "check it"])
        yield self
        self.ended.append(address.url)


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(proxy, "opened", registry.opened)
    return registry


def through_proxy(*words: str, url: str = UPLOAD) -> int:
    return main(["proxy", "--url", url, "--", *words])


def test_the_command_has_an_index_of_this_machine(
    upstream: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    assert through_proxy(sys.executable, "-c", CHECK) == 0

    url, password = capfd.readouterr().out.split()
    assert url.startswith("http://127.0.0.1:")
    assert password.startswith("proxy-")
    assert upstream.ended == [UPLOAD]


def test_a_registry_that_refuses_runs_nothing(
    upstream: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    upstream.failure = UploadError("this job has no identity token")

    assert through_proxy(sys.executable, "-c", "print('ran')") == 125

    assert capfd.readouterr() == ("", "this job has no identity token\n")


def test_a_url_that_leads_nowhere_runs_nothing(
    upstream: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    assert through_proxy("true", url=INDEX) == 125

    assert capfd.readouterr().err == "it is not an upload URL\ncheck it\n"


def test_behind_a_proxy_a_command_that_cannot_be_started_says_why(
    upstream: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    assert through_proxy("no-such-command") == 127

    assert capfd.readouterr().err == "no-such-command: there is no such command\n"


@pytest.mark.usefixtures("upstream")
def test_a_session_in_the_way_is_told_with_the_commands_that_end_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = UploadServer()
    api = UploadApi(ROOT, ORIGIN, server.send, lambda: Hidden(AUTHORIZATION))
    session = api.open("widgets", "1.0")

    @contextmanager
    def serving(relay: Relay) -> Iterator[Local]:
        relay.tell_of(session)
        yield Local("http://127.0.0.1:1/legacy/", Hidden("password"))

    monkeypatch.setattr(proxy, "serving", serving)

    assert through_proxy("true") == 0

    assert capfd.readouterr().err.splitlines() == [
        f"pytp-broker: pytp-broker session {action} --url {UPLOAD} {session.url}"
        for action in ("status", "publish", "discard")
    ]
