"""The jobs of infra/ci/configuration: a pull request is planned, and a merge applies its plan."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytp_broker.cli import _parser

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "infra/ci/configuration"
GITHUB: dict[str, Any] = yaml.safe_load((FOLDER / "github.yml").read_text())["jobs"]
GITLAB: dict[str, Any] = yaml.safe_load((FOLDER / "gitlab.yml").read_text())


def script(job: str) -> str:
    """Return the step of a GitHub job that runs our command."""
    (found,) = [s["run"] for s in GITHUB[job]["steps"] if "pytp-broker" in s.get("run", "")]
    return str(found)


def run(text: str, folder: Path, status: int) -> tuple[int, str]:
    """Run a step with a command that exits so; return the step's status and its outputs."""
    command = folder / "pytp-broker"
    command.write_text(f"#!/bin/sh\necho shown\nexit {status}\n")
    command.chmod(0o755)
    names = {"GITHUB_STEP_SUMMARY": "summary", "GITHUB_OUTPUT": "output"}
    files = {name: str(folder / file) for name, file in names.items()}
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "STACK": "pytp-broker", **files}
    ended = subprocess.run(["bash", "-e", "-c", text], env=environment, check=False)
    output = folder / "output"
    return ended.returncode, output.read_text() if output.exists() else ""


@pytest.mark.parametrize("status", [0, 2])
@pytest.mark.parametrize("job", ["review", "plan"])
def test_a_plan_with_or_without_changes_is_a_success(tmp_path: Path, job: str, status: int) -> None:
    ended, output = run(script(job), tmp_path, status)

    assert ended == 0
    assert (tmp_path / "summary").read_text() == "shown\n"
    assert output == (f"status={status}\n" if job == "plan" else "")


@pytest.mark.parametrize("status", [1, 127, 130])
@pytest.mark.parametrize("job", ["review", "plan"])
def test_a_plan_that_fails_is_a_failure(tmp_path: Path, job: str, status: int) -> None:
    assert run(script(job), tmp_path, status)[0] == status


def test_a_pull_request_can_only_plan() -> None:
    """Its workflow may be edited, so the roles must tell its token from a merge's."""
    assert "github.event_name == 'pull_request'" in GITHUB["review"]["if"]
    assert "head.repo.full_name == github.repository" in GITHUB["review"]["if"]
    assert GITHUB["plan"]["if"] == "github.event_name == 'push'"
    assert GITHUB["apply"]["needs"] == "plan"
    writers = [name for name, job in GITHUB.items() if "vars.APPLY_ROLE" in yaml.safe_dump(job)]
    assert writers == ["apply"]
    assert GITHUB["apply"]["environment"] == "configuration"


def test_what_is_applied_is_the_plan_that_the_job_before_has_saved() -> None:
    assert "--out plan.json" in script("plan")
    assert '--plan "$RUNNER_TEMP/plan.json"' in script("apply")
    assert GITLAB["apply configuration"]["needs"] == ["plan configuration"]
    assert GITLAB["apply configuration"]["rules"][0]["when"] == "manual"
    assert "--plan plan.json" in GITLAB["apply configuration"]["script"][0]
    assert GITLAB["apply configuration"]["variables"]["AWS_ROLE_ARN"] == "$APPLY_ROLE"


def commands() -> list[str]:
    """Return every command of ours in the jobs, without what the shell does with it."""
    steps = [script(job) for job in GITHUB]
    steps += [line for job in GITLAB.values() for line in job.get("script", ())]
    joined = [re.sub(r"\\\n\s*", " ", step) for step in steps]
    found = [line for step in joined for line in re.findall(r"pytp-broker (.+)", step)]
    return [re.split(r" (?:\|\||>>) ", line)[0] for line in found]


def test_every_command_takes_its_options() -> None:
    assert len(commands()) == 6
    for line in commands():
        _parser().parse_args(shlex.split(line))


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_no_job_stores_a_secret(name: str) -> None:
    text = (FOLDER / name).read_text()

    assert "secrets." not in text
    assert not re.search(r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)", text)
