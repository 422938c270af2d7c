"""Mistakes in a configuration file, as operators make them, and the line about each.

Every row is a file with one mistake. The line must name the place and the facts.
"""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytp_broker import config
from pytp_broker.config import ConfigurationError
from pytp_broker.config.positions import find_lines
from pytp_broker.config.sentences import explain_error
from pytp_broker.config.tables import TABLES
from tests.support.configurations import fits_the_schema
from tests.support.scanner import LEAKED

GOOD = """\
enabled = true

[[issuers]]
url = "https://gitlab.example.com"
provider = "gitlab"
algorithms = ["RS256"]
jwks_hosts = ["keys.example.com"]

[[registries]]
name = "acme"
hosts = ["acme.example.com"]
audience = "acme"
token_lifetime = 900
issuers = ["https://token.actions.githubusercontent.com", "https://gitlab.example.com"]

[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
environment = "release"
events = ["push"]

[[registries.publishers]]
projects = ["gadgets", "gizmos"]
claims = { ref_protected = "true" }
[registries.publishers.gitlab]
project_path = "group/gadgets"
namespace_id = "72"
workflow = ".gitlab-ci.yml"

[[registries.introspection_clients]]
id = "devpi"
secret_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
"""
# before, after, the line, and what must be said
MISTAKES: Sequence[tuple[str, str, int, tuple[str, ...]]] = [
    # keys
    (
        "repository = ",
        "repositry = ",
        19,
        ("unknown key `repositry`", "did you mean `repository`?"),
    ),
    ("repository = ", "repositry = ", 18, ("github.repository: missing", '"octo-org/widgets"')),
    ("\nhosts = ", "\nHosts = ", 11, ("unknown key `Hosts`", "did you mean `hosts`?")),
    ("token_lifetime", "token-lifetime", 13, ("did you mean `token_lifetime`?",)),
    ("enabled = true", "enable = true", 1, ("enable: unknown key", "did you mean `enabled`?")),
    ("[[issuers]]", "[[issuer]]", 3, ("unknown key `issuer`", "did you mean `issuers`?")),
    (
        "enabled = true",
        'colour = "red"',
        1,
        ("unknown key `colour`", "enabled, issuers, registries"),
    ),
    (
        "environment = ",
        '"\\u001b[31m" = ',
        22,
        ('github."�[31m": unknown key `�[31m`', "expected one of: repository, "),
    ),
    (
        'projects = ["widgets"]\n',
        'projects = ["widgets"]\nenvironment = "x"\n',
        18,
        ("unknown key here; it belongs in `[registries.publishers.github]`",),
    ),
    (
        'events = ["push"]',
        'issuer = "https://token.actions.githubusercontent.com"',
        23,
        ("github.issuer: unknown key here; it belongs in `[[registries.publishers]]`",),
    ),
    (
        'projects = ["widgets"]\n',
        'projects = ["widgets"]\ntoken_lifetime = 900\n',
        18,
        ("it belongs in `[[registries]]`",),
    ),
    ('name = "acme"\n', "", 9, ("name: missing", '`name = "acme"`')),
    ('provider = "gitlab"\n', "", 3, ("provider: missing", '`provider = "github"`')),
    ('url = "https://gitlab.example.com"\n', "", 3, ("issuers[1].url: missing",)),
    ('projects = ["widgets"]\n', "", 16, ("projects: missing", '["widgets"]')),
    ('workflow = "release.yml"\n', "", 18, ("workflow: missing", '`workflow = "release.yml"`')),
    ('id = "devpi"\n', "", 33, ("introspection_clients[1].id: missing",)),
    # providers
    (
        "[registries.publishers.github]",
        "[registries.publishers.gitea]",
        18,
        ("no provider is called `gitea`", "github, gitlab, google", "generic"),
    ),
    (
        "[registries.publishers.github]",
        "[registries.publishers.GitHub]",
        18,
        ("no provider is called `GitHub`", "did you mean `github`?"),
    ),
    (
        "[registries.publishers.github]",
        "[registries.publishers.azure_devops]",
        18,
        ("did you mean `azure-devops`?",),
    ),
    ('provider = "gitlab"', 'provider = "gitea"', 5, ("`gitea` is not one of: github, gitlab",)),
    ('provider = "gitlab"', 'provider = "GitLab"', 5, ("did you mean `gitlab`?",)),
    (
        '[[registries.publishers]]\nprojects = ["gadgets"',
        (
            '[registries.publishers.gitlab]\nproject_path = "a/b"\nworkflow = ".gitlab-ci.yml"\n'
            '[[registries.publishers]]\nprojects = ["gadgets"'
        ),
        16,
        ("needs exactly one provider's table", "`github` and `gitlab`"),
    ),
    # types
    ("enabled = true", 'enabled = "yes"', 1, ("is the text `yes`", "expected true or false")),
    ("enabled = true", "enabled = 1", 1, ("is the number `1`", "expected true or false")),
    ("token_lifetime = 900", 'token_lifetime = "900"', 13, ("is the text `900`", "a whole number")),
    ("token_lifetime = 900", "token_lifetime = 900.5", 13, ("is the number `900.5`",)),
    ("token_lifetime = 900", "token_lifetime = true", 13, ("is the switch `true`",)),
    ("token_lifetime = 900", "token_lifetime = 1979-05-27", 13, ("is a date",)),
    ("token_lifetime = 900", "token_lifetime = 899", 13, ("is 899", "at least 900")),
    ("token_lifetime = 900", "token_lifetime = 21601", 13, ("is 21601", "at most 21600")),
    ('["widgets"]', '"widgets"', 17, ("is the text `widgets`", 'a list: ["…"]')),
    ('["widgets"]', '["widgets", 5]', 17, ("projects[2]: is the number `5`", "a text in quotes")),
    ('["acme.example.com"]', '"acme.example.com"', 11, ("hosts: is the text",)),
    ('"9919"', "9919", 20, ("is the number `9919`", "expected a text in quotes")),
    ('"octo-org/widgets"', '["octo-org/widgets"]', 19, ("is a list", "a text in quotes")),
    ('"octo-org/widgets"', "{ a = 1 }", 19, ("is a table", "a text in quotes")),
    ("[[issuers]]", "[issuers]", 3, ("is one table", "`[[issuers]]`")),
    ('claims = { ref_protected = "true" }', 'claims = "true"', 27, ("expected a table",)),
    ('claims = { ref_protected = "true" }', "claims = { x = true }", 27, ("is the switch `true`",)),
    ('claims = { ref_protected = "true" }', "claims = { x = [] }", 27, ("claims.x: is a list",)),
    # nothing
    ('environment = "release"', 'environment = ""', 22, ("is empty", "or remove `environment`")),
    ('environment = "release"', 'environment = "  "', 22, ("environment: is empty",)),
    ('environment = "release"', 'environment = "\\t\\n"', 22, ("environment: is empty",)),
    ('environment = "release"', 'environment = "\\u200b"', 22, ("environment: is empty",)),
    ('environment = "release"', 'environment = "\\u3164\\u00a0"', 22, ("environment: is empty",)),
    ('"9919"', '""', 20, ("repository_owner_id: is empty", "or remove `repository_owner_id`")),
    ('"release.yml"', '""', 21, ('is empty; write a value, such as "release.yml"',)),
    ('"octo-org/widgets"', '" "', 19, ("repository: is empty",)),
    ('["push"]', "[]", 23, ("is an empty list; name at least one, or remove `events`",)),
    ('["push"]', '[""]', 23, ("events[1]: is empty", "or remove it from the list")),
    ('["push"]', '["push", " "]', 23, ("events[2]: is empty",)),
    ('["widgets"]', "[]", 17, ('is an empty list; name at least one, such as ["widgets"]',)),
    ('["widgets"]', '[""]', 17, ("projects[1]: is empty",)),
    ('["RS256"]', "[]", 6, ("is an empty list", "or remove `algorithms`")),
    ('["RS256"]', '[""]', 6, ("algorithms[1]: is empty",)),
    ('["keys.example.com"]', '[""]', 7, ("jwks_hosts[1]: is empty",)),
    ('provider = "gitlab"', 'provider = ""', 5, ('is empty; write a value, such as "github"',)),
    ('url = "https://gitlab.example.com"', 'url = ""', 4, ("issuers[1].url: is empty",)),
    ('name = "acme"', 'name = ""', 10, ("registries[1].name: is empty",)),
    ('["acme.example.com"]', '[""]', 11, ("hosts[1]: is empty",)),
    ('audience = "acme"', 'audience = ""', 12, ("is empty", "or remove `audience`")),
    ('issuers = ["https://token', 'issuers = ["", "https://token', 14, ("issuers[1]: is empty",)),
    ('ref_protected = "true"', 'ref_protected = ""', 27, ("claims.ref_protected: is empty",)),
    ('{ ref_protected = "true" }', "{}", 27, ("is an empty table",)),
    ('id = "devpi"', 'id = ""', 34, ("id: is empty",)),
    # values
    ('name = "acme"', 'name = "Acme!"', 10, ("`Acme!` must match [a-z0-9]",)),
    ('name = "acme"', 'name = "simple"', 10, ("name: `simple` is reserved",)),
    ("gitlab.example.com", "gitlab.example.com:99999", 4, ("has a malformed host or port",)),
    ("gitlab.example.com", "gitlab.example.com:0", 4, ("has a malformed host or port",)),
    ("gitlab.example.com", "gitlab.example.com:", 4, ("has a malformed host or port",)),
    ("gitlab.example.com", "[::1", 4, ("has a malformed host or port",)),
    ('events = ["push"]', 'ref = "refs/tags/v?"', 23, ("has a `?` or `[`", "wildcard is `*`")),
    ('events = ["push"]', 'ref = "refs/tags/v[0-9]*"', 23, ("has a `?` or `[`",)),
    ('events = ["push"]', 'ref = "refs/heads/"', 23, ("does not look like a `ref`",)),
    ('events = ["push"]', 'ref = "refs/heads//x"', 23, ("does not look like a `ref`",)),
    ('events = ["push"]', 'ref = "refs/heads/a..b"', 23, ("does not look like a `ref`",)),
    (
        'events = ["push"]',
        'reusable_workflow = "octo-org/workflows/.github/workflows/publish.yml@main"',
        23,
        ("such as `octo-org/workflows/.github/workflows/publish.yml@refs/heads/main`",),
    ),
    ('audience = "acme"', 'audience = "1password"', 12, ("`1password` must start with a letter",)),
    ('"acme.example.com"', '"https://acme.example.com"', 11, ("must be a host name",)),
    ('"acme.example.com"', '"ACME.example.com"', 11, ("in lower case",)),
    ('["widgets"]', '["data-*"]', 17, ("`data-*` must be a project name",)),
    ('"octo-org/widgets"', '"octo-org/*"', 19, ("`octo-org/*` does not look like",)),
    ('"octo-org/widgets"', '"widgets"', 19, ("`octo-org/widgets`",)),
    ('"release.yml"', '"*.yml"', 21, ("has a `*`", "no meaning here")),
    ('["push"]', '["pushes"]', 23, ("`pushes` is not known; did you mean `push`?",)),
    ('["push"]', '["workflow-dispatch"]', 23, ("did you mean `workflow_dispatch`?",)),
    ('events = ["push"]', 'ref_type = "tags"', 23, ("is not one of: branch, tag", "`tag`?")),
    (
        'events = ["push"]',
        'runner_environment = "selfhosted"',
        23,
        ("is not one of: github-hosted, self-hosted", "did you mean `self-hosted`?"),
    ),
    ('namespace_id = "72"', 'pipeline_sources = ["pushh"]', 30, ("did you mean `push`?",)),
    ('["RS256"]', '["HS256"]', 6, ("`HS256` is not one of:", "did you mean")),
    ('id = "devpi"', 'id = "de vpi"', 34, ("`de vpi` must be 1 to 64 letters",)),
    ('{ ref_protected = "true" }', '{ sub = "my-org*" }', 27, ("must follow one of / : @ #",)),
    ('{ ref_protected = "true" }', '{ sub = "**" }', 27, ("other characters besides `*`",)),
    # issuers
    ("gitlab.example.com", "gitlab.example.com/", 4, ("no slash at the end", "`https://gitlab.")),
    (
        'url = "https://gitlab.example.com"',
        'url = "https://gitlab.com/"',
        4,
        ("https://gitlab.com",),
    ),
    ('url = "https://g', 'url = "http://g', 4, ("must be https",)),
    ('url = "https://gitlab.e', 'url = "https://GitLab.e', 4, ("all in lower case",)),
    ('gitlab.example.com"\np', 'gitlab.example.com:443"\np', 4, ("no default port",)),
    ('gitlab.example.com"\np', 'gitlab.example.com?x=1"\np', 4, ("no query",)),
    ('gitlab.example.com"\np', 'gitlab.example.com#x"\np', 4, ("no query, fragment",)),
    (
        ', "https://gitlab.example.com"]',
        ', "https://gitlab.example.com/"]',
        14,
        ("no issuer `https://gitlab.example.com/` is known", "did you mean `https://gitlab.ex"),
    ),
    (
        ', "https://gitlab.example.com"]',
        "]",
        25,
        ("publishers[2].issuer", "no issuer of provider gitlab is known in this registry"),
    ),
    (
        'projects = ["widgets"]',
        'projects = ["widgets"]\nissuer = "https://gitlab.example.com"',
        18,
        ("is not one of provider github", "expected one of: https://token.actions"),
    ),
]


