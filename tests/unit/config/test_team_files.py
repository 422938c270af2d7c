"""Files of teams: what they may add, and that they can take nothing from another team."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytp_broker.config import ConfigurationError, Loaded, load, parse, team_files
from tests.support.configurations import github_publisher, github_reader

MAIN = """
[[teams]]
name = "data"
include = ["teams/data.toml"]

[[teams]]
name = "ml"
include = ["teams/ml.toml"]

[[registries]]
name = "acme"
owner = "data"

[[registries]]
name = "umbrella"
owner = "ml"
"""
PUBLISHER = github_publisher("widgets", repository_owner_id="9919")
DATA = f'[[registries]]\nname = "acme"\n{PUBLISHER}'
ML = DATA.replace("acme", "umbrella").replace("widgets", "models")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the main file and files of teams; it returns the main file."""

    def write_files(main: str = MAIN, **teams: str) -> Path:
        (tmp_path / "teams").mkdir(exist_ok=True)
        (tmp_path / "broker.toml").write_text(main)
        for name, text in {"data": DATA, "ml": ML, **teams}.items():
            (tmp_path / f"teams/{name}.toml").write_text(text)
        return tmp_path / "broker.toml"

    return write_files


def loaded(path: Path) -> Loaded:
    return load(path, allow_loopback=False)


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(path)
    return [line.replace(f"{path.parent}/", "") for line in caught.value.lines]


# --- what a team may do ---------------------------------------------------------------------------


def test_a_team_adds_publishers_and_readers_to_its_registry(write: Write) -> None:
    main = MAIN.replace('owner = "data"\n', f'owner = "data"\n{github_publisher("tools")}')

    found = loaded(write(main, data=f"{DATA}{github_reader()}"))

    assert [(p.registry, p.projects) for p in found.publishers] == [
        ("acme", ("tools",)),
        ("acme", ("widgets",)),
        ("acme", ()),
        ("umbrella", ("models",)),
    ]
    assert {r.name: r.owner for r in found.configuration.registries.values()} == {
        "acme": "data",
        "umbrella": "ml",
    }


def test_a_team_may_have_several_files_by_a_pattern(write: Write, tmp_path: Path) -> None:
    path = write(MAIN.replace('"teams/data.toml"', '"teams/d*.toml"'))
    (tmp_path / "teams/d2.toml").write_text(DATA.replace("widgets", "gadgets"))

    assert [p.projects for p in loaded(path).publishers] == [
        ("gadgets",),
        ("widgets",),
        ("models",),
    ]


def test_the_hash_of_a_configuration_covers_the_files_of_teams(write: Write) -> None:
    before = loaded(write()).sources.sha256

    assert loaded(write(data=f"{DATA}\n# more\n")).sources.sha256 != before


def test_a_mistake_in_a_teams_file_names_the_file_and_the_line(write: Write) -> None:
    path = write(data=DATA.replace("repository =", "repositry ="))

    assert mistakes(path) == [
        (
            "teams/data.toml:5: registries[1].publishers[1].github.repository: missing; write, for "
            'example, `repository = "octo-org/widgets"` (publisher 1 of registry `acme`: widgets)'
        ),
        (
            "teams/data.toml:6: registries[1].publishers[1].github.repositry: unknown key "
            "`repositry`; did you mean `repository`? (publisher 1 of registry `acme`: widgets)"
        ),
    ]


def test_an_id_that_contradicts_another_teams_is_told_with_both_places(write: Write) -> None:
    (line,) = mistakes(write(ml=ML.replace("models", "widgets").replace("9919", "1")))

    assert line.startswith("teams/ml.toml:8: ")
    assert "`1` contradicts the `9919` at " in line
    assert line.split("contradicts")[1].count("teams/data.toml:8") == 1


# --- what a hostile file tries --------------------------------------------------------------------


ALONE = "belongs in the main file; a file of team `data` may have"
NOT_THERE = 'its operator adds one, with `owner = "data"`'
NO_LIST = "is not a list of tables: write"


