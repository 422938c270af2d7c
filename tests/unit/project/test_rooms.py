"""The rooms: what each answers, and what the linter lets it import."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import pytp_broker

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "functions/pytp_broker"
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
# The rooms from the highest to the lowest, each with its question.
ROOMS = dict(
    re.findall(r"^    ([a-z]+)  +(\S.*\?)$", pytp_broker.__doc__ or "", re.MULTILINE),
)
NAMES = tuple(ROOMS)
# Below these rooms are the files of the core that work with rooms.
ABOVE_THE_CORE = NAMES[: NAMES.index("config")]
# Who may import a library that not every function has, or that no function should need.
HOMES: dict[str, set[str]] = {
    "boto3": {"aws"},
    "botocore": {"aws"},
    "jinja2": {"index"},
    "nh3": {"index"},
    "pydantic": {"config"},
    "pypi_attestations": {"provenance"},
    "readme_renderer": {"index"},
    "rfc3161_client": {"provenance"},
    "sigstore": {"provenance"},
    "trustme": set(),
    "uvicorn": {"local"},
    "yaml": {"local"},
}


def imported(path: Path) -> Iterator[str]:
    """Return the rooms, or the core's files, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, *rest = node.module.split(".")
            if package == "pytp_broker":
                yield from rest[:1] or (alias.name for alias in node.names)


def core(*, with_rooms: bool) -> set[str]:
    """Return the files of the core that import a room, or those that import none."""
    files = (path for path in PACKAGE.glob("*.py") if path.name != "__init__.py")
    return {path.stem for path in files if bool(ROOMS.keys() & imported(path)) is with_rooms}


def banned(folder: Path) -> dict[str, str]:
    """Return what the linter forbids to import in a folder, and why."""
    rules = tomllib.loads((folder / "ruff.toml").read_text())
    table: dict[str, dict[str, str]] = rules["lint"]["flake8-tidy-imports"]["banned-api"]
    return {name: entry["msg"] for name, entry in table.items()}


def ruff(*arguments: str, source: str = "") -> str:
    """Return what ruff says about a file with this source."""
    command = [sys.executable, "-m", "ruff", "check", *arguments]
    return subprocess.run(
        command, cwd=ROOT, input=source, capture_output=True, text=True, check=False
    ).stdout


def test_every_folder_is_a_room() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == ROOMS.keys()


def test_the_pages_name_the_rooms_in_their_order() -> None:
    (rows,) = re.findall(r"<!-- rooms -->\n((?:\|.*\n)+)", ARCHITECTURE)

    assert tuple(re.findall(r"^\| `([a-z]+)` \|", rows, re.MULTILINE)) == NAMES
    assert tuple(re.findall(r"^- `([a-z]+)`: ", CONTRIBUTING, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("room", NAMES)
def test_a_room_begins_with_the_question_that_it_answers(room: str) -> None:
    document = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""

    assert document.casefold().startswith(ROOMS[room].casefold())
    assert f"| `{room}` | {document[: len(ROOMS[room])]} |" in ARCHITECTURE
    assert f"- `{room}`: {ROOMS[room]}" in CONTRIBUTING


def test_the_core_that_is_said_to_import_no_room_imports_none() -> None:
    (listed,) = re.findall(r"<!-- core without rooms -->\n((?:- .*\n)+)", ARCHITECTURE)

    assert {*re.findall(r"`(\w+)\.py`", listed)} == core(with_rooms=False)


@pytest.mark.parametrize("room", NAMES)
def test_a_room_may_import_only_what_is_below_it(room: str) -> None:
    # A client has few dependencies, so it may import only the room that needs no server.
    above = {*NAMES[: NAMES.index(room)]}
    if room == "client":
        above = {*NAMES} - {room, "provenance"}
    # A guard reads an upload as the registry does, in the process of another index.
    if room == "guards":
        above = {*NAMES} - {room, "index", "http"}
    if room not in ABOVE_THE_CORE or room in {"client", "guards"}:
        above |= core(with_rooms=True)
    libraries = {name for name, homes in HOMES.items() if room not in homes}

    assert banned(PACKAGE / room).keys() == {f"pytp_broker.{name}" for name in above} | libraries


def test_the_core_may_import_the_rooms_below_config() -> None:
    above = {f"pytp_broker.{name}" for name in (*ABOVE_THE_CORE, "config")}

    assert banned(PACKAGE).keys() == above | HOMES.keys()


@pytest.mark.parametrize("room", [*NAMES, ""])
def test_a_forbidden_import_is_refused_with_its_reason(room: str) -> None:
    reasons = banned(PACKAGE / room)
    file = str(PACKAGE / room / "new.py")
    wrong = [f"import {name}\ndef f(): from {name} import x\n" for name in reasons]

    seen = ruff("--select", "TID251", "--stdin-filename", file, "-", source="".join(wrong))

    for name, reason in reasons.items():
        assert seen.count(f"TID251 `{name}` is banned: {reason}\n") == 2, name
        assert reason.endswith("."), reason


@pytest.mark.parametrize("room", [*NAMES, ""])
def test_every_other_rule_of_the_project_holds_in_a_room(room: str) -> None:
    assert settings(PACKAGE / room / "__init__.py") == settings(ROOT / "infra/finish_build.py")


def settings(path: Path) -> list[str]:
    """Return the linter's settings for a file, but for those that a room has of its own."""
    text = ruff("--show-settings", str(path))
    assert "linter.rules.enabled" in text
    text = re.sub(r"banned_api = \{(\}|.*?\n\})", "", text, flags=re.DOTALL)
    own = re.compile(r"^(Settings path|Resolved settings for)|project_root = ")
    return [line for line in text.splitlines() if not own.search(line)]


def test_only_the_pages_for_people_have_templates_and_render_descriptions() -> None:
    of_pages = re.compile(
        "^ *(?:from|import) (?:jinja2|markupsafe|nh3|readme_renderer)", re.MULTILINE
    )

    files = {path for path in PACKAGE.rglob("*.py") if of_pages.search(path.read_text())}

    assert files == {PACKAGE / "index/web" / name for name in ("describe.py", "pages.py")}


def test_no_other_function_imports_what_pages_are_made_with() -> None:
    script = (
        "import sys; from pytp_broker.endpoints import broker, introspect, read, upload\n"
        "print(sorted({'jinja2', 'nh3', 'readme_renderer'} & sys.modules.keys()))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "[]\n"


def test_no_import_is_an_exception() -> None:
    files = {path for path in PACKAGE.rglob("*.py") if "noqa: TID251" in path.read_text()}

    assert not files


def test_the_wheel_has_no_rules_for_the_linter() -> None:
    files = WheelBuilder(str(ROOT)).recurse_included_files()
    names = {Path(file.distribution_path).name for file in files}

    assert "py.typed" in names
    assert "ruff.toml" not in names
