"""The file that `export` writes: applied to the same store, it changes nothing."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.cli import main
from pytp_broker.config.export import export
from pytp_broker.storage.plan import make_plan
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.trust.built_in import BUILT_IN_ISSUERS
from tests.support.emulator import create_table, make_client

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.example.com"
OTHER = "https://ci.example.com"
PROJECTS = ["widgets", "gadgets", "tools"]
RULES = ["octo cat", 'quote " and \\ and ü', "[table]", "# comment", "refs/heads/*"]

rules = st.dictionaries(st.sampled_from(["actor", "a>b", "x.y"]), st.sampled_from(RULES))
projects = st.lists(st.sampled_from(PROJECTS), min_size=1, unique=True)
github = st.fixed_dictionaries(
    {
        "repository": st.sampled_from(["octo-org/a", "octo-org/b"]),
        "workflow": st.just("release.yml"),
    },
    optional={
        "environment": st.sampled_from(["release", "prod env"]),
        "repository_owner_id": st.just("9919"),
        "events": st.just(["push", "release"]),
    },
)
gitlab = st.fixed_dictionaries(
    {"project_path": st.just("group/gadgets"), "workflow": st.just(".gitlab-ci.yml")}
)
generic = st.fixed_dictionaries(
    {
        "claims": st.fixed_dictionaries(
            {"sub": st.sampled_from(["me", 'a"b\\'])}, optional={"x": st.just("y")}
        )
    }
)


def _with_claims(publisher: dict[str, Any], claims: dict[str, str]) -> dict[str, Any]:
    return {**publisher, **({"claims": claims} if claims else {})}


publishers = st.builds(
    _with_claims,
    st.one_of(
        st.fixed_dictionaries({"projects": projects, "github": github}),
        st.fixed_dictionaries({"projects": projects, "gitlab": gitlab, "issuer": st.just(GITLAB)}),
        st.fixed_dictionaries({"projects": projects, "generic": generic}),
    ),
    rules,
)
readers = st.builds(
    _with_claims,
    st.one_of(
        st.fixed_dictionaries({"github": st.just({"owner": "octo-org"})}),
        st.fixed_dictionaries(
            {"gitlab": st.just({"namespace": "group"}), "issuer": st.just(GITLAB)}
        ),
    ),
    rules,
)
registries = st.fixed_dictionaries(
    {"publishers": st.lists(publishers, max_size=3), "readers": st.lists(readers, max_size=2)},
    optional={
        "access": st.sampled_from(["public", "private"]),
        "enabled": st.booleans(),
        "issuers": st.just([GITHUB, GITLAB, OTHER]),
        "token_lifetime": st.integers(900, 21_600),
        "read_token_lifetime": st.integers(60, 43_200),
        "shared_host_exchange": st.booleans(),
        "refusals_per_minute": st.integers(10, 1000),
        "release_open_days": st.one_of(st.just("unlimited"), st.integers(1, 3650)),
        "max_file_size": st.integers(1024, 5 * 1024**3),
        "require_attestations": st.booleans(),
        "owner": st.sampled_from(["data", "ml"]),
        "introspection_clients": st.just([{"id": "devpi", "secret_sha256": "ab" * 32}]),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(["acme", "umbrella", "zoo"]), unique=True))
    made = [{"name": name, **draw(registries)} for name in names]
    for each in made:
        if draw(st.booleans()):
            each["hosts"] = [f"{each['name']}.example.com"]
            each["audience"] = f"audience-of-{each['name']}"
    off = {"url": GITHUB, "provider": "github", "enabled": False}
    return {
        "enabled": draw(st.booleans()),
        "issuers": [
            {"url": GITLAB, "provider": "gitlab", "private": draw(st.booleans())},
            {"url": OTHER, "provider": "generic", "jwks_hosts": ["keys.example.com:8443"]},
            *([off] if draw(st.booleans()) else []),
        ],
        "teams": [{"name": "data"}, {"name": "ml"}],
        "registries": made,
    }


def steps_after_export(store: Store, document: dict[str, Any]) -> tuple[str, ...]:
    """Apply a document, and return what the exported file would change."""
    loaded = config.parse(document, allow_loopback=False)
    store.apply(loaded.configuration, loaded.publishers)
    for publisher in store.load_setup().publishers.values():
        if publisher.provider.name == "github":
            store.pin_publisher(publisher, {"repository_owner_id": "9919"})
    setup = store.load_setup()
    again = config.parse(tomllib.loads(export(setup).text), allow_loopback=False)
    return make_plan(setup, again.configuration, again.publishers).lines


@settings(max_examples=60)
@given(document=documents())
def test_an_exported_file_changes_nothing(document: dict[str, Any], exports: SqliteStore) -> None:
    assert steps_after_export(exports, document) == ()


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = SqliteStore(tmp_path_factory.mktemp("exports") / "broker.sqlite3")
    yield store
    store.close()


@pytest.mark.simulated
def test_a_file_exported_from_dynamodb_changes_nothing() -> None:
    one = {"projects": PROJECTS, "github": {"repository": "octo-org/a", "workflow": "x.yml"}}
    document = {"registries": [{"name": "acme", "publishers": [one]}]}
    with mock_aws():
        client = make_client("dynamodb")

        lines = steps_after_export(DynamoStore(client, create_table(client)), document)
        client.close()

    assert lines == ()


TEXT = f"""
[timestamping]
url = "https://timestamps.example.com"
ca_file = "old.pem"
[[issuers]]
url = "{GITLAB}"
provider = "gitlab"
ca_file = "old.pem"
proxy = true
[[teams]]
name = "data"
[[registries]]
name = "acme"
owner = "data"
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
workflow = "release.yml"
"""


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a folder with a data folder, in which a configuration is applied."""
    (tmp_path / "old.pem").write_text(trustme.CA().cert_pem.bytes().decode())
    (tmp_path / "broker.toml").write_text(TEXT)
    (tmp_path / "data").mkdir()
    SqliteStore(tmp_path / "data/broker.sqlite3").close()
    assert main(["apply", "--yes", "--config", f"{tmp_path}/broker.toml", *data(tmp_path)]) == 0
    capsys.readouterr()
    return tmp_path


