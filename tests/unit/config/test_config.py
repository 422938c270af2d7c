"""The configuration file: the values that it becomes, and refusals."""

import json
import tomllib
from pathlib import Path

import pytest

from pytp_broker import config
from pytp_broker.config import ConfigurationError
from pytp_broker.grants import Permission
from pytp_broker.registries import Configuration
from pytp_broker.storage.plan import Setup, make_plan
from tests.support.configurations import fits_the_schema, mistakes
from tests.support.markers import of_row
from tests.support.signing import GITHUB

PUBLISHER = """
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
workflow = "release.yml"
"""
REGISTRY = f"""
[[registries]]
name = "acme"
{PUBLISHER}
"""


def parse(text: str, *, allow_loopback: bool = False) -> config.Loaded:
    return config.parse(tomllib.loads(text), allow_loopback=allow_loopback)


def test_a_minimal_registry_knows_every_public_issuer() -> None:
    loaded = parse(REGISTRY)

    registry = loaded.configuration.registries["acme"]
    assert registry.issuers is None
    assert registry.accepts(GITHUB)
    assert loaded.configuration.issuers == {}, "what is built in is not written down"
    assert registry.token_lifetime_seconds == 900
    assert registry.enabled
    assert registry.shared_host_exchange


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("", 14),
        ("release_open_days = 1", 1),
        ("release_open_days = 3650", 3650),
        ('release_open_days = "unlimited"', None),
    ],
)
def test_a_registry_says_how_long_its_releases_are_open(line: str, days: int | None) -> None:
    text = f'[[registries]]\nname = "acme"\n{line}\n'

    assert parse(text).configuration.registries["acme"].release_open_days == days
    assert fits_the_schema(text)


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("", 1_073_741_824),
        ('max_file_size = "500 MB"', 500_000_000),
        ('max_file_size = "500MiB"', 524_288_000),
        ('max_file_size = "5 GiB"', 5_368_709_120),
        ("max_file_size = 1024", 1024),
    ],
)
def test_a_registry_says_how_large_its_files_may_be(line: str, size: int) -> None:
    text = f'[[registries]]\nname = "acme"\n{line}\n'

    assert parse(text).configuration.registries["acme"].max_file_size == size
    assert fits_the_schema(text)


@pytest.mark.parametrize(
    "value",
    [
        *('"1"', '"1 TB"', '"6 GiB"', '"-1 GiB"', '"1.5 GiB"', '""', '"\u0661 GiB"'),
        *("1023", "true", "1e9", "5368709121", "[1024]"),
    ],
)
def test_a_wrong_size_says_what_is_right(value: str) -> None:
    (line,) = mistakes(f'[[registries]]\nname = "acme"\nmax_file_size = {value}\n')

    assert line.startswith("registries[1].max_file_size: ")
    assert 'must be a size such as "1 GiB" or "500 MB", from "1 KiB" to "5 GiB"' in line


@pytest.mark.parametrize(
    ("line", "is_required"), [("", False), ("require_attestations = true", True)]
)
def test_a_registry_says_whether_its_files_need_attestations(line: str, is_required: bool) -> None:
    text = f'[[registries]]\nname = "acme"\n{line}\n'

    assert parse(text).configuration.registries["acme"].require_attestations is is_required
    assert fits_the_schema(text)


def test_whether_files_need_attestations_is_not_a_text() -> None:
    (line,) = mistakes('[[registries]]\nname = "acme"\nrequire_attestations = "yes"\n')

    assert line.startswith("registries[1].require_attestations: ")


@pytest.mark.parametrize(
    ("line", "is_public"), [("", False), ('access = "private"', False), ('access = "public"', True)]
)
def test_a_registry_is_private_unless_it_says_otherwise(line: str, is_public: bool) -> None:
    text = f'[[registries]]\nname = "acme"\n{line}\n'

    assert parse(text).configuration.registries["acme"].is_public is is_public
    assert fits_the_schema(text)


def test_another_word_for_access_names_the_two_that_there_are() -> None:
    (line,) = mistakes('[[registries]]\nname = "acme"\naccess = "publik"\n')

    assert line.startswith("registries[1].access: ")
    assert "private, public; did you mean `public`?" in line