def load(folder: Path, *texts: str | bytes, host: str | None = None) -> config.Loaded:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{'broker' if number == 0 else f'team{number}'}.toml")
        paths[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
    loaded = config.load(*paths, allow_loopback=False)
    if host is not None:
        loaded.check_host(host)
    return loaded


def refusal(folder: Path, *texts: str | bytes, host: str | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load(folder, *texts, host=host)
    return [line.removeprefix(f"{folder}/") for line in refused.value.lines]


def test_the_file_is_right_before_a_mistake_is_made(tmp_path: Path) -> None:
    assert len(load(tmp_path, GOOD).publishers) == 2


@pytest.mark.promise("no-empty-rule")
@pytest.mark.parametrize(("before", "after", "number", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_line_and_in_our_words(
    tmp_path: Path, before: str, after: str, number: int, said: tuple[str, ...]
) -> None:
    assert before in GOOD

    lines = refusal(tmp_path, GOOD.replace(before, after, 1))

    about = [line for line in lines if line.startswith(f"broker.toml:{number}: ")]
    assert any(all(fact in line for fact in said) for line in about), lines
    for line in lines:
        assert not re.search(r"Input should|Extra inputs|Field required|valid (string|list)", line)


@pytest.mark.parametrize(("before", "after", "number", "said"), MISTAKES)
def test_a_mistake_in_a_publisher_names_registry_and_projects(
    tmp_path: Path, before: str, after: str, number: int, said: tuple[str, ...]
) -> None:
    for line in refusal(tmp_path, GOOD.replace(before, after, 1)):
        for place in re.findall(r": registries\[1\]\.publishers\[(\d)\]", line):
            assert f"(publisher {place} of registry `" in line or 'name = ""' in after + before


@pytest.mark.parametrize(
    "entry",
    [
        'secret_sha256 = "hunter2-hunter2"',
        "secret_sha256 = 1234567",
        'secret_sha256 = ["hunter2-hunter2"]',
        'secret = "hunter2-hunter2"',
        f'secret_sha256 = "{LEAKED}"',
    ],
)
def test_a_secret_is_not_said_again(tmp_path: Path, entry: str) -> None:
    before = GOOD.partition("secret_sha256 = ")[2].strip()

    line, *_ = refusal(tmp_path, GOOD.replace(f"secret_sha256 = {before}", entry))

    assert "introspection_clients[1].secret" in line
    assert not re.search(r"hunter2|1234567", line)
    assert LEAKED[:40] not in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = ", ":1: not TOML: this is not a value; a text needs quotes"),
        (b"\n\nname = acme\n", ":3: not TOML: this is not a value; a text needs quotes"),
        (b"[[registries]\nname = 1", ":1: not TOML: the brackets are not closed"),
        (b"a = 1\na = 2", ":2: not TOML: this key was given before"),
        (b"[a]\n[a]", ":2: not TOML: this table was given before"),
        (b"a = { b = 1, b = 2 }", ":1: not TOML: this key was given before"),
        (b'a = "x', ":1: not TOML: the text is not closed"),
        (b'a = "x\nb = 1', ":1: not TOML: "),
        (b'a = """x\n\n', ":3: not TOML: the text is not closed"),
        (b"a = [1, 2", ":1: not TOML: the list is not closed with `]`"),
        (b"a = [1,\n2 3]", ":2: not TOML: the list is not closed with `]`"),
        (b"a = 1 2", ":1: not TOML: something follows the value"),
        (b"a", ":1: not TOML: a key must be followed by `=` and a value"),
        (b"enabled\n", ":1: not TOML: a key must be followed by `=` and a value"),
        (b"= 1", ":1: not TOML: a line must be a `[table]` or `key = value`"),
        (b'a = "C:\\x"', ":1: not TOML: "),
        (b"a = 1\n\x00", ":2: not TOML: "),
        (b"a = 2026-13-45", ":1: not TOML: "),
        (b"a = 1\nb = \xff", ":2: not TOML: the line is not UTF-8; save the file as UTF-8"),
        ("a = 1".encode("utf-16"), ": not TOML: the file is UTF-16; save it as UTF-8"),
        (b"a = " + b"[" * 3000, ": not TOML: lists or tables are nested too deep"),
        (b"a = " + b"1" * 5000, ": not TOML: a number has too many digits"),
        (b"", ": the file is empty"),
        (b"# only a comment\n", ": the file is empty"),
        (b"\xef\xbb\xbf", ": the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (line,) = refusal(tmp_path, content)

    assert line.startswith(f"broker.toml{said}")


def test_a_syntax_error_that_we_do_not_know_is_still_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_text: str) -> None:
        raise tomllib.TOMLDecodeError("Something new (at line 2, column 3)")

    monkeypatch.setattr(tomllib, "loads", fail)

    assert refusal(tmp_path, "x") == ["broker.toml:2: not TOML"]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).publishers


def test_ends_of_lines_of_windows_are_accepted(tmp_path: Path) -> None:
    text = GOOD.replace("\n", "\r\n")

    (line,) = refusal(tmp_path, text.replace("repository_owner_id", "repositoryownerid"))

    assert line.startswith("broker.toml:20: ")


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytp_broker.config.sources.MAX_FILE_BYTES", 1024**2)

    (line,) = refusal(tmp_path, b"#" * (1024**2 + 1))

    assert line == "broker.toml: the file has more than 1 MiB; is it the right one?"


@pytest.mark.parametrize(
    ("name", "said"),
    [("none.toml", "No such file or directory"), (".", "Is a directory"), ("\0", "not the name")],
)
def test_a_file_that_is_not_one_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        config.load(tmp_path / name, allow_loopback=False)


# --- several files --------------------------------------------------------------------------------

ACME = """
[[registries]]
name = "acme"
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
"""
OTHER = ACME.replace("acme", "other")


def test_several_files_are_one_configuration(tmp_path: Path) -> None:
    loaded = load(tmp_path, "enabled = true\n" + ACME, OTHER)

    assert set(loaded.configuration.registries) == {"acme", "other"}
    assert [publisher.registry for publisher in loaded.publishers] == ["acme", "other"]


def test_an_issuer_of_one_file_is_known_in_the_other(tmp_path: Path) -> None:
    issuers = '[[issuers]]\nurl = "https://gitlab.example.com"\nprovider = "gitlab"\n'
    registry = '[[registries]]\nname = "acme"\nissuers = ["https://gitlab.example.com"]\n'

    assert load(tmp_path, registry, issuers).configuration.registries["acme"].issuers


def test_the_same_key_in_two_files_is_a_mistake_that_names_both(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, "enabled = true\n" + ACME, "\nenabled = true\n" + OTHER)

    assert line == (
        f"team1.toml:2: enabled: the same key is in {tmp_path}/broker.toml:1; remove one of the two"
    )


def test_the_same_registry_in_two_files_is_a_mistake_that_names_both(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, ACME, OTHER, ACME)

    assert line == (
        f"team2.toml:3: registries[1].name: `acme` was given before, at {tmp_path}/broker.toml:3 "
        "(registry `acme`)"
    )


@pytest.mark.parametrize("second", ["registries = 1", '[registries]\nname = "other"'])
def test_a_second_file_in_which_a_list_is_something_else_is_told_so(
    tmp_path: Path, second: str
) -> None:
    (line,) = refusal(tmp_path, ACME, second)

    assert line == (
        "team1.toml:1: registries: is not a list of tables: write `[[registries]]` above each"
    )


def test_a_list_behind_something_else_is_the_same_key_twice(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, "registries = 1", ACME)

    assert line.endswith("remove one of the two")


def test_a_mistake_is_named_with_the_file_that_it_is_in(tmp_path: Path) -> None:
    line, *_ = refusal(tmp_path, ACME, OTHER.replace("workflow = ", "workfow = "), OTHER)

    assert line.startswith("team1.toml:6: registries[1].publishers[1].github.workflow: missing")


def test_the_hash_of_one_file_is_its_own_and_of_several_depends_on_each(tmp_path: Path) -> None:
    alone = load(tmp_path, ACME).sources.sha256
    both, changed = load(tmp_path, ACME, OTHER), load(tmp_path, ACME, OTHER + "\n")

    assert alone == hashlib.sha256(ACME.encode()).hexdigest()
    assert len({alone, both.sources.sha256, changed.sources.sha256}) == 3


# --- the host that registries share ---------------------------------------------------------------

HOST = "packages.example.com"


def test_a_registry_may_not_take_the_shared_host(tmp_path: Path) -> None:
    text = ACME.replace('"acme"', f'"acme"\nhosts = ["a.example.com", "{HOST}"]')

    (line,) = refusal(tmp_path, text, host=HOST)

    assert line.startswith(f"broker.toml:4: registries[1].hosts[2]: `{HOST}` is the host that all")


@pytest.mark.parametrize(
    ("audience", "owner"),
    [(HOST, "the shared host"), (f"{HOST}/other", "registry `other`")],
)
def test_an_audience_that_is_the_default_of_another_is_refused(
    tmp_path: Path, audience: str, owner: str
) -> None:
    text = ACME.replace('"acme"', f'"acme"\naudience = "{audience}"') + OTHER

    (line,) = refusal(tmp_path, text, host=HOST)

    assert f"registries[1].audience: `{audience}` is the default audience of {owner}" in line


def test_an_audience_like_the_default_of_an_address_is_refused_too(tmp_path: Path) -> None:
    text = ACME.replace('"acme"', '"acme"\naudience = "pytp-127.0.0.1"')

    (line,) = refusal(tmp_path, text, host="127.0.0.1")

    assert "is the default audience of the shared host" in line


@pytest.mark.parametrize(
    "more", ['audience = "acme"', f'audience = "{HOST}/acme"', 'hosts = ["acme.example.com"]']
)
def test_an_audience_and_a_host_of_its_own_are_good(tmp_path: Path, more: str) -> None:
    loaded = load(tmp_path, ACME.replace('"acme"', f'"acme"\n{more}', 1) + OTHER, host=HOST)

    assert loaded.remarks == ()


def test_a_configuration_without_a_registry_is_remarked(tmp_path: Path) -> None:
    (remark,) = load(tmp_path, "enabled = false").remarks

    assert "there is no registry in this configuration" in remark


# --- issuers --------------------------------------------------------------------------------------

GITHUB_ALONE = ACME.replace(
    '"acme"', '"acme"\nissuers = ["https://token.actions.githubusercontent.com"]'
)


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("github", "https://token.actions.githubusercontent.com/octo-enterprise"),
        ("github", "https://token.actions.octo.ghe.com"),
        ("github", "https://ghes.example.com/_services/token"),
        ("gitlab", "https://gitlab.example.com/gitlab"),
        ("gitlab", "https://gitlab.example.com:8443"),
        ("circleci", "https://oidc.circleci.com/org/11111111-0000-4000-8000-000000000001"),
        ("azure-devops", "https://vstoken.dev.azure.com/7c5d0a11-0000-4000-8000-000000000001"),
        ("forgejo", "https://git.example.com/api/actions"),
        ("semaphore", "https://acme.semaphoreci.com"),
        ("kubernetes", "https://oidc.eks.eu-central-1.amazonaws.com/id/ABC123"),
        ("kubernetes", "https://eastus.oic.prod-aks.azure.com/tenant/cluster/"),
        ("kubernetes", "https://k8s.example.com/"),
        ("kubernetes", "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c"),
        ("aws", "https://a0000000-0000-4000-8000-000000000001.tokens.sts.global.api.aws"),
        ("bitbucket", "https://api.bitbucket.org/2.0/workspaces/a/pipelines-config/identity/oidc"),
        ("generic", "https://tenant.auth0.com/"),
        ("generic", "https://ci.example.com:443"),
    ],
)
def test_an_issuer_as_its_provider_signs_it_is_good(
    tmp_path: Path, provider: str, url: str
) -> None:
    issuer = f'[[issuers]]\nurl = "{url}"\nprovider = "{provider}"\n'

    loaded = load(tmp_path, issuer + GITHUB_ALONE)

    assert url in loaded.configuration.issuers
    assert loaded.remarks == ()


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("github", "https://token.actions.githubusercontent.com/"),
        ("github", "https://token.actions.githubusercontent.com/a/b"),
        ("github", "https://token.actions.githubusercontent.com:443"),
        ("github", "https://token.actions.octo.ghe.com/"),
        ("github", "https://ghes.example.com/_services/token/"),
        ("github", "https://github.com"),
        ("github", "https://octo.ghe.com"),
        ("github", "https://ghe.com"),
        ("semaphore", "https://semaphoreci.com"),
        ("gitlab", "https://gitlab.com/group"),
        ("gitlab", "https://gitlab.example.com/"),
        ("gitlab", "https://gitlab.example.com:443"),
        ("google", "https://accounts.google.com/"),
        ("activestate", "https://platform.activestate.com"),
        ("circleci", "https://oidc.circleci.com/"),
        ("circleci", "https://oidc.circleci.com/org/x/"),
        ("buildkite", "https://agent.buildkite.com/"),
        ("buildkite", "https://buildkite.com"),
        ("azure-devops", "https://vstoken.dev.azure.com"),
        ("azure-devops", "https://vstoken.dev.azure.com/x/"),
        ("azure-devops", "https://dev.azure.com/acme"),
        ("bitbucket", "https://bitbucket.org"),
        ("bitbucket", "https://api.bitbucket.org/"),
        ("forgejo", "https://codeberg.org"),
        ("forgejo", "https://codeberg.org/api/actions/"),
        ("semaphore", "https://acme.semaphoreci.com/"),
        ("kubernetes", "https://oidc.eks.eu-central-1.amazonaws.com/id/ABC123/"),
        ("kubernetes", "https://eastus.oic.prod-aks.azure.com/tenant/cluster"),
        ("aws", "https://a0000000.tokens.sts.global.api.aws/"),
    ],
)
def test_an_issuer_as_its_provider_never_signs_it_is_refused(
    tmp_path: Path, provider: str, url: str
) -> None:
    (line,) = refusal(tmp_path, f'[[issuers]]\nurl = "{url}"\nprovider = "{provider}"\n')

    assert line.startswith("broker.toml:2: issuers[1].url: ")
    assert "an issuer of " in line


