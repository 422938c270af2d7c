"""A base install: the commands that work, what the others say, and the version."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackagePath, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytp_broker import __version__
from pytp_broker.cli import main

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Runs a command in a process that has the libraries of the base dependencies alone. coverage
# imports some of its own late, and crashes without them.
BASE_INSTALL = """
import sys

class NothingElse:
    def find_spec(self, name, path=None, target=None):
        base = {"certifi", "charset_normalizer", "id", "idna", "packaging", "requests", "urllib3"}
        base |= {"rich", "markdown_it", "mdurl", "pygments"}
        library = name.partition(".")[0]
        if library not in {*sys.stdlib_module_names, *base, "pytp_broker", "coverage"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NothingElse())
"""
COMMAND = f"""{BASE_INSTALL}
from pytp_broker.cli import main
sys.exit(main(sys.argv[1:]))
"""
# Imports what asks for a token; `keyring` itself comes with an extra.
CLIENT = f"""{BASE_INSTALL}
import pytp_broker.client.job_tokens, pytp_broker.cli.publish, pytp_broker.cli.session
import pytp_broker.cli.run, pytp_broker.cli.proxy
import id, requests, rich.progress
print(*(name for name in sys.modules if name.startswith("pytp_broker.")))
"""


def test_the_base_dependencies_are_what_a_client_needs() -> None:
    names = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}

    assert names == {"id", "packaging", "requests", "rich"}


def test_all_is_every_extra_that_a_user_may_want() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = map(Requirement, extras["all"])

    assert everything.extras == extras.keys() - {"all", "test"}


def test_the_table_of_extras_has_each_of_them() -> None:
    page = (ROOT / "docs/operate.md").read_text()
    (rows,) = re.findall(r"<!-- extras -->\n((?:\|.*\n)+)", page)

    shown = set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE))
    assert shown == PROJECT["optional-dependencies"].keys() - {"test"}


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("serve --config broker.toml", "serve"),
        ("demo", "demo"),
        ("validate --config broker.toml", "cli"),
        ("apply --yes --config broker.toml --table x", "cli"),
        ("explain --config broker.toml claims.json", "cli"),
        ("schema", "cli"),
        ("login https://packages.example.com/simple/", "keyring"),
        ("logout https://packages.example.com/simple/", "keyring"),
        ("token list --data data", "cli"),
        ("release yank --data data acme widgets 1.0 --reason bad", "cli"),
        ("project status --data data acme widgets archived --reason old", "cli"),
        ("audit --data data", "cli"),
        ("import --registry acme --from-folder dist --data data", "cli"),
    ],
)
def test_a_command_of_a_base_install_names_the_one_extra_that_it_needs(
    tmp_path: Path, command: str, extra: str
) -> None:
    (tmp_path / "claims.json").write_text('{"iss": "https://token.actions.githubusercontent.com"}')
    (tmp_path / "broker.toml").write_text('[[registries]]\nname = "acme"\n')
    (tmp_path / "dist").mkdir()

    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, *command.split()],
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


def test_the_client_needs_the_base_install_alone() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CLIENT], capture_output=True, text=True, timeout=60, check=False
    )

    assert "pytp_broker.client.registry" in ended.stdout, ended.stderr
    assert ended.returncode == 0


def _size(found: Distribution, file: PackagePath) -> int:
    return Path(str(found.locate_file(file))).stat().st_size


def installed(*names: str) -> dict[str, int]:
    """Return distributions and all that they need, each with its bytes on the disk."""
    sizes: dict[str, int] = {}
    waiting = list(names)
    while waiting:
        found = distribution(waiting.pop())
        # uvx compiles nothing when it installs.
        files = [file for file in found.files or () if file.suffix != ".pyc"]
        sizes[canonicalize_name(found.name)] = sum(_size(found, file) for file in files)
        needed = [Requirement(text) for text in found.requires or ()]
        wanted = [each.name for each in needed if each.marker is None or each.marker.evaluate()]
        waiting += [each for each in wanted if canonicalize_name(each) not in sizes]
    return sizes


def test_a_base_install_is_small() -> None:
    """A job installs it each time that it publishes; uv is what such a job has in any case."""
    sizes = installed(*(Requirement(text).name for text in PROJECT["dependencies"]))
    sizes["pytp-broker"] = sum(path.stat().st_size for path in ROOT.glob("functions/**/*.py"))

    print(f"{len(sizes)} packages, {sum(sizes.values()) / 1e6:.1f} MB")
    assert len(sizes) <= 12
    assert sum(sizes.values()) < sum(installed("uv").values()) + 10_000_000
    assert sum(sizes.values()) < 12_000_000


def test_a_base_install_makes_a_secret_without_an_extra() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, "secret", "devpi"],
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "functions/pytp_broker/__init__.py"


def test_the_name_alone_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Check a configuration file" in capsys.readouterr().out