def test_a_wrong_number_of_days_says_what_is_right() -> None:
    (line,) = mistakes('[[registries]]\nname = "acme"\nrelease_open_days = 0\n')

    assert line.startswith("registries[1].release_open_days: must be a number of days from 1 to")
    assert '3650, or "unlimited"' in line


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("", 3600), ("read_token_lifetime = 60", 60), ("read_token_lifetime = 43200", 43_200)],
)
def test_a_registry_says_how_long_its_read_tokens_live(line: str, seconds: int) -> None:
    text = f'[[registries]]\nname = "acme"\n{line}\n'

    registry = parse(text).configuration.registries["acme"]
    assert registry.read_token_lifetime_seconds == seconds
    assert fits_the_schema(text)


READER = """
[[registries]]
name = "acme"
[[registries.readers]]
claims = { actor = "octo*" }
[registries.readers.github]
owner = "octo-org"
events = ["push"]
"""


def test_a_reader_has_a_wider_identity_and_no_projects() -> None:
    text = READER.replace("octo*", "octocat")
    (reader,) = parse(text).publishers

    assert reader.permission is Permission.READ
    assert reader.projects == ()
    assert reader.fields == {"owner": "octo-org", "events": ("push",)}
    assert reader.claims == {"actor": "octocat"}
    assert reader.issuer == GITHUB
    assert fits_the_schema(text)


def test_it_is_remarked_which_ids_of_a_reader_will_be_pinned() -> None:
    (remark,) = parse(READER.replace("octo*", "octocat")).remarks

    assert remark.startswith("registries[1].readers[1].github: `repository_owner_id` will be")
    assert remark.endswith("(reader 1 of registry `acme`)")


def test_a_publisher_takes_the_only_issuer_of_its_provider() -> None:
    (publisher,) = parse(REGISTRY).publishers

    assert publisher.issuer == GITHUB
    assert publisher.fields == {"repository": "octo-org/widgets", "workflow": "release.yml"}


def test_a_publisher_must_name_its_issuer_where_there_are_two() -> None:
    text = '[[issuers]]\nurl = "https://ghes.example.com"\nprovider = "github"\n' + REGISTRY

    (line,) = mistakes(text)
    assert line.startswith("registries[1].publishers[1].issuer: must name an issuer")
    assert "https://ghes.example.com" in line


def test_project_names_are_normalised() -> None:
    (publisher,) = parse(REGISTRY.replace('["widgets"]', '["My_Widgets.x", "b"]')).publishers

    assert publisher.projects == ("my-widgets-x", "b")


def test_the_same_rules_twice_are_one_publisher_of_all_projects() -> None:
    second = PUBLISHER.replace('["widgets"]', '["widgets", "gadgets"]')

    loaded = parse(REGISTRY + second)

    plan = make_plan(Setup(Configuration(), {}), loaded.configuration, loaded.publishers)
    (publisher,) = plan.outcome.publishers.values()
    assert publisher.projects == ("widgets", "gadgets")


def test_ids_that_will_be_pinned_are_remarked() -> None:
    (remark,) = parse(REGISTRY).remarks

    assert remark == (
        "registries[1].publishers[1].github: `repository_owner_id`, `repository_id` will be "
        "pinned on first use (publisher 1 of registry `acme`: widgets)"
    )
    assert parse(REGISTRY + 'repository_owner_id = "9919"').remarks == ()


def test_an_audience_of_two_registries_is_remarked() -> None:
    text = "".join(f'[[registries]]\nname = "{name}"\naudience = "same"\n' for name in "ab")

    (remark,) = parse(text).remarks

    assert remark.startswith("registries[2].audience: `same` is the audience of registry `a` too")


def test_an_audience_that_is_the_default_of_another_registry_is_refused() -> None:
    text = """
[[registries]]
name = "a"
hosts = ["a.example.com"]
[[registries]]
name = "b"
audience = "a.example.com"
"""

    (line,) = mistakes(text)

    assert line.startswith(
        "registries[2].audience: `a.example.com` is the default audience of registry `a`"
    )


def test_two_publishers_that_contradict_each_other_are_refused() -> None:
    one, two = (
        PUBLISHER + f'repository_owner_id = "{owner_id}"\nenvironment = "{owner_id}"\n'
        for owner_id in ("9919", "1111")
    )

    (line,) = mistakes('[[registries]]\nname = "acme"\n' + one + two)

    assert line == (
        "registries[1].publishers[2].github.repository_owner_id: `1111` contradicts the `9919` at "
        "registries[1].publishers[1].github.repository_owner_id (publisher 2 of registry `acme`: "
        "widgets)"
    )