@pytest.mark.parametrize(
    ("provider", "url", "owner"),
    [
        ("gitlab", "https://token.actions.githubusercontent.com/octo-enterprise", "github"),
        ("github", "https://acme.semaphoreci.com", "semaphore"),
        ("forgejo", "https://vstoken.dev.azure.com/x", "azure-devops"),
        ("kubernetes", "https://a0000000.tokens.sts.global.api.aws", "aws"),
    ],
)
def test_an_issuer_on_the_host_of_another_provider_is_refused(
    tmp_path: Path, provider: str, url: str, owner: str
) -> None:
    (line,) = refusal(tmp_path, f'[[issuers]]\nurl = "{url}"\nprovider = "{provider}"\n')

    assert f'write `provider = "{owner}"`' in line


def test_a_generic_issuer_may_be_on_the_host_of_a_provider(tmp_path: Path) -> None:
    url = "https://oidc.eks.eu-central-1.amazonaws.com/id/ABC123"
    issuer = f'[[issuers]]\nurl = "{url}"\nprovider = "generic"\n'

    assert load(tmp_path, issuer + GITHUB_ALONE).configuration.issuers[url].provider == "generic"


def test_a_password_in_a_url_is_not_said_again(tmp_path: Path) -> None:
    issuer = '[[issuers]]\nurl = "https://user:hunter2@ci.example.com"\nprovider = "gitlab"\n'

    (line,) = refusal(tmp_path, issuer)

    assert "user name" in line
    assert "hunter2" not in line


