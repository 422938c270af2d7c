"""Releasing: workflows without secrets, release notes, and the metadata of the package."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from pytp_broker import __version__

ROOT = Path(__file__).parents[3]
WORKFLOWS = [
    *sorted((ROOT / ".github/workflows").glob("*.yml")),
    ROOT / "infra/ci/configuration/github.yml",
]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def release_notes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notes", ROOT / "infra/release_notes.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changelog(title: str) -> str:
    return (
        f"# Changelog\n\n## [Unreleased]\n\n{title}\n\n### Added\n\n- A thing.\n\n## [0.0.1] - x\n"
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())

    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_right_that_a_job_does_not_name(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())

    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_needs_a_stored_secret(path: Path) -> None:
    assert "secrets." not in path.read_text()


def test_a_release_is_published_by_an_identity_token_with_attestations() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    job = workflow["jobs"]["publish"]

    assert job["permissions"] == {"id-token": "write"}
    assert job["environment"] == "release"
    assert job["steps"][-1]["with"] == {"attestations": True}


def test_only_a_job_that_runs_no_code_of_ours_may_publish() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())

    for step in workflow["jobs"]["publish"]["steps"]:
        assert step["uses"].startswith(
            ("actions/download-artifact@", "pypa/gh-action-pypi-publish@")
        )


def test_the_notes_of_a_release_are_its_section_of_the_changelog() -> None:
    notes = release_notes().read_notes(changelog("## [1.2.0] - 2026-11-28"), "1.2.0")

    assert notes == "### Added\n\n- A thing.\n"


@pytest.mark.parametrize(
    "title",
    ["## [1.2.1] - 2026-11-28", "## [1.2.0]", "## [1.2.0] - soon", "## [1x2.0] - 2026-11-28"],
)
def test_a_version_without_a_dated_section_is_not_released(title: str) -> None:
    with pytest.raises(SystemExit, match=r"no section `## \[1\.2\.0\] - YYYY-MM-DD`"):
        release_notes().read_notes(changelog(title), "1.2.0")


def test_a_section_without_text_is_not_released() -> None:
    with pytest.raises(SystemExit, match="no section"):
        release_notes().read_notes("## [1.2.0] - 2026-11-28\n\n## [1.1.0] - x\n\n- Old.\n", "1.2.0")


def test_a_tag_of_another_version_is_not_released() -> None:
    with pytest.raises(SystemExit, match=f"the package has the version `{__version__}`"):
        release_notes().main("v99.0.0")


def test_the_package_tells_type_checkers_that_it_has_types() -> None:
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert (ROOT / "functions/pytp_broker/py.typed").is_file()


def test_the_sites_repository_is_the_projects() -> None:
    site = (ROOT / "mkdocs.yml").read_text()

    assert f"repo_url: {PROJECT['urls']['Source']}\n" in site


def test_a_check_before_a_commit_uses_the_tools_of_the_virtual_environment() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    pinned = set(
        re.findall(r"^([\w-]+)==", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)
    )

    entries = [hook["entry"] for hook in repository["hooks"]]
    tools = {re.sub(r"^\.venv/bin/(\w+).*|^git .*", r"\1", entry) for entry in entries}

    assert {"ruff", "mypy", "zizmor"} <= tools
    assert tools - {""} <= pinned
