"""`pytp-broker run` in this process: what the command gets, and how the run ends."""

import sys
from pathlib import Path

import pytest

from pytp_broker.cli import main
from pytp_broker.cli import run as command
from pytp_broker.client.job_tokens import NOT_BURNED, JobTokens
from pytp_broker.client.token_cache import TokenCache
from pytp_broker.client.transport import Answer
from tests.support.remote import BASE, INDEX, UPLOAD, Remote

SHOW = "import os; print(os.environ['TWINE_REPOSITORY_URL'], os.environ['UV_PUBLISH_TOKEN'])"


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, quick_path: Path) -> Remote:
    """Let this process be a job with one identity token, and a broker be at the other end."""
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