def test_a_password_in_a_projects_place_is_not_said_again(tmp_path: Path) -> None:
    publisher = '[[registries.publishers]]\nprojects = ["https://user:hunter2@ci.example.com"]\n'

    lines = refusal(tmp_path, ACME + publisher)

    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize(
    ("provider", "url"),
    [("github", "https://ghes.example.com"), ("forgejo", "https://git.example.com")],
)
def test_an_issuer_of_an_unusual_path_is_remarked(tmp_path: Path, provider: str, url: str) -> None:
    issuer = f'[[issuers]]\nurl = "{url}"\nprovider = "{provider}"\n'

    (remark,) = load(tmp_path, issuer + GITHUB_ALONE).remarks

    assert "is usually https://HOST/" in remark


# --- lines ----------------------------------------------------------------------------------------

TRICKY = """# [[registries]]
"a b"."c\\u0041" = \"\"\"
[[registries]]
x = 1 \\\"\"\"
\"\"\"\"\"
d = 1979-05-27 07:32:00
e = '''
]
'''
f = '#' # [g]
[[registries]]
name = "acme" # [x]
hosts = [ # ]
  "a", # ]
  'b]',
]
claims = { sub = "x}", "q # r" = ["1", { z = 1 }], d.e = 2, empty = {} }
[[registries.publishers]]
projects = []
[ registries . publishers . "github" ]
workflow = "\\"#"
[[registries.publishers]]
[registries.publishers.gitlab]
workflow = "b"
[[registries]]
[[registries.publishers]]
"""