@pytest.mark.promise("team-files")
@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (
            DATA.replace("acme", "umbrella"),
            "2: registries[1].name",
            "the registry `umbrella` belongs to team `ml`, and this is a file of team `data`",
        ),
        (
            DATA.replace("acme", "new"),
            "2: registries[1].name",
            f"the main file has no registry `new`; {NOT_THERE}",
        ),
        (
            DATA.replace("acme", " umbrella "),
            "2: registries[1].name",
            f"the main file has no registry ` umbrella `; {NOT_THERE}",
        ),
        (f"enabled = false\n{DATA}", "1: enabled", f"{ALONE} `[[registries]]` alone"),
        *(
            (f"{DATA}{table}\nx = 1\n", f"9: {name}", f"{ALONE} `[[registries]]` alone")
            for name, table in (
                ("issuers", "[[issuers]]"),
                ("teams", "[[teams]]"),
                ("timestamping", "[timestamping]"),
            )
        ),
        *(
            (
                DATA.replace('"acme"', f'"acme"\n{setting}'),
                f"3: registries[1].{setting.split()[0]}",
                f"{ALONE} `name`, `publishers` and `readers` alone",
            )
            for setting in (
                'hosts = ["umbrella.example.com"]',
                'audience = "umbrella"',
                'access = "public"',
                "enabled = false",
                'owner = "ml"',
                'issuers = ["https://evil.example.com"]',
                'introspection_clients = [{ id = "x", secret_sha256 = "x" }]',
            )
        ),
        ("registries = 1", "1: registries", f"{NO_LIST} `[[registries]]`"),
        ("registries = [1]", "1: registries", f"{NO_LIST} `[[registries]]`"),
        (
            "[[registries]]\nname = 1",
            "2: registries[1].name",
            "missing; write the name of a registry that the main file has",
        ),
        (
            '[[registries]]\nname = "acme"\nreaders = 1',
            "3: registries[1].readers",
            f"{NO_LIST} `[[registries.readers]]` above each",
        ),
    ],
)
def test_a_teams_file_can_do_no_more_than_add_to_its_own_registry(
    write: Write, text: str, place: str, said: str
) -> None:
    assert mistakes(write(data=text)) == [f"teams/data.toml:{place}: {said}"]


def test_a_registry_without_an_owner_is_no_teams(write: Write) -> None:
    path = write(MAIN.replace('owner = "ml"\n', "").replace('include = ["teams/ml.toml"]\n', ""))

    path = write(path.read_text(), data=DATA.replace("acme", "umbrella"))

    (line,) = mistakes(path)
    assert line.endswith("belongs to no team, and this is a file of team `data`")


# --- which files are read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("https://example.com/x.toml", "is a URL: check the repository out, and name a file in it"),
        ("git@example.com:x/y.toml", "is a URL: check the repository out, and name a file in it"),
        ("/etc/passwd", "must be relative to the folder of this file"),
        ("~/x.toml", "must be relative to the folder of this file"),
        ("\\\\\\\\host\\\\x.toml", "must be relative to the folder of this file"),
        ("C:/x.toml", "must be relative to the folder of this file"),
        ("../x.toml", "must stay in the folder of this file: it has `..`"),
        ("teams/../../x.toml", "must stay in the folder of this file: it has `..`"),
        ("teams\\\\..\\\\..\\\\x.toml", "must stay in the folder of this file: it has `..`"),
        ("**/*.toml", "may have `*` for a part of one name, and no other wildcard"),
        ("teams/[a-z].toml", "may have `*` for a part of one name, and no other wildcard"),
        ("teams/\\u0000.toml", "is not the name of a file"),
        ("teams/x*.toml", "matches no file"),
        ("teams/none.toml", "cannot be found: No such file or directory"),
        ("teams", "is not a file"),
        ("broker.toml", "is read already, for the file `broker.toml`"),
        ("teams/ml.toml", "is read already, for `teams/data.toml`"),
        ("teams/./data.toml", None),
    ],
)
def test_a_file_that_may_not_be_read_is_named(write: Write, name: str, why: str | None) -> None:
    path = write(MAIN.replace('include = ["teams/ml.toml"]', f'include = ["{name}"]'))
    if name == "teams/ml.toml":
        path = write(MAIN)
        (path.parent / "teams/ml.toml").unlink()
        (path.parent / "teams/ml.toml").symlink_to("data.toml")

    (line,) = mistakes(path)

    assert line.startswith("broker.toml:8: teams[2].include[1]: `")
    assert line.endswith(f"` {why or 'is read already, for `teams/data.toml`'}")


@pytest.mark.parametrize("target", ["/etc/hostname", "../../outside.toml", "loop"])
def test_a_link_out_of_the_folder_is_refused(write: Write, tmp_path: Path, target: str) -> None:
    path = write()
    (tmp_path.parent / "outside.toml").write_text(DATA)
    (tmp_path / "teams/data.toml").unlink()
    (tmp_path / "teams/data.toml").symlink_to("data.toml" if target == "loop" else target)

    (line,) = mistakes(path)

    assert line.startswith("broker.toml:4: teams[1].include[1]: `teams/data.toml` ")
    assert ("leads out of the folder" in line) is (target != "loop")


