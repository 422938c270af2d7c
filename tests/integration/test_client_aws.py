"""The identity token of a build on AWS, from the program `aws` that the build has."""

import stat
from pathlib import Path

import pytest

from pytp_broker.client import ambient
from pytp_broker.client.ambient import NoIdentityError, find_identity
from pytp_broker.client.transport import Answer, Call, UnreachableError
from tests.support.remote import AUDIENCE, unsigned_token

TOKEN = unsigned_token()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test find an identity of the machine that it runs on."""
    monkeypatch.setattr(ambient, "PROJECTED", tmp_path / "projected")
    monkeypatch.setattr("id.detect_credential", lambda _audience: None)


def unreachable(call: Call) -> Answer:
    raise UnreachableError(f"nobody should ask {call.url}")


def refusal(environment: dict[str, str]) -> str:
    with pytest.raises(NoIdentityError) as raised:
        find_identity(AUDIENCE, environment, unreachable)
    return str(raised.value)


def aws(folder: Path, script: str) -> dict[str, str]:
    """Return the environment of a build whose AWS CLI is this script."""
    tool = folder / "aws"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(stat.S_IRWXU)
    return {"CODEBUILD_BUILD_ID": "b:1", "PATH": str(folder)}


def test_a_build_of_codebuild_asks_its_cli(tmp_path: Path) -> None:
    environment = aws(tmp_path, f'[ "$4" = {AUDIENCE} ] && echo {TOKEN}')

    found = find_identity(AUDIENCE, environment, unreachable)

    assert found.token.reveal() == TOKEN
    assert not found.is_only_one


def test_what_the_aws_cli_refuses_is_said(tmp_path: Path) -> None:
    assert refusal(aws(tmp_path, "echo AccessDenied >&2; exit 254")) == (
        "aws sts get-web-identity-token: AccessDenied"
    )


def test_an_aws_cli_that_cannot_start_is_said(tmp_path: Path) -> None:
    environment = aws(tmp_path, "")
    (tmp_path / "aws").write_text("#!/no/such/shell\n")

    assert "FileNotFoundError" in refusal(environment)


@pytest.mark.parametrize("missing", ["CODEBUILD_BUILD_ID", "PATH"])
def test_the_aws_cli_is_asked_in_a_build_alone(tmp_path: Path, missing: str) -> None:
    environment = aws(tmp_path, f"echo {TOKEN}") | {missing: ""}

    assert "this job has no identity token" in refusal(environment)
