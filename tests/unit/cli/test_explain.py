"""`pytp-broker explain`, as a terminal shows it."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.cli import main
from pytp_broker.grants import Permission
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sqlite import SqliteStore
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import identity_keys
from tests.support.claims import captured
from tests.support.configurations import github_publisher, github_reader, registry
from tests.support.deployment import HOST
from tests.support.emulator import REGION, create_table, make_client
from tests.support.providers import blocks
from tests.support.scanner import LEAKED
from tests.support.signing import ABSENT, NOW, Issuer, github_claims
from tests.support.world import World

SECONDS = int(NOW.timestamp())
CONFIGURATION = registry(
    "acme", github_publisher("widgets", repository_owner_id="9919", environment="release")
) + registry(
    "other",
    github_publisher("gadgets", repository="octo-org/gadgets"),
    github_reader(repository_owner_id="9919", events=["push"]),
)
Explain = Callable[..., tuple[int, str]]


@pytest.fixture
def explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Explain:
    config = tmp_path / "broker.toml"
    config.write_text(CONFIGURATION)

    def run(what: str, *options: str) -> tuple[int, str]:
        status = main(["explain", "--config", str(config), *options, what])
        seen = capsys.readouterr()
        return status, seen.out + seen.err

    return run


def claims_file(folder: Path, **changes: Any) -> str:
    file = folder / "claims.json"
    file.write_text(json.dumps(github_claims(**changes)))
    return str(file)


def test_a_token_that_matches_is_explained(explain: Explain) -> None:
    status, seen = explain(Issuer().token())

    assert status == 0
    assert "registry acme, publisher of widgets: matches" in seen
    assert "registry other, publisher of gadgets: does not match" in seen


def test_readers_are_not_explained_as_publishers(explain: Explain) -> None:
    _, seen = explain(Issuer().token())

    assert "reader:" not in seen


def test_claims_that_may_read_are_explained_by_the_readers(
    explain: Explain, tmp_path: Path
) -> None:
    status, seen = explain(claims_file(tmp_path, aud="packages.example.com/other"), "--read")

    assert status == 0
    assert "registry other, reader: matches" in seen
    assert "note: Jobs of every kind may read." in seen
    assert "publisher of" not in seen


def test_claims_that_may_not_read_are_told_why(explain: Explain, tmp_path: Path) -> None:
    status, seen = explain(claims_file(tmp_path, event_name="pull_request"), "--read")

    assert status == 1
    assert "registry other, reader: does not match" in seen
    assert "claim `event_name` is `pull_request`; the reader's `events` expects `push`" in seen
    assert "✗ the broker answers: valid token, but no corresponding reader: " in seen


def test_a_token_for_the_shared_root_reads_nothing(explain: Explain, tmp_path: Path) -> None:
    file = claims_file(tmp_path, aud="packages.example.com")

    status, seen = explain(file, "--read", "--host", "packages.example.com")

    assert status == 1
    assert "other expects packages.example.com/other" in seen
    assert "the shared root" not in seen


def test_a_registry_without_readers_says_so(explain: Explain) -> None:
    status, seen = explain(Issuer().token(), "--read", "--registry", "acme")

    assert status == 1
    assert "no reader is configured for this issuer here" in seen


def test_every_rule_is_a_row_with_both_sides(explain: Explain, tmp_path: Path) -> None:
    status, seen = explain(claims_file(tmp_path, environment=ABSENT), "--registry", "acme")

    rows = [line.split() for line in seen.splitlines()]
    assert status == 1
    assert ["✓", "repository", "repository", "octo-org/widgets", "octo-org/widgets"] in rows
    assert ["✗", "environment", "environment", "release", "(missing)"] in rows
    assert "add `environment: release` to the job" in seen
    assert "registry other" not in seen


def test_what_configuration_and_claims_say_is_shown_as_a_terminal_may_show_it(
    explain: Explain, tmp_path: Path
) -> None:
    hostile = f"\x1b[2J\u202e{LEAKED}"
    config = CONFIGURATION.replace('"release"\n', json.dumps(f"\u202e{LEAKED}"[:200]) + "\n", 1)
    (tmp_path / "broker.toml").write_text(config)

    _, seen = explain(claims_file(tmp_path, environment=hostile, actor=hostile))

    assert "[a token]" in seen
    assert not {"\x1b", "\u202e"} & {*seen}
    assert LEAKED[:40] not in seen


def test_an_id_that_is_none_is_refused_as_the_exchange_does(
    explain: Explain, tmp_path: Path
) -> None:
    status, seen = explain(claims_file(tmp_path, repository_id="octo-org"))

    assert status == 1
    assert "claim `repository_id` does not look like an immutable id" in seen


@pytest.mark.parametrize(
    ("audience", "status"),
    [("packages.example.com/acme", 0), ("packages.example.com", 0), ("acme.example.com", 1)],
)
def test_the_audience_is_checked_against_a_host(
    explain: Explain, tmp_path: Path, audience: str, status: int
) -> None:
    file = claims_file(tmp_path, aud=audience)

    answer, seen = explain(file, "--registry", "acme", "--host", "packages.example.com")

    assert answer == status
    assert "acme expects packages.example.com/acme" in seen
    assert "the shared root expects packages.example.com" in seen


def test_a_renamed_repository_is_told_by_its_ids(explain: Explain, tmp_path: Path) -> None:
    ref = "octo-org/renamed/.github/workflows/release.yml@refs/tags/v1.2.0"
    file = claims_file(
        tmp_path, repository="octo-org/renamed", job_workflow_ref=ref, workflow_ref=ref
    )

    status, seen = explain(file, "--registry", "acme")

    assert status == 1
    assert "renamed or moved: change the name" in seen


def test_claims_may_be_saved_with_a_byte_order_mark(explain: Explain, tmp_path: Path) -> None:
    file = Path(claims_file(tmp_path))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())

    assert explain(str(file))[0] == 0


def test_claims_that_no_publisher_could_accept_are_told_apart(
    explain: Explain, tmp_path: Path
) -> None:
    status, seen = explain(claims_file(tmp_path, repository_owner="somebody-else"))

    assert status == 1
    assert "for every publisher" in seen


@pytest.mark.promise("untold-strangers")
def test_what_the_claims_do_not_tell_is_said(explain: Explain, tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('[[registries]]\nname = "acme"')
    file = tmp_path / "claims.json"
    file.write_text((Path(__file__).parents[2] / "providers" / "buildkite.json").read_text())

    _, seen = explain(str(file))

    assert "note: No claim distinguishes a build of a pull request" in seen


def test_a_job_that_a_stranger_can_cause_is_a_row(explain: Explain, tmp_path: Path) -> None:
    status, seen = explain(claims_file(tmp_path, event_name="issues"), "--registry", "acme")

    (row,) = [line for line in seen.splitlines() if " event_name " in line]
    assert status == 1
    assert row.split()[:3] == ["✗", "events", "event_name"]
    assert "note: No claim" not in seen


def test_a_registry_without_publishers_says_so(explain: Explain, tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('[[registries]]\nname = "acme"')

    status, seen = explain(claims_file(tmp_path))

    assert status == 1
    assert "no publisher is configured for this issuer here" in seen


def test_it_says_that_nothing_is_verified(explain: Explain, tmp_path: Path) -> None:
    _, seen = explain(claims_file(tmp_path, aud=["a", "b"]))

    assert "signature and times are not checked" in seen
    assert 'audience ["a", "b"]' in seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "No such file"),
        ("a.b.c", "neither a JWT nor the name of a file"),
        ("..", "neither a JWT nor the name of a file"),
        ("\x00", "neither a JWT nor the name of a file"),
    ],
)
def test_what_cannot_be_read_is_said(explain: Explain, text: str, message: str) -> None:
    status, seen = explain(text)

    assert status == 1
    assert message in seen or "Is a directory" in seen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iss": "https://nobody.example"}, "does not have the issuer"),
        ({"iss": 5}, "have no `iss`"),
    ],
)
def test_claims_of_nobody_we_know_are_said(
    explain: Explain, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    status, seen = explain(claims_file(tmp_path, **changes))

    assert status == 1
    assert message in seen


def test_an_unknown_registry_is_said(explain: Explain, tmp_path: Path) -> None:
    status, seen = explain(claims_file(tmp_path), "--registry", "nobody")

    assert status == 1
    assert "no registry `nobody`" in seen


def test_secret_prints_what_lets_a_client_in(capsys: pytest.CaptureFixture[str]) -> None:
    import hashlib

    assert main(["secret", "devpi"]) == 0

    printed = capsys.readouterr().out
    secret = printed.splitlines()[0].rpartition(" ")[2]
    loaded = config.parse(
        tomllib.loads('[[registries]]\nname = "acme"\n' + printed), allow_loopback=False
    )
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    assert loaded.configuration.registries["acme"].introspection_clients == {"devpi": hashed}


# --- a deployment ---------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "dynamodb"])
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, str]]:
    if request.param == "sqlite":
        store = SqliteStore(tmp_path / "broker.sqlite3")
        yield store, f"--data={tmp_path}"
        store.close()
        return
    with mock_aws():
        client = make_client("dynamodb")
        table = create_table(client)
        yield DynamoStore(client, table), f"--table={table}"
        client.close()


@pytest.fixture
def explain_deployed(deployed: tuple[Store, str], capsys: pytest.CaptureFixture[str]) -> Explain:
    store, option = deployed
    loaded = config.parse(tomllib.loads(CONFIGURATION), allow_loopback=False)
    store.apply(loaded.configuration, loaded.publishers)

    def run(what: str, *options: str) -> tuple[int, str]:
        status = main(["explain", option, f"--region={REGION}", *options, what])
        seen = capsys.readouterr()
        return status, seen.out + seen.err

    return run


def pin(store: Store, claims: Mapping[str, str], **pins: str) -> None:
    signed = SignedClaims(claims["iss"], "", datetime.max.replace(tzinfo=UTC), claims)
    (key,) = identity_keys(signed, PROVIDERS["github"], Permission.UPLOAD)
    for publisher in store.list_publishers(key):
        store.pin_publisher(publisher, pins)


def test_a_deployment_is_explained_with_its_publishers(
    explain_deployed: Explain, tmp_path: Path
) -> None:
    status, seen = explain_deployed(claims_file(tmp_path))

    assert status == 0
    assert "registry acme, publisher of widgets: matches" in seen


def test_a_deployment_is_explained_with_its_readers(
    explain_deployed: Explain, tmp_path: Path
) -> None:
    status, seen = explain_deployed(claims_file(tmp_path), "--read")

    assert status == 0
    assert "registry other, reader: matches" in seen


def test_an_id_that_is_not_the_pinned_one_is_explained_as_the_broker_says(
    deployed: tuple[Store, str], explain_deployed: Explain, explain: Explain, tmp_path: Path
) -> None:
    store, _ = deployed
    pin(store, github_claims(), repository_id="4242")
    file = claims_file(tmp_path, repository_id="777")

    status, seen = explain_deployed(file)

    rows = [line.split() for line in seen.splitlines()]
    assert status == 1
    assert ["✗", "repository_id", "repository_id", "4242", "777"] in rows
    assert "✗ the broker answers: valid token, but " in seen
    assert "registry acme, publisher of widgets: does not match" in seen


def test_a_file_says_that_it_does_not_know_the_pins(explain: Explain, tmp_path: Path) -> None:
    status, seen = explain(claims_file(tmp_path))

    assert status == 0
    assert "with --data, --stack or --table to compare them" in seen


def test_a_deployment_is_explained_also_where_a_file_is_given(
    deployed: tuple[Store, str], explain: Explain, explain_deployed: Explain, tmp_path: Path
) -> None:
    store, option = deployed
    pin(store, github_claims(), repository_id="4242")

    status, _ = explain(claims_file(tmp_path, repository_id="777"), option, f"--region={REGION}")

    assert status == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('name = "acme"', 'name = "acme"\nenabled = false'),
        ("\n[[registries]]", "enabled = false\n[[registries]]"),
    ],
)
def test_what_is_switched_off_matches_nothing(
    explain: Explain, tmp_path: Path, before: str, after: str
) -> None:
    (tmp_path / "broker.toml").write_text(f"\n{CONFIGURATION}".replace(before, after, 1))

    status, seen = explain(claims_file(tmp_path))

    assert status == 1
    assert "registry acme, publisher of widgets: matches, and is switched off" in seen
    assert "the broker answers" not in seen


@pytest.mark.parametrize("changes", [{"repository": "octo-org/nobody"}, {"repository": ABSENT}])
def test_a_deployment_without_a_publisher_for_the_identity_says_so(
    explain_deployed: Explain, tmp_path: Path, changes: dict[str, Any]
) -> None:
    status, seen = explain_deployed(claims_file(tmp_path, **changes))

    assert status == 1
    assert "no publisher is configured for this identity here" in seen


def test_explain_wants_to_know_what(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["explain", claims_file(tmp_path)]) == 2

    assert (
        "name what to compare with: a file with --config, or a deployment"
        in capsys.readouterr().err
    )


# --- the audience ---------------------------------------------------------------------------------

TWO_REGISTRIES = registry(
    "acme", github_publisher("widgets"), audience="acme", shared_host_exchange=False
) + registry("other", audience="other")


@pytest.mark.parametrize("options", [[], ["--host", "packages.example.com"]])
@pytest.mark.parametrize(("audience", "status"), [("acme", 0), ("other", 1)])
def test_a_token_for_another_registry_matches_nothing_here(
    explain: Explain, tmp_path: Path, options: list[str], audience: str, status: int
) -> None:
    (tmp_path / "broker.toml").write_text(TWO_REGISTRIES)

    answer, seen = explain(claims_file(tmp_path, aud=audience), *options)

    assert answer == status
    assert ("matches, but the token is for another audience" in seen) is bool(status)


def test_a_token_for_the_shared_root_is_not_for_a_registry_that_is_not_there(
    explain: Explain, tmp_path: Path
) -> None:
    (tmp_path / "broker.toml").write_text(TWO_REGISTRIES)
    file = claims_file(tmp_path, aud="packages.example.com")

    assert explain(file, "--host", "packages.example.com")[0] == 1


# --- the broker's own answer ----------------------------------------------------------------------


def alterations(name: str) -> Iterator[dict[str, Any]]:
    """Yield the provider's captured claims, and copies in which one claim has another value."""
    claims = captured(name) | {"aud": f"{HOST}/acme", "iat": SECONDS, "exp": SECONDS + 300}
    claims.pop("nbf", None)
    yield claims
    yield claims | {"aud": [f"{HOST}/acme"]}
    compared = {field.claim for field in PROVIDERS[name].fields}
    for claim in sorted({"aud", "sub", "jti"} | (compared & claims.keys())):
        yield claims | {claim: 5}
        yield claims | {claim: "x"}


