"""How each CI is asked to hide a token in a job's log."""

import os
import subprocess
from typing import Any

import pytest

from pytp_broker.client.log_masks import mask
from pytp_broker.redaction import Hidden

TOKEN = Hidden("pytp_secret-of-the-job")


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("GITHUB_ACTIONS", "::add-mask::pytp_secret-of-the-job\n"),
        ("TF_BUILD", "##vso[task.setsecret]pytp_secret-of-the-job\n"),
    ],
)
def test_a_ci_that_reads_commands_in_its_log_is_told_there(
    capsys: pytest.CaptureFixture[str], variable: str, command: str
) -> None:
    mask(TOKEN, {variable: "true"})

    assert capsys.readouterr() == ("", command)


@pytest.mark.promise("no-secret-of-a-job-in-a-log")
@pytest.mark.parametrize("variable", ["GITLAB_CI", "CIRCLECI", "BITBUCKET_BUILD_NUMBER"])
def test_a_ci_that_offers_nothing_gets_no_token(
    capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    mask(TOKEN, {variable: "true"})

    assert capsys.readouterr() == ("", "")


def test_buildkites_agent_gets_the_token_where_nobody_else_can_read_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[tuple[str, ...], dict[str, Any]]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **more: ran.append((command, more)))

    mask(TOKEN, {"BUILDKITE": "true", "PATH": os.defpath})

    ((command, options),) = ran
    assert command == ("buildkite-agent", "redactor", "add")
    assert options["input"] == b"pytp_secret-of-the-job"
    assert capsys.readouterr() == ("", "")


def test_a_log_that_hides_nothing_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", fail)

    mask(TOKEN, {"BUILDKITE": "true"})

    out, err = capsys.readouterr()
    assert out == ""
    assert err == "pytp-broker: Buildkite's agent does not hide the upload token in the log\n"
