"""`probe` as a monitor runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytp_broker.cli import main, probe
from pytp_broker.client.transport import Answer
from tests.support.deployment import HOST
from tests.support.remote import UPLOAD, Remote

HEALTH = f"https://{HOST}/_/health"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Remote:
    """Return a broker that the command asks, on a machine that runs no CI job."""
    remote = Remote()
    monkeypatch.setattr(probe, "send", remote.send)
    monkeypatch.setattr(probe, "is_job", lambda _: False)
    return remote


@pytest.fixture
def run(remote: Remote, capsys: pytest.CaptureFixture[str]) -> Run:
    def type_it(*options: str, url: str = UPLOAD) -> tuple[int, str, str]:
        status = main(["probe", "--url", url, *options])
        seen = capsys.readouterr()
        return status, seen.out, seen.err

    return type_it


def test_each_check_is_one_line_and_what_was_not_tried_is_said(run: Run) -> None:
    status, out, err = run()

    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in lines] == [
        *(["OK", "health"], ["OK", "index"], ["OK", "discovery"], ["OK", "refusal"]),
        ["SKIP", "exchange"],
    ]
    assert lines[3].endswith(" ms  invalid-payload")


def test_a_failed_check_ends_with_1(run: Run, remote: Remote) -> None:
    remote.answers[HEALTH] = Answer(503, {})

    status, out, _ = run()

    assert status == 1
    assert out.startswith("FAIL health ")
    assert "/_/health answered 503" in out


def test_a_file_has_the_identity_token(run: Run, remote: Remote, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{remote.identity()}\n")

    status, out, _ = run("--identity-token-file", str(file))

    assert status == 0
    assert [line.split()[1] for line in out.splitlines()][-3:] == ["refusal", "exchange", "burn"]


@pytest.mark.parametrize("content", [None, "x", "a.b.c"])
def test_a_file_without_one_fails_and_shows_nothing_of_it(
    run: Run, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)

    status, out, _ = run("--identity-token-file", str(tmp_path / "token"))

    assert status == 1
    assert "FAIL identity " in out


def test_an_identity_token_for_another_audience_is_not_sent(
    run: Run, remote: Remote, tmp_path: Path
) -> None:
    other = remote.token(aud="sigstore")
    (tmp_path / "token").write_text(other)

    status, _, _ = run("--identity-token-file", str(tmp_path / "token"))

    assert status == 1
    assert not [call for call in remote.sent if other.split(".")[1] in str(call.body)]


def test_a_ci_job_uses_its_own_identity(
    run: Run, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "is_job", lambda _: True)
    monkeypatch.setenv("PYTP_IDENTITY_TOKEN", remote.identity())

    status, out, _ = run()

    assert (status, "OK   burn " in out) == (0, True)


def test_json_has_the_same(run: Run) -> None:
    status, out, _ = run("--json")

    said = json.loads(out)
    assert (status, said["url"], said["good"]) == (0, UPLOAD, True)
    assert [check["name"] for check in said["checks"]] == [
        *("health", "index", "discovery", "refusal")
    ]
    assert set(said["checks"][0]) == {"name", "good", "milliseconds", "detail"}


@pytest.mark.parametrize(
    "url", ["http://packages.example.com/acme/legacy/", "https://packages.example.com/x/y", "x"]
)
def test_an_address_that_is_not_a_registrys_is_refused(run: Run, url: str) -> None:
    status, _, err = run(url=url)

    assert status == 2
    assert "is not the URL of a registry" in err