@pytest.mark.parametrize("name", PROVIDERS)
def test_explain_accepts_what_the_broker_accepts(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = blocks(name, "toml")[0]
    world = World(text)
    world.issuer = Issuer(captured(name)["iss"])
    world.store = SqliteStore(tmp_path / "broker.sqlite3")  # type: ignore[assignment]
    world.configure(text)
    world.start()
    options = ["--data", str(tmp_path), "--host", HOST, "--registry", "acme"]
    file = tmp_path / "claims.json"

    for number, claims in enumerate(alterations(name)):
        file.write_text(json.dumps(claims))
        answer = world.mint(world.issuer.sign(claims), source_ip=f"192.0.2.{number}")
        is_replay = answer.status != 200 and answer.code == "invalid-reuse-token"

        explained = main(["explain", *options, str(file)])

        capsys.readouterr()
        assert (explained == 0) is (answer.status == 200 or is_replay), claims
    world.store.close()  # type: ignore[attr-defined]


# --- claims that nobody knows ---------------------------------------------------------------------


def test_a_claim_that_this_version_does_not_know_is_named(explain: Explain, tmp_path: Path) -> None:
    status, seen = explain(claims_file(tmp_path, colour="red", shape="\x1b[2J"))

    assert status == 0
    assert "does not know `colour`, `shape`; a publisher may compare such a claim" in seen


def test_the_name_of_an_unknown_claim_is_shown_as_a_terminal_may_show_it(
    explain: Explain, tmp_path: Path
) -> None:
    _, seen = explain(claims_file(tmp_path, **{f"\x1b[2J{LEAKED}": "red"}))

    assert "does not know" in seen
    assert "\x1b" not in seen
    assert LEAKED[:40] not in seen


def test_claims_that_are_known_are_not_named(explain: Explain, tmp_path: Path) -> None:
    _, seen = explain(claims_file(tmp_path))

    assert "does not know" not in seen