def test_the_same_ids_again_do_not_contradict() -> None:
    one = PUBLISHER + 'repository_owner_id = "9919"\n'
    two = one + 'environment = "release"\n'

    assert len(parse('[[registries]]\nname = "acme"\n' + one + two).publishers) == 2


def test_blank_space_around_values_does_not_count() -> None:
    text = REGISTRY.replace('"release.yml"', '"  release.yml "')

    (publisher,) = parse(text).publishers

    assert publisher.fields["workflow"] == "release.yml"


def test_rules_are_the_publishers_identity_and_projects_are_not() -> None:
    (one,) = parse(REGISTRY).publishers
    (more,) = parse(REGISTRY.replace('["widgets"]', '["gadgets"]')).publishers
    (other,) = parse(REGISTRY + 'environment = "release"').publishers

    assert one.rules_hash == more.rules_hash
    assert one.rules_hash != other.rules_hash
    assert one.publisher_id != more.publisher_id


def test_an_own_issuer_has_its_providers_algorithms() -> None:
    text = '[[issuers]]\nurl = "https://ghes.example.com"\nprovider = "github"'

    issuer = parse(text).configuration.issuers["https://ghes.example.com"]
    assert issuer.algorithms == ("RS256",)


def test_a_public_issuer_can_be_switched_off() -> None:
    text = f'[[issuers]]\nurl = "{GITHUB}"\nprovider = "github"\nenabled = false'

    assert not parse(text).configuration.issuers[GITHUB].enabled


CLIENT = f'[[registries.introspection_clients]]\nid = "devpi"\nsecret_sha256 = "{"0" * 64}"\n'
ISSUER = '[[issuers]]\nurl = "{}"\nprovider = "github"'


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.com",
        "ftp://issuer.example.com",
        "issuer.example.com",
        "https://",
        "https://user@issuer.example.com",
        "https://issuer.example.com?x=1",
        "https://issuer.example.com?",
        "https://issuer.example.com#",
        "https://issuer.example.com/%2e%2e",
        "https://issuer.example.com/../x",
        "https://issuer.example.com//x",
        "https://ISSUER.example.com",
        "HTTPS://issuer.example.com",
        "https://issuer.example.com/./x",
        "https://issuer.example.com/x/.",
        "https://issuer.example.com/x//",
        "https://issuer.example.com:",
        "https://issuer.example.com:0",
        "https://issuer.example.com:-1",
        "https://issuer.example.com:99999",
        "https://issuer.example.com:abc",
        "https://issuer.example.com:0443",
        "https://issuer.exämple.com",
        "https://issuer.example.com\\\\x",
        "https://issuer.example.com\\nx",
        "https://127.0.0.1",
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://[::1]",
        "https://[fd00::1]",
        "https://[::ffff:169.254.169.254]",
        "https://0x7f.1",
        "https://2130706433",
        "https://localhost",
        "https://intranet",
        "http://127.0.0.1:8000",
        "https://" + "x" * 255 + ".example.com",
    ],
)
def test_an_issuer_url_that_could_lead_elsewhere_is_refused(url: str) -> None:
    (line, *_) = mistakes(ISSUER.format(url))

    assert line.startswith("issuers[1].url: ")


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example.com",
        "https://issuer.example.com/",
        "https://issuer.example.com:8443/a/B/",
        "https://issuer.example.com/a..b",
    ],
)
def test_an_issuer_url_may_have_a_port_a_path_and_a_last_slash(url: str) -> None:
    text = ISSUER.format(url).replace("github", "generic")

    assert url in parse(text).configuration.issuers


@pytest.mark.parametrize("url", ["http://LOCALHOST", "http://localhost:99999", "http://[::1]:x"])
def test_an_issuer_on_this_machine_has_a_plain_url_too(url: str) -> None:
    (line, *_) = mistakes(ISSUER.format(url), allow_loopback=True)

    assert line.startswith("issuers[1].url: ")


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "10.0.0.1", "localhost", "2130706433", "0x7f.1", "intranet", "*"),
        *("169.254.169.254:443", "x.example:", "x.example:0", "x.example:65536", "x.example:443x"),
        *("user@x.example", "x.example:443:443", "X.example"),
    ],
)
def test_a_host_of_key_sets_that_could_lead_inside_is_refused(host: str) -> None:
    (line,) = mistakes(ISSUER.format("https://x.example") + f'\njwks_hosts = ["{host}"]')

    assert line.startswith("issuers[1].jwks_hosts[1]: ")