def test_a_folder_that_is_a_link_out_is_refused(write: Write, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (tmp_path / "inside").mkdir()
    path = write(MAIN.replace("teams/ml.toml", "elsewhere/*.toml"))
    main = path.rename(tmp_path / "inside/broker.toml")
    (tmp_path / "teams").rename(tmp_path / "inside/teams")
    outside.mkdir()
    (outside / "ml.toml").write_text(ML)
    (tmp_path / "inside/elsewhere").symlink_to(outside)

    (line,) = mistakes(main)

    assert line.endswith("leads out of the folder of this file, by a symbolic link")


def test_a_pipe_is_not_read(write: Write, tmp_path: Path) -> None:
    path = write()
    (tmp_path / "teams/data.toml").unlink()
    os.mkfifo(tmp_path / "teams/data.toml")

    assert mistakes(path) == ["broker.toml:4: teams[1].include[1]: `teams/data.toml` is not a file"]


def test_there_is_a_limit_to_the_number_of_files(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team_files, "MAX_TEAM_FILES", 1)

    assert mistakes(write()) == ["broker.toml:8: teams[2].include[1]: there are more than 1 files"]


def test_there_is_a_limit_to_the_size_of_all_files(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team_files, "MAX_TEAM_CHARACTERS", 10)

    assert mistakes(write()) == [
        "broker.toml:8: teams[2].include[1]: the files of the teams have more than 0 MiB"
    ]


def test_every_file_that_cannot_be_read_is_told(write: Write) -> None:
    assert mistakes(write(data="x", ml="")) == [
        "teams/data.toml:1: not TOML: a key must be followed by `=` and a value",
        "teams/ml.toml: the file is empty: expected issuers, registries or `enabled`",
    ]


def test_a_document_without_a_file_names_no_files() -> None:
    with pytest.raises(ConfigurationError, match="only a file may name other files"):
        parse({"teams": [{"name": "data", "include": ["x.toml"]}]}, allow_loopback=False)


# --- the teams themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "said"),
    [
        (
            MAIN.replace('owner = "ml"', 'owner = "mll"'),
            "broker.toml:16: registries[2].owner: no team is called `mll`; did you mean `ml`?",
        ),
        (
            MAIN.replace('name = "ml"', 'name = "data"'),
            "broker.toml:7: teams[2].name: `data` was given before, at broker.toml:3 (team `data`)",
        ),
        (
            MAIN.replace('name = "ml"', 'name = "m l"'),
            (
                "broker.toml:7: teams[2].name: `m l` must be letters, digits, dots, dashes and "
                "underscores, such as `data` (team `m l`)"
            ),
        ),
        ("teams = 1", "broker.toml:1: teams: is the number `1`; expected tables, each below"),
        ("teams = [1]", "broker.toml:1: teams[1]: is the number `1`; expected a table"),
        ("[[teams]]\ninclude = []", "broker.toml:1: teams[1].name: missing; write, for example"),
        (
            '[[teams]]\nname = "data"\ninclude = "x"',
            "broker.toml:3: teams[1].include: is the text `x`; expected a list",
        ),
        (
            '[[teams]]\nname = "data"\ninclude = [1, ""]',
            "broker.toml:3: teams[1].include[1]: is the number `1`; expected a text",
        ),
        ('include = ["x"]', "broker.toml:1: include: unknown key `include`; expected one of: "),
    ],
)
def test_a_mistake_in_a_team_is_named(tmp_path: Path, main: str, said: str) -> None:
    (tmp_path / "broker.toml").write_text(main.replace('include = ["teams', "#"))

    lines = mistakes(tmp_path / "broker.toml")

    assert any(line.startswith(said) for line in lines), lines


def test_a_team_without_a_registry_is_remarked(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text('[[teams]]\nname = "data"\n[[registries]]\nname = "acme"\n')

    assert loaded(path).remarks == (
        f"{path}:1: teams[1]: the team `data` owns no registry (team `data`)",
    )


def test_a_main_file_whose_list_is_a_mistake_is_told_of_it(write: Write) -> None:
    path = write(MAIN.replace('owner = "data"', 'owner = "data"\npublishers = 1'))

    assert mistakes(path)[0].startswith("broker.toml:13: registries[1].publishers: is the number")