def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inside: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inside += value.items()
    if isinstance(value, list):
        inside += enumerate(value)
    return [path, *(found for key, each in inside for found in paths(each, (*path, key)))]


@pytest.mark.parametrize("text", [TRICKY, GOOD, TRICKY.replace("\n", "\r\n"), ACME, "", "#"])
def test_every_key_and_entry_has_a_line(text: str) -> None:
    assert {(), *find_lines(text)} == set(paths(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (("a b", "cA"), 2),
        (("d",), 6),
        (("f",), 10),
        (("registries", 0), 11),
        (("registries", 0, "hosts", 1), 15),
        (("registries", 0, "claims", "q # r", 1, "z"), 17),
        (("registries", 0, "publishers", 0, "github", "workflow"), 21),
        (("registries", 0, "publishers", 1), 22),
        (("registries", 0, "publishers", 1, "gitlab", "workflow"), 24),
        (("registries", 1, "publishers", 0), 26),
    ],
)
def test_a_line_is_where_the_key_is(path: tuple[str | int, ...], number: int) -> None:
    assert find_lines(TRICKY)[path] == number


def test_lists_nested_without_end_have_the_lines_that_were_found() -> None:
    assert find_lines("\na = " + "[" * 3000)[("a",)] == 2


def test_every_table_of_the_model_is_known_by_its_keys() -> None:
    schema = config.json_schema()
    tables = [set(table["properties"]) for table in [schema, *schema["$defs"].values()]]

    assert sorted(map(sorted, tables)) == sorted(map(sorted, TABLES.values()))


