"""README and documentation: what they show is true."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytp_broker import config
from pytp_broker.cli import _parser
from pytp_broker.endpoints import broker, introspect, read, upload, web
from pytp_broker.endpoints.routing import Route, Routes
from pytp_broker.http.negotiation import JSON
from pytp_broker.local.routes import _read_routes, find_template, load_template
from pytp_broker.registries import default_audience
from pytp_broker.storage.sqlite.editions import EDITIONS
from pytp_broker.storage.sqlite.layout import SCHEMA
from pytp_broker.trust.readers import READERS, NoIdentityError
from tests.support.configurations import github_reader, registry
from tests.support.distributions import WHEEL_NAME, metadata, wheel
from tests.support.fakes import MemoryStore
from tests.support.samples import NOW, receipt_key
from tests.support.scanner import match
from tests.support.shelf import Shelf
from tests.support.uploading import Uploader
from tests.support.world import World
from tests.unit.test_errors import all_problems

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
REQUIREMENTS = ("clients", "container", "dev", "docs", "emulator", "indexes", "peers", "sam")
TOP_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
PAGES = [*(ROOT / name for name in TOP_PAGES), *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "functions/pytp_broker"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
API = (ROOT / "docs/http-api.md").read_text()


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


def test_the_files_of_teams_shown_are_accepted(tmp_path: Path) -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    team = marked(page, "team")
    (tmp_path / "teams/ml").mkdir(parents=True)
    (tmp_path / "broker.toml").write_text(marked(page, "teams"))
    (tmp_path / "teams/data.toml").write_text(team)
    (tmp_path / "teams/ml/models.toml").write_text(team.replace("acme", "umbrella"))

    loaded = config.load(tmp_path / "broker.toml", allow_loopback=False)

    assert {each.registry for each in loaded.publishers} == {"acme", "umbrella"}


def test_the_readmes_configuration_is_three_changes() -> None:
    loaded = config.parse(tomllib.loads(marked(README, "broker.toml")), allow_loopback=False)

    plan = MemoryStore().apply(loaded.configuration, loaded.publishers)

    assert plan.lines == (
        "+ publisher acme github octo-org/widgets -> widgets",
        "+ reader acme github octo-org",
        "+ registry acme",
    )


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


@pytest.mark.parametrize("client", ["uv", "poetry", "pdm", "pipenv"])
def test_a_snippet_for_installers_binds_the_private_name_to_its_index(client: str) -> None:
    """The end-to-end tests install with those of uv, poetry and pdm."""
    snippet = tomllib.loads(marked((ROOT / "docs/installing.md").read_text(), client))

    bound: dict[str, Any] = {
        "uv": lambda: snippet["tool"]["uv"]["sources"]["widgets"]["index"],
        "poetry": lambda: snippet["tool"]["poetry"]["dependencies"]["widgets"]["source"],
        "pdm": lambda: snippet["tool"]["pdm"]["source"][0]["name"],
        "pipenv": lambda: snippet["packages"]["widgets"]["index"],
    }
    assert bound[client]() == "acme"


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

    shown = set(commands(r"pytp-broker (\w[\w-]*)"))

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

    extras = project["optional-dependencies"]
    asked = {*project["dependencies"], *extras["aws"], *extras["web"]}
    asked -= {"boto3>=1.43", "id>=1.6", "rich>=14"}
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


def test_the_action_installs_what_the_client_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}

    assert named <= pinned("infra/ci/github/requirements.txt") <= pinned("requirements/dev.txt")


def test_the_artifact_has_nothing_of_the_commands() -> None:
    only_here = {"id", "keyring", "pydantic", "uvicorn", "trustme", "pyyaml", "uv", "moto"}
    only_here |= {"rich", "markdown-it-py", "mdurl", "boto3", "botocore", "s3transfer"}

    assert not pinned("functions/requirements.txt") & only_here
    assert only_here <= pinned("requirements/dev.txt")


@pytest.mark.parametrize(
    "file",
    [
        "functions/requirements.txt",
        "infra/ci/github/requirements.txt",
        *(f"requirements/{n}.txt" for n in REQUIREMENTS),
    ],
)
def test_every_requirement_has_a_hash_and_no_address(file: str) -> None:
    text = (ROOT / file).read_text()

    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")


# --- the pages for people who change the code -------------------------------------------------

MAPS = pytest.mark.parametrize("text", [CONTRIBUTING, ARCHITECTURE, API], ids=["c", "a", "api"])
# The functions, as the template calls them, and their routes.
ROUTES: dict[str, Routes[Any]] = {
    "endpoints.broker": broker.ROUTES,
    "endpoints.upload": upload.ROUTES,
    "endpoints.read": read.ROUTES,
    "endpoints.web": web.ROUTES,
    "endpoints.introspect": introspect.ROUTES,
}
UNITS = {"s": 1, "min": 60, "h": 3600, "days": 86400, "KiB": 1024, "MiB": 1024**2}


def table(text: str, mark: str) -> list[list[str]]:
    """Return the cells of the table after a comment with this mark, row by row."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n((?:\|.*\n)+)", text)
    assert found, mark
    return [line.strip("|").split(" | ") for line in found[1].splitlines()[2:]]