def data(folder: Path) -> list[str]:
    return ["--data", f"{folder}/data"]


def test_certificates_are_written_beside_the_file(folder: Path) -> None:
    assert main(["export", "--out", f"{folder}/out.toml", *data(folder)]) == 0

    assert (folder / "out-ca-1.pem").read_text() == (folder / "old.pem").read_text()
    assert (folder / "out.toml").read_text().count('ca_file = "out-ca-1.pem"') == 2
    assert (folder / "out.toml").stat().st_mode & 0o077 == 0
    assert main(["plan", "--config", f"{folder}/out.toml", *data(folder)]) == 0


def test_a_file_that_is_there_is_not_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--out", f"{folder}/broker.toml", *data(folder)]) == 1

    assert "broker.toml is there already; name another file" in capsys.readouterr().err
    assert (folder / "broker.toml").read_text() == TEXT


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "the configuration needs files with certificates: name a file with --out"),
        (["--out", "none/x.toml"], "cannot write none/x-ca-1.pem: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["export", *options, *data(folder)]) == 1

    assert said in capsys.readouterr().err


def test_an_export_says_what_is_not_in_it_and_names_pins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = {"projects": ["w"], "github": {"repository": "o/w", "workflow": "x.yml"}}
    document = {"registries": [{"name": "acme", "publishers": [publisher]}]}
    store = SqliteStore(tmp_path / "broker.sqlite3")
    steps_after_export(store, document)
    store.close()

    assert main(["export", "--data", str(tmp_path)]) == 0

    text = capsys.readouterr().out
    assert text.startswith("# What a broker holds, as `pytp-broker export` wrote it.")
    assert "# pinned: repository_owner_id = 9919\n[[registries.publishers]]\n" in text
    assert f'issuer = "{GITHUB}"' in text
    assert "[[issuers]]" not in text
    assert not any(url in text for url in BUILT_IN_ISSUERS if url != GITHUB)


def test_an_empty_broker_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SqliteStore(tmp_path / "broker.sqlite3").close()

    assert main(["export", "--data", str(tmp_path), "--out", str(tmp_path / "x.toml")]) == 0

    assert "enabled = true\n" in (tmp_path / "x.toml").read_text()
    assert capsys.readouterr().err == "note: the broker has no registry\n"