def test_no_sentence_of_the_library_is_left_for_a_kind_of_error_that_we_do_not_know() -> None:
    error: Any = {"type": "brand_new", "loc": ("enabled",), "msg": "Input should be", "input": 1}

    assert explain_error(error, {}).text == "is not a value that this key can have"


GENERIC = """
[[issuers]]
url = "https://ci.example.com"
provider = "generic"
[[registries]]
name = "acme"
[[registries.publishers]]
projects = ["gizmos"]
[registries.publishers.generic]
claims = {{ {} }}
"""


@pytest.mark.parametrize(
    "claims",
    [
        'repository_visibility = "private"',
        'project_visibility = "private"',
        'workflow = "release"',
        'deployment_tier = "production"',
        'trg = "manual"',
        '"google>compute_engine>zone" = "europe-west3-a"',
        'runner_id = "5"',
        '"agent_tag:queue" = "default"',
        'run_number = "1"',
        'refType = "tag"',
        'email_verified = "true"',
        'user_access_level = "developer"',
    ],
)
@pytest.mark.parametrize("beside", ["", ', sub = "repo:*/*:ref:refs/heads/main"'])
def test_claims_that_jobs_of_strangers_have_identify_nobody(
    tmp_path: Path, claims: str, beside: str
) -> None:
    (line,) = refusal(tmp_path, GENERIC.format(claims + beside))

    assert "generic.claims: needs a claim without `*` that says whose job it is" in line


