"""`pytp-broker demo`: the whole story with real uv, and what it says when a step fails."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.cli import main
from pytp_broker.demo import story as demo
from pytp_broker.demo.clients import StepError
from pytp_broker.demo.story import Stage

pytestmark = pytest.mark.e2e


def run_demo(capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command and return both streams, and the status if it is not 0."""
    status = main(["demo"])
    seen = capsys.readouterr()
    return seen.out + seen.err + (f"exit {status}\n" if status else "")


def test_demo_shows_the_whole_story_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run_demo(capsys).splitlines()

    assert len(lines) <= 40
    assert [line for line in lines if line.startswith("✗")] == []
    assert len([line for line in lines if line.startswith("✓")]) == 11
    assert re.fullmatch(r"All 11 steps passed in \d+\.\d s", lines[-1])
    assert not any("\x1b" in line or "pytp_" in line for line in lines)


def test_demo_fails_with_the_first_step_that_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_stage: Stage, _registry: str) -> list[str]:
        raise StepError("uv exited 2: no luck")

    monkeypatch.setattr(Stage, "publish", fail)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)

    lines = run_demo(capsys).splitlines()

    assert lines[4:] == [
        "\x1b[31m✗\x1b[0m acme: uv publishes a wheel and an sdist",
        "\x1b[2m    uv exited 2: no luck\x1b[0m",
        "\x1b[31mStep 1 failed; the story ends here\x1b[0m",
        "exit 1",
    ]


def test_demo_says_why_the_broker_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_CONFIGURATION", "registries = 1\n")

    seen = run_demo(capsys)

    assert seen.startswith("the broker does not start: ")
    assert "broker.toml:1: registries: is the number `1`" in seen
    assert seen.endswith("exit 1\n")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        yield demo._set_up(stack)


def test_a_step_that_sees_something_else_fails(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StepError, match="expected"):
        stage._traffic(set())
    with pytest.raises(StepError, match="was not refused"):
        stage._reason()
    with pytest.raises(StepError, match="exited 3: it said nothing"):
        stage._run(sys.executable, "-c", "raise SystemExit(3)")
    monkeypatch.setattr(stage, "_run", lambda *_: "goodbye")
    with pytest.raises(StepError, match="the installed package printed 'goodbye'"):
        stage._greet(stage._package("acme"), Path())
    monkeypatch.setattr(stage, "_mint", lambda *_: (200, {}))
    with pytest.raises(StepError, match="answered 200 and 200"):
        stage.replay()
    monkeypatch.setattr(stage, "_ask", lambda *_: (503, {}))
    monkeypatch.setattr(stage, "_audience", lambda _registry: "acme")
    with pytest.raises(StepError, match="exchange for a read token was answered 503"):
        stage.install_as_reader()
    with pytest.raises(StepError, match="/keys was answered 503"):
        stage._keep("/keys", Path("keys.json"))


def test_a_verification_that_asks_the_registry_fails_the_demo(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = stage._verify

    def ask_and_verify(*files: Path, succeeds: bool) -> Mapping[str, Any]:
        stage._ask("/_/oidc/audience")
        return verify(*files, succeeds=succeeds)

    stage.publish("umbrella")
    monkeypatch.setattr(stage, "_verify", ask_and_verify)

    with pytest.raises(StepError, match="the registry was asked"):
        stage.verify_offline()


def test_demo_does_without_pip(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda _name: None)
    stage.publish("umbrella")

    seen = stage.install_with_pip()

    assert seen[0].startswith("uv pip install")
