"""`pytp-broker demo --guard pypiserver`: another index behind a guard, with real uv."""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytp_broker.cli import main
from pytp_broker.demo import guard_story
from pytp_broker.demo.clients import StepError
from pytp_broker.demo.guard_story import GuardStage

pytestmark = pytest.mark.e2e


def test_the_demo_of_a_guard_shows_it_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["demo", "--guard", "pypiserver"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0, lines
    assert len(lines) <= 30
    assert len([line for line in lines if line.startswith("✓")]) == 6
    assert re.fullmatch(r"All 6 steps passed in \d+\.\d s", lines[-1])
    assert "pytp_" not in "".join(lines).replace("pytp_broker", "")


@pytest.fixture
def stage() -> Iterator[GuardStage]:
    with ExitStack() as stack:
        yield guard_story._set_up(stack)


def test_a_step_that_sees_something_else_fails(
    stage: GuardStage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stage, "_run", lambda *_, **__: "error: no network")
    with pytest.raises(StepError, match="uv was not asked for a token: error: no network"):
        stage.install_without_token()

    stored = iter([set[str](), {"hello_acme-2.0.0.tar.gz"}])
    monkeypatch.setattr(stage, "_stored", lambda: next(stored))
    with pytest.raises(StepError, match="a refused file was stored"):
        stage._refused("token", ())


def test_the_demo_says_what_cannot_be_installed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepError, match="pypiserver cannot be installed: no luck"):
        guard_story._install(sys.executable, "-c", "raise SystemExit('no luck')")


def test_the_demo_says_that_the_guard_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guard_story, "_install", lambda *_: None)
    monkeypatch.setattr(guard_story, "_CLIENT", "not an id")

    status = main(["demo", "--guard", "pypiserver"])

    seen = capsys.readouterr().err
    assert status == 1
    assert "the guard does not start: " in seen
    assert "PYTP_GUARD_CLIENT is `not an id`" in seen