@pytest.mark.parametrize(
    "claims",
    [
        'sub = "project:gizmos"',
        'repository = "octo-org/widgets"',
        'project_id = "20"',
        'email = "a@example.com"',
        'deploymentEnvironmentUuid = "{5e7c3f1a-0000-4000-8000-000000000003}"',
        'job_workflow_ref = "o/w/.github/workflows/x.yml@refs/tags/v1"',
        'ci_config_ref_uri = "gitlab.example.com/a/b//x.yml@refs/heads/main"',
        '"kubernetes.io>namespace" = "release"',
        'team = "release-engineers"',
    ],
)
def test_a_claim_that_only_own_jobs_have_identifies(tmp_path: Path, claims: str) -> None:
    assert load(tmp_path, GENERIC.format(f'{claims}, branch = "main"')).publishers


def test_mistakes_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    text = GOOD.replace("9919", "x").replace("devpi", "").replace("enabled", "enable", 1)

    lines = refusal(tmp_path, text, OTHER.replace("9919", "x"))

    numbers = [line.split(":")[:2] for line in lines]
    assert numbers == [
        ["broker.toml", "1"],
        ["broker.toml", "20"],
        ["broker.toml", "34"],
        ["team1.toml", "8"],
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('environment = "release"', 'environment = ""'),
        ('["push"]', '["pushes"]'),
        ('["push"]', "[]"),
        ('["widgets"]', "[]"),
        ('["widgets"]', '[""]'),
        ("repository = ", "repositry = "),
        ('provider = "gitlab"', 'provider = "gitea"'),
        ("token_lifetime = 900", "token_lifetime = 1"),
    ],
)
def test_the_schema_for_editors_refuses_it_too(before: str, after: str) -> None:
    assert fits_the_schema(GOOD)
    assert not fits_the_schema(GOOD.replace(before, after, 1))


def test_a_name_that_is_only_a_little_like_another_is_not_taken_for_it(tmp_path: Path) -> None:
    text = GOOD.replace("[registries.publishers.github]", "[registries.publishers.gitea]")

    (line,) = refusal(tmp_path, text)

    assert "did you mean" not in line
    assert "no provider is called `gitea`; the providers are: github, gitlab, " in line


def test_an_event_like_none_is_answered_with_all(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, GOOD.replace('["push"]', '["zzz"]'))

    assert "`zzz` is not one of: push, release, " in line
