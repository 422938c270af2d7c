"""Mistakes in a reader's table, and the line about each."""

import tomllib
from pathlib import Path

import pytest

from pytp_broker import config
from tests.support.configurations import mistakes

BEGIN = '[[registries]]\nname = "acme"\n[[registries.readers]]\n'


def reader(provider: str, *lines: str, before: str = "") -> str:
    return "\n".join([f"{BEGIN}{before}[registries.readers.{provider}]", *lines, ""])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (reader("github"), "github: needs what identifies a reader: `repository`, or `owner`"),
        (reader("github", 'workflow = "a.yml"'), "github: needs what identifies a reader: "),
        (
            reader("github", 'owner = "octo-org"', 'repository = "octo-org/widgets"'),
            "github: has `owner` beside `repository`; a reader is identified by `repository`, or",
        ),
        (
            reader("github", 'owner = ""'),
            "github.owner: is empty; write a value, or remove `owner`",
        ),
        (reader("github", 'owner = "  "'), "github.owner: is empty; write a value"),
        (reader("github", 'owner = "a/b"'), "github.owner: `a/b` does not look like a `owner`"),
        (reader("github", 'owner = "octo-*"'), "github.owner: `octo-*` does not look like a"),
        (
            reader("github", 'owner = "octo-org"', 'repositry = "x"'),
            "github.repositry: unknown key `repositry`; did you mean `repository`?",
        ),
        (reader("github", 'owner = "a"', "events = []"), "github.events: is an empty list"),
        (
            reader("github", 'owner = "octo-org"', before='projects = ["widgets"]\n'),
            "projects: unknown key `projects`; expected one of: issuer, claims, github, ",
        ),
        (reader("githb", 'owner = "a"'), "githb: no provider is called `githb`; did you mean"),
        (BEGIN, "needs exactly one provider's table, one of: `github`, "),
        (
            reader("github", 'owner = "a"', "[registries.readers.aws]", 'account = "123456789012"'),
            "needs exactly one provider's table",
        ),
        (reader("aws", 'account = "12345"'), "aws.account: `12345` does not look like a `account`"),
        (reader("google", 'domain = "acme"'), "google.domain: `acme` does not look like a"),
        (reader("generic"), 'generic.claims: missing; write, for example, `claims = { sub = "'),
        (
            reader("generic", 'claims = { ref = "refs/heads/main" }'),
            "generic.claims: needs a claim without `*` that says whose job it is",
        ),
        (reader("generic", 'claims = { sub = "*" }'), "must have other characters besides `*`"),
        (
            reader("kubernetes", 'namespace = "ci"', before='issuer = "https://ci.example.com"\n'),
            "issuer: no issuer of provider kubernetes is known in this registry",
        ),
        (
            BEGIN.replace("[[registries.readers]]", "[registries.readers]"),
            "readers: is one table; expected a list of tables: write `[[registries.readers]]`",
        ),
    ],
)
def test_a_mistake_in_a_reader_is_named(text: str, says: str) -> None:
    line, *_ = mistakes(text)

    assert line.startswith("registries[1].readers")
    assert says in line


def test_a_mistake_in_a_reader_is_named_with_its_line_and_its_registry(tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(reader("github", 'owner = "octo-org"', 'environmnt = "x"'), encoding="utf-8")

    with pytest.raises(config.ConfigurationError) as caught:
        config.load(file, allow_loopback=False)

    (line,) = caught.value.lines
    assert line == (
        f"{file}:6: registries[1].readers[1].github.environmnt: unknown key `environmnt`; did you "
        "mean `environment`? (reader 1 of registry `acme`)"
    )


def test_two_readers_that_contradict_each_others_ids_are_a_mistake() -> None:
    one = reader("github", 'owner = "octo-org"', 'repository_owner_id = "1"')
    two = one.replace('"1"', '"2"').partition(BEGIN)[2]

    (line,) = mistakes(f"{one}[[registries.readers]]\n{two}")

    assert line.startswith("registries[1].readers[2].github.repository_owner_id: `2` contradicts")


def test_it_is_remarked_that_a_public_registry_needs_no_reader() -> None:
    text = reader("github", 'owner = "octo-org"', 'repository_owner_id = "9919"')
    public = text.replace('name = "acme"', 'name = "acme"\naccess = "public"')

    assert config.parse(tomllib.loads(text), allow_loopback=False).remarks == ()
    (remark,) = config.parse(tomllib.loads(public), allow_loopback=False).remarks
    assert remark.startswith("registries[1].readers: everybody may install from a public registry")


def test_a_publisher_and_a_reader_of_one_repository_stand_side_by_side() -> None:
    text = reader("github", 'repository = "octo-org/widgets"') + (
        '[[registries.publishers]]\nprojects = ["widgets"]\n[registries.publishers.github]\n'
        'repository = "octo-org/widgets"\nworkflow = "release.yml"\n'
    )

    loaded = config.parse(tomllib.loads(text), allow_loopback=False)

    assert [p.is_reader for p in loaded.publishers] == [False, True]