def code(text: str) -> list[str]:
    """Return what stands between backticks outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def shown(route: Route[Any, Any]) -> str:
    """Return the URL of a route as the pages write it: with its variables in capitals."""
    return re.sub(r"\{(\w+)\+?\}", lambda variable: variable[1].upper(), str(route.path))


def test_every_url_is_in_both_tables() -> None:
    routes = {
        (shown(route), ", ".join(route.methods)) for each in ROUTES.values() for route in each
    }

    for text in (API, ARCHITECTURE):
        rows = [(code(row[0])[0], row[1].strip()) for row in table(text, "urls")]
        assert len(rows) == len(routes)
        assert set(rows) == routes


def test_the_table_of_urls_names_handlers_and_events() -> None:
    for url, methods, module, handler, event, _ in table(ARCHITECTURE, "urls"):
        of_path = [r for r in ROUTES[code(module)[0]] if shown(r) == code(url)[0]]
        (route,) = [r for r in of_path if ", ".join(r.methods) == methods]
        assert resolve_name(f"pytp_broker.{code(handler)[0]}") is route.handler
        assert event == (route.event.name if route.event else "none")


def test_the_table_of_urls_names_the_functions_that_the_gateway_calls() -> None:
    functions = {row[5].strip(): code(row[2])[0] for row in table(ARCHITECTURE, "urls")}
    deployed = load_template(find_template())["Resources"]

    assert len(functions) == len(ROUTES)
    for function, module in functions.items():
        entry = deployed[function]["Properties"]["Handler"].removesuffix(".handler")
        assert module.replace("endpoints", "aws") == entry.removeprefix("pytp_broker.")


def test_the_route_keys_are_those_of_the_template() -> None:
    deployed = {
        (route.function, route.key.removeprefix("ANY "))
        for route in _read_routes(load_template(find_template())["Resources"])
    }

    rows = table(ARCHITECTURE, "route keys")

    assert {(row[0].strip(), key) for row in rows for key in code(" ".join(row[1:]))} == deployed


def test_the_api_page_has_the_section_of_every_url() -> None:
    sections = dict(re.findall(r"## (.+)\n((?:(?!## ).*\n?)*)", API))

    for url, methods, link in table(API, "urls"):
        title, anchor = re.findall(r"\[(.+)\]\(#(.+)\)", link)[0]
        assert anchor == title.lower().replace(" ", "-")
        begin = re.split("[A-Z]", code(url)[0])[0]
        method = methods.split(",")[0]
        assert f"{method} " in sections[title]
        assert begin in sections[title]


def test_the_json_shown_parses() -> None:
    blocks = re.findall(r"```json\n(.*?)```", API, re.DOTALL)

    assert len(blocks) > 10
    for block in blocks:
        json.loads(block)


def shape(value: Any) -> Any:
    """Return the shape of a JSON value: its members and types, without its texts and numbers."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value)


def answers_of_the_broker() -> Iterator[tuple[str, Any]]:
    world = World()
    found = world.call("GET", "/.well-known/pytp", query={"discover": "/acme/legacy/"})
    yield "discovery", found.json
    known = receipt_key().ended(NOW).revoked(NOW, "lost")
    world.store.save_receipt_key(known, None)
    yield "receipt keys", world.call("GET", "/.well-known/pytp-receipt-keys").json
    yield "audience", world.call("GET", "/acme/_/oidc/audience").json
    minted = world.mint(world.token()).json
    yield "mint", minted
    reading = World(registry("acme", github_reader(), audience="acme"))
    yield "mint read", reading.mint_to_read(reading.token()).json
    report = json.dumps([match(minted["token"])]).encode()
    headers = world.scanner.sign(report)
    yield (
        "disclosure",
        world.call("POST", "/_/secrets/disclose-token", report, headers=headers).json,
    )
    yield "burn", world.call("POST", "/acme/_/oidc/burn-token", {"token": minted["token"]}).json


def answers_of_the_index() -> Iterator[tuple[str, Any]]:
    shelf = Shelf()
    text = metadata("widgets", "1.0", "Requires-Python: >=3.9")
    assert shelf.publish(wheel(text=text)).status == 200
    client = Uploader(Shelf())
    session = client.begin()
    yield "session", session
    yield "file", client.add(session, wheel())
    yield "projects", shelf.get("/acme/simple/", JSON).json
    yield "project", shelf.get("/acme/simple/widgets/", JSON).json
    yield "receipt", shelf.get(f"/acme/integrity/widgets/1.0/{WHEEL_NAME}/receipt").json


@cache
def answers() -> dict[str, Any]:
    return dict((*answers_of_the_broker(), *answers_of_the_index()))


