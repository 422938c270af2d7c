"""README and documentation: what they show is true."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytp_broker import config
from pytp_broker.cli import _parser
from pytp_broker.registries import default_audience

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
REQUIREMENTS = ("dev", "emulator", "sam")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def marked(text: str, mark: str) -> str:
    """Return the code block after a comment with this mark."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, mark
    return found[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_documentation_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("page", "mark"), [("README.md", "broker.toml"), ("docs/configuration.md", "example")]
)
def test_the_configuration_shown_is_accepted(page: str, mark: str) -> None:
    text = marked((ROOT / page).read_text(), mark)

    assert config.parse(tomllib.loads(text), allow_loopback=False).publishers


def test_the_introspection_client_shown_is_accepted() -> None:
    page = (ROOT / "docs/introspection.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)

    loaded = config.parse(tomllib.loads(text), allow_loopback=False)

    assert loaded.configuration.registries["acme"].introspection_clients.keys() == {"devpi"}


def test_the_github_snippet_may_ask_for_an_identity_token() -> None:
    (job,) = yaml.safe_load(marked(README, "github"))["jobs"].values()

    assert job["permissions"] == {"id-token": "write"}
    assert job["environment"] == "release"


def test_the_gitlab_snippet_names_its_token_after_the_audience() -> None:
    (job,) = yaml.safe_load(marked(README, "gitlab")).values()

    ((variable, token),) = job["id_tokens"].items()
    assert token["aud"] == default_audience("packages.example.com")
    assert variable == re.sub(r"[^A-Z0-9]", "_", token["aud"].upper()) + "_ID_TOKEN"


def commands(pattern: str) -> Iterator[str]:
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
            yield from re.findall(pattern, block)


def test_the_changelog_says_everything_once() -> None:
    lines = re.findall(r"^- .+", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert len(lines) == len(set(lines))


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    shown = set(commands(r"\$ make ([a-z]+)"))

    assert {"demo", "test"} <= shown <= targets


def test_every_command_shown_exists() -> None:
    (subcommands,) = (a for a in _parser()._actions if a.dest == "command" or a.choices)
    known: Any = subcommands.choices

    shown = set(commands(r"pytp-broker (\w+)"))

    assert {"serve", "apply", "validate"} <= shown <= set(known)


def test_every_command_shown_takes_its_options() -> None:
    lines = list(commands(r"\$ (?:\S+/)?pytp-broker (.+)"))

    assert len(lines) > 10
    for line in lines:
        _parser().parse_args(shlex.split(line, comments=True))


def pinned(file: str) -> set[str]:
    return {
        canonicalize_name(name)
        for name in re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / file).read_text(), re.MULTILINE)
    }


def test_the_artifacts_requirements_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)",
        (ROOT / "functions/requirements.txt").read_text(),
        re.MULTILINE,
    )
    versions = {canonicalize_name(name): version for name, version in lines}

    for requirement in map(Requirement, project["dependencies"]):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


def test_the_artifact_has_nothing_of_the_commands() -> None:
    only_here = {"pydantic", "uvicorn", "trustme", "pyyaml", "uv", "pytest", "moto"}

    assert not pinned("functions/requirements.txt") & only_here
    assert only_here <= pinned("requirements/dev.txt")


@pytest.mark.parametrize(
    "file", ["functions/requirements.txt", *(f"requirements/{n}.txt" for n in REQUIREMENTS)]
)
def test_every_requirement_has_a_hash_and_no_address(file: str) -> None:
    text = (ROOT / file).read_text()

    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")
