"""A base install: the commands that work, what the others say, and the version."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pytp_broker import __version__
from pytp_broker.cli import main

BASE_INSTALL = """
import sys

class NothingElse:
    def find_spec(self, name, path=None, target=None):
        missing = {"pydantic", "pydantic_core", "trustme", "uv", "uvicorn", "yaml"}
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NothingElse())
from pytp_broker.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("serve --config broker.toml", "local"),
        ("demo", "local"),
        ("validate --config broker.toml", "cli"),
        ("apply --config broker.toml --table x", "cli"),
        ("explain --config broker.toml claims.json", "cli"),
        ("schema", "cli"),
    ],
)
def test_a_command_of_a_base_install_names_the_one_extra_that_it_needs(
    tmp_path: Path, command: str, extra: str
) -> None:
    (tmp_path / "claims.json").write_text('{"iss": "https://token.actions.githubusercontent.com"}')
    (tmp_path / "broker.toml").write_text('[[registries]]\nname = "acme"\n')

    ended = subprocess.run(
        [sys.executable, "-c", BASE_INSTALL, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    name = command.partition(" ")[0]
    assert re.fullmatch(
        rf"`{name}` needs \w+: pip install 'pytp-broker\[{extra}\]'\n", ended.stderr
    ), ended.stderr
    assert ended.returncode == 1


def test_a_base_install_makes_a_secret_without_an_extra() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BASE_INSTALL, "secret", "devpi"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "secret_sha256" in ended.stdout
    assert ended.returncode == 0


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])

    assert left.value.code == 0
    assert capsys.readouterr().out == f"pytp-broker {__version__}\n"


def test_the_version_is_written_in_one_place() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())

    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "functions/pytp_broker/__init__.py"


def test_the_name_alone_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Check a configuration file" in capsys.readouterr().out