@pytest.mark.parametrize(
    "name",
    [
        "discovery",
        "receipt keys",
        "audience",
        "mint",
        "mint read",
        "disclosure",
        "burn",
        "session",
        "file",
        "projects",
        "project",
        "receipt",
    ],
)
def test_the_answers_shown_have_the_form_of_ours(name: str) -> None:
    assert shape(json.loads(marked(API, f"answer: {name}"))) == shape(answers()[name])


def test_the_error_shown_is_what_the_exchange_answers() -> None:
    shown = json.loads(marked(API, "answer: error"))
    (kind,) = (p for p in all_problems() if p.code == "invalid-reuse-token")

    assert kind(shown["detail"]).document(shown["instance"]) == shown


def test_the_api_page_names_error_codes_that_exist() -> None:
    codes = {problem.code for problem in all_problems()}
    lines = re.findall(r"^Errors: .+", API, re.MULTILINE)

    assert len(lines) > 10
    for line in lines:
        named = {name for name in code(line) if "-" in name or name in codes}
        assert named <= codes
        assert named


@MAPS
def test_every_path_named_exists(text: str) -> None:
    paths = [name for name in code(text) if re.fullmatch(r"[\w./-]+\.(py|yaml|md|json)", name)]
    paths += [name for name in code(text) if re.fullmatch(r"(functions|tests|docs)/[\w./-]*", name)]

    for path in paths:
        assert (ROOT / path).exists() or (PACKAGE / path).exists(), path


@MAPS
def test_every_function_named_exists(text: str) -> None:
    names = [name for name in code(text) if re.fullmatch(r"[a-z_]+(\.\w+)+", name)]
    files = re.compile(r".+\.(py|toml|yaml|yml|md|json|sqlite3|metadata|com)")

    for name in names:
        if not files.fullmatch(name):
            resolve_name(f"pytp_broker.{name}")


def test_every_test_named_exists() -> None:
    named = {name for name in code(CONTRIBUTING) if re.fullmatch(r"test_\w+", name)}
    every = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) > 15
    for test in named:
        assert f"\ndef {test}(" in every, test


@pytest.mark.parametrize("text", [ARCHITECTURE, API], ids=["architecture", "http-api"])
def test_every_number_is_that_of_its_constant(text: str) -> None:
    found = re.findall(r"(\d[\d,]*)(?: (\w+))? \(`([\w.]+\.[A-Z_]+)`\)", text)

    assert len(found) == len(re.findall(r"\(`[\w.]+\.[A-Z_]+`\)", text)) > 5
    for number, unit, constant in found:
        value = resolve_name(f"pytp_broker.{constant}")
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        assert int(number.replace(",", "")) * UNITS.get(unit, 1) == seconds, constant


def test_the_stored_rows_are_those_of_the_store() -> None:
    rows = table(ARCHITECTURE, "partitions")
    layout = (PACKAGE / "aws/dynamodb/__init__.py").read_text()
    tables = set(re.findall(r"CREATE TABLE (\w+)", " ".join((*SCHEMA, *EDITIONS))))

    assert {name for row in rows for name in code(row[2])} == tables
    for row in rows:
        assert re.search(rf"^``{code(row[0])[0]}`` +``{code(row[1])[0]}`` ", layout, re.MULTILINE)
    drawn = re.findall(r"^``([A-Z][^`]*)`` +``([^`…]*)`` ", layout, re.MULTILINE)
    assert len(drawn) == len(rows)


def test_every_file_of_a_command_is_a_command() -> None:
    files = {
        path.stem.replace("_", "-")
        for path in (PACKAGE / "cli").glob("*.py")
        if re.search("\n(def run\\(|run = )", path.read_text())
        and "\ndef add_arguments(" in path.read_text()
    }
    (subcommands,) = (a for a in _parser()._actions if a.dest == "command")

    assert files == set(subcommands.choices or ())


def test_every_command_is_shown() -> None:
    (subcommands,) = (a for a in _parser()._actions if a.dest == "command")
    text = " ".join(page.read_text() for page in PAGES)

    for name in subcommands.choices or ():
        assert f"pytp-broker {name}" in text or f"make {name}" in text, name


def test_every_error_code_is_a_reason_of_the_audit_schema() -> None:
    schema = json.loads((ROOT / "docs/audit.schema.json").read_text())
    # Answered by what leaves no record: endpoints that only read, and what stands for the bucket.
    reading = {"already-stored", "not-acceptable", "range-not-satisfiable"}

    codes = {problem.code for problem in all_problems()}
    assert codes - set(schema["$defs"]["reason"]["enum"]) == reading


def test_the_page_says_what_identifies_a_reader_of_each_provider() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = {provider.strip(" `"): choices.strip() for provider, choices in table(page, "readers")}

    assert rows.keys() == READERS.keys()
    for name, readers in READERS.items():
        if readers.entry.fields:
            with pytest.raises(NoIdentityError) as caught:
                readers.form_for(())
            assert str(caught.value) == f"needs what identifies a reader: {rows[name]}"