WORKFLOW = "octo-org/workflows/.github/workflows/publish.yml"
CALLER = """
[[registries]]
name = "acme"
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
repository_id = "17"
workflow = "release.yml"
reusable_workflow = "{}"
"""


@pytest.mark.parametrize("ref", ["", "@refs/tags/v1", "@refs/tags/pkg@1.0", "@" + "0a" * 20])
def test_a_reusable_workflow_is_named_as_it_is_signed(ref: str) -> None:
    assert parse(CALLER.format(WORKFLOW + ref)).publishers


@pytest.mark.parametrize("ref", ["@", "@v1", "@main", "@heads/main", "@" + "0a" * 19, "@refs/a b"])
def test_a_reusable_workflow_that_could_match_nothing_is_refused(ref: str) -> None:
    (line,) = mistakes(CALLER.format(WORKFLOW + ref))

    assert line.startswith("registries[1].publishers[1].github.reusable_workflow: ")


def test_a_host_of_key_sets_may_be_on_this_machine_as_its_issuer_may() -> None:
    text = ISSUER.format("http://localhost:8000") + '\njwks_hosts = ["localhost"]'

    assert parse(text, allow_loopback=True).configuration.issuers


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:8000/x", "http://[::1]:8000"]
)
def test_an_issuer_on_this_machine_is_for_local_use_only(url: str) -> None:
    assert url in parse(ISSUER.format(url), allow_loopback=True).configuration.issuers
    assert mistakes(ISSUER.format(url))


def test_loopback_does_not_allow_plain_http_elsewhere() -> None:
    assert mistakes(ISSUER.format("http://10.0.0.1"), allow_loopback=True)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("nonsense = 1", "nonsense"),
        ("enabled = 1", "enabled"),
        ("[[registries]]", "registries[1].name"),
        ('[[registries]]\nname = "Acme"', "registries[1].name"),
        ('[[registries]]\nname = "-a"', "registries[1].name"),
        ('[[registries]]\nname = "simple"', "registries[1].name"),
        ('[[registries]]\nname = "a\\n"\nx=1', "registries[1].x"),
        ('[[registries]]\nname = "a"\nname_ = "b"', "registries[1].name_"),
        ('[[registries]]\nname = "a"\naudience = "1password"', "registries[1].audience"),
        *of_row(
            "A042",
            *(
                (f'[[registries]]\nname = "a"\naudience = {audience}', "registries[1].audience")
                for audience in ('""', '" "', "[]", "5")
            ),
        ),
        ('[[registries]]\nname = "a"\naudience = "a b"', "registries[1].audience"),
        ('[[registries]]\nname = "a"\nhosts = ["A.example"]', "registries[1].hosts[1]"),
        ('[[registries]]\nname = "a"\nhosts = ["a.example:1"]', "registries[1].hosts[1]"),
        ('[[registries]]\nname = "a"\nhosts = "a.example"', "registries[1].hosts"),
        ('[[registries]]\nname = "a"\nissuers = []', "registries[1].issuers"),
        ('[[registries]]\nname = "a"\nissuers = ["https://x.example"]', "registries[1].issuers[1]"),
        ('[[registries]]\nname = "a"\ntoken_lifetime = 899', "registries[1].token_lifetime"),
        ('[[registries]]\nname = "a"\ntoken_lifetime = 21601', "registries[1].token_lifetime"),
        ('[[registries]]\nname = "a"\ntoken_lifetime = "900"', "registries[1].token_lifetime"),
        (
            '[[registries]]\nname = "a"\nread_token_lifetime = 59',
            "registries[1].read_token_lifetime",
        ),
        (
            '[[registries]]\nname = "a"\nread_token_lifetime = 43201',
            "registries[1].read_token_lifetime",
        ),
        ('[[registries]]\nname = "a"\n[[registries]]\nname = "a"', "registries[2].name"),
        *(
            (
                f'[[registries]]\nname = "a"\nrelease_open_days = {days}',
                "registries[1].release_open_days",
            )
            for days in ("0", "-1", "3651", "true", "14.0", '"14"', '"forever"', '""', "[14]")
        ),
        (
            "".join(f'[[registries]]\nname = "{n}"\nhosts = ["x.y"]\n' for n in "ab"),
            "registries[2].hosts[1]",
        ),
        (
            '[[registries]]\nname = "a"\n' + 2 * CLIENT,
            "registries[1].introspection_clients[2].id",
        ),
        ('[[issuers]]\nurl = "https://x.example"\nprovider = "x"', "issuers[1].provider"),
        (f'[[issuers]]\nurl = "{GITHUB}"\nprovider = "generic"', "issuers[1].provider"),
        (
            ISSUER.format("https://x.example") + '\nalgorithms = ["HS256"]',
            "issuers[1].algorithms[1]",
        ),
        (
            ISSUER.format("https://x.example") + '\nalgorithms = ["none"]',
            "issuers[1].algorithms[1]",
        ),
        (ISSUER.format("https://x.example") + "\nalgorithms = []", "issuers[1].algorithms"),
    ],
)
def test_a_mistake_is_named_with_its_dotted_path(text: str, path: str) -> None:
    assert any(line.startswith(f"{path}: ") for line in mistakes(text)), mistakes(text)


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ('["widgets"]', "[]", "projects"),
        ('["widgets"]', '[""]', "projects[1]"),
        ('["widgets"]', '["-x"]', "projects[1]"),
        ('["widgets"]', '["a/b"]', "projects[1]"),
        ('["widgets"]', '["*"]', "projects[1]"),
        ('"octo-org/widgets"', '"widgets"', "github.repository"),
        ('"octo-org/widgets"', '""', "github.repository"),
        ('"octo-org/widgets"', '"a/b/c"', "github.repository"),
        ('"octo-org/widgets"', '"octo-org/*"', "github.repository"),
        ('"octo-org/widgets"', '"octo-org/widgets\\nx"', "github.repository"),
        ('"octo-org/widgets"', '"octo-org/\u212aernel"', "github.repository"),
        ('"octo-org/widgets"', '["octo-org/widgets"]', "github.repository"),
        ('"release.yml"', '"dir/release.yml"', "github.workflow"),
        ('"release.yml"', '"release"', "github.workflow"),
        ('"release.yml"', '".yml"', "github.workflow"),
        ('"release.yml"', '"release.yml\\nrepository_owner_id2 = 1"', "github.workflow"),
        ('workflow = "release.yml"', "", "github.workflow"),
        ('workflow = "release.yml"', 'workflow = "r.yml"\nworkflows = "x"', "github.workflows"),
        (
            'workflow = "release.yml"',
            'workflow = "r.yml"\nrepository_owner_id = "\u0661\u0662"',
            "github.repository_owner_id",
        ),
        (
            'workflow = "release.yml"',
            'workflow = "r.yml"\nrepository_owner_id = 9919',
            "github.repository_owner_id",
        ),
        ('workflow = "release.yml"', 'workflow = "r.yml"\nref = "*"', "github.ref"),
        ('workflow = "release.yml"', 'workflow = "r.yml"\nref = "refs/**"', "github.ref"),
        ('workflow = "release.yml"', 'workflow = "*.yml"', "github.workflow"),
        ('workflow = "release.yml"', 'workflow = "r.yml"\nevents = []', "github.events"),
        ('workflow = "release.yml"', "workflow = 'r.yml'\nenvironment = '`'", "github.environment"),
    ],
)
def test_a_mistake_in_a_publisher_is_named_with_its_dotted_path(
    before: str, after: str, path: str
) -> None:
    lines = mistakes(REGISTRY.replace(before, after))

    assert any(line.startswith(f"registries[1].publishers[1].{path}: ") for line in lines), lines


def test_any_publisher_may_add_claims() -> None:
    text = REGISTRY.replace('["widgets"]', '["widgets"]\nclaims = { ref_protected = "true" }')

    (publisher,) = parse(text).publishers

    assert publisher.claims == {"ref_protected": "true"}


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"a = ", b"a = 1\na = 2", b"a = " + b"[" * 3000, b"a = " + b"1" * 5000],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broker.toml"
    file.write_bytes(content)

    with pytest.raises(ConfigurationError, match="not TOML"):
        config.load(file, allow_loopback=False)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        config.load(tmp_path / "broker.toml", allow_loopback=False)


def test_the_json_schema_accepts_what_the_model_accepts() -> None:
    assert fits_the_schema(REGISTRY)
    assert not fits_the_schema("nonsense = 1\n" + REGISTRY)
    assert json.dumps(config.json_schema())
