"""Refusals that explain themselves, through the exchange."""

from collections.abc import Mapping
from typing import Any

import pytest

from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher
from tests.support import samples
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.markers import of_row
from tests.support.signing import ABSENT, GITHUB, Issuer, rsa_key
from tests.support.world import World, assert_refused

PINNED = registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    audience="acme",
)
UNPINNED = registry("acme", github_publisher("widgets"), audience="acme")
OTHER_WORKFLOW = "octo-org/widgets/.github/workflows/other.yml@refs/tags/v1.2.0"


def refusal(world: World, **changes: Any) -> str:
    return assert_refused(world, world.token(**changes), "invalid-publisher").detail


def undisclosed(detail: str) -> bool:
    return "no trusted publisher here matches" in detail and "release" not in detail


@pytest.mark.row("A071")
@pytest.mark.parametrize("environment", [ABSENT, "", None])
def test_a_missing_environment_is_told_with_its_cure(environment: object) -> None:
    detail = refusal(World(PINNED), environment=environment)

    assert "claim `environment` is missing" in detail
    assert "the job ran without an environment: add `environment: release` to the job" in detail


@pytest.mark.promise("protected-workflow")
@pytest.mark.parametrize(
    "environment",
    ["staging", *of_row("A089", "release ", " release", "release2", "relea\u017fe")],
)
def test_another_environment_is_told_with_both_names(environment: str) -> None:
    detail = refusal(World(PINNED), environment=environment)

    assert f"`{environment}`" in detail
    assert "`release`" in detail


@pytest.mark.row("A089")
def test_github_folds_the_case_of_an_environment() -> None:
    world = World(PINNED)

    for environment in ("Release", "RELEASE"):
        assert world.mint(world.token(environment=environment)).status == 200


def test_another_workflow_is_told_with_the_one_expected() -> None:
    detail = refusal(World(PINNED), job_workflow_ref=OTHER_WORKFLOW, workflow_ref=OTHER_WORKFLOW)

    assert "other.yml" in detail
    assert "publish from the repository's own workflow file `release.yml`" in detail


def test_a_reusable_workflow_is_told_apart_from_a_wrong_one() -> None:
    called = "octo-org/workflows/.github/workflows/publish.yml@refs/heads/main"

    detail = refusal(World(PINNED), job_workflow_ref=called)

    assert "reusable workflow" in detail
    assert "`reusable_workflow`" in detail


@pytest.mark.parametrize("point", ["refs/pull/7/head", "a" * 40])
def test_a_reusable_workflow_at_a_point_of_a_stranger_is_told_with_its_cure(point: str) -> None:
    reusable = "octo-org/workflows/.github/workflows/publish.yml"

    detail = refusal(
        World(PINNED + f'reusable_workflow = "{reusable}"\n'),
        job_workflow_ref=f"{reusable}@{point}",
    )

    assert f"`{reusable}@{point}`" in detail
    assert "at one of its branches or tags" in detail


@pytest.mark.promise("strangers-jobs")
@pytest.mark.parametrize(
    "event",
    [
        *("pull_request_target", "workflow_run", "pull_request", "issue_comment", "issues"),
        *("discussion", "fork", "watch", "gollum", "check_run", "status", "unheard_of"),
    ],
)
def test_an_event_that_runs_for_somebody_else_is_refused(event: str) -> None:
    detail = refusal(World(PINNED), event_name=event)

    assert f"claim `event_name` is `{event}`" in detail
    assert "expects `push, release, workflow_dispatch" in detail
    assert "the publisher accepts others only if its `events` lists them" in detail


@pytest.mark.parametrize("ref", ["refs/tags/widgets@1.2.0", "refs/tags/a:b#c", "refs/tags/v1"])
def test_a_star_covers_the_whole_name_of_a_tag(ref: str) -> None:
    world = World(PINNED + 'ref = "refs/tags/*"\n')
    workflow = f"octo-org/widgets/.github/workflows/release.yml@{ref}"

    token = world.token(ref=ref, job_workflow_ref=workflow, workflow_ref=workflow)

    assert world.mint(token).status == 200


def test_a_star_that_does_not_reach_is_told_with_what_stops_it() -> None:
    ref = "refs/tags/a/b"
    workflow = f"octo-org/widgets/.github/workflows/release.yml@{ref}"

    detail = refusal(
        World(PINNED + 'ref = "refs/tags/*"\n'),
        ref=ref,
        job_workflow_ref=workflow,
        workflow_ref=workflow,
    )

    assert "expects `refs/tags/*` (a `*` stops at `/`)" in detail


def test_a_star_in_a_further_claim_is_told_with_what_stops_it() -> None:
    claims = 'claims = { actor = "octo:*" }\n'
    head, table = PINNED.split("[registries.publishers.github]")

    detail = refusal(World(f"{head}{claims}[registries.publishers.github]{table}"))

    assert "expects `octo:*` (a `*` stops at `/`, `:`, `@` and `#`)" in detail


def test_only_the_rules_that_failed_are_told() -> None:
    detail = refusal(World(PINNED), environment="staging")

    assert "`environment`" in detail
    assert "`workflow`" not in detail
    assert "`repository`" not in detail


def test_the_nearest_publisher_is_told() -> None:
    other = PINNED.split("[[registries.publishers]]")[1].replace("release.yml", "nightly.yml")
    nearer = World(PINNED + "[[registries.publishers]]" + other.replace('"release"', '"nightly"'))

    detail = refusal(nearer, environment="staging")

    assert "`release`" in detail
    assert "nightly" not in detail


@pytest.mark.promise("unknown-publishers")
@pytest.mark.parametrize(
    "changes",
    [
        {"repository": "octo-org/other"},
        {"repository": "evil/widgets", "repository_owner": "evil"},
        {"repository": "octo-org/widgets\x00"},
    ],
)
def test_a_stranger_is_not_told_what_a_publisher_expects(changes: Mapping[str, Any]) -> None:
    assert undisclosed(refusal(World(PINNED), environment="staging", **changes))


NOBODY = '[[registries]]\nname = "acme"\naudience = "acme"'


@pytest.mark.promise("unknown-publishers")
def test_no_such_publisher_and_not_yours_read_the_same() -> None:
    workflow = {"job_workflow_ref": OTHER_WORKFLOW, "workflow_ref": OTHER_WORKFLOW}

    # Nobody has proven yet to be the owner whom this publisher is for.
    not_yours = refusal(World(UNPINNED), **workflow)

    assert refusal(World(NOBODY), **workflow) == not_yours


@pytest.mark.promise("unknown-publishers")
@pytest.mark.parametrize("environment", ["release", "staging"])
def test_a_wrong_owner_id_is_told_as_such_and_nothing_else(environment: str) -> None:
    detail = refusal(World(PINNED), repository_owner_id="1111", environment=environment)

    assert "claim `repository_owner_id` is `1111`, which is not the id" in detail
    assert "ask the registry's operator to set the new id" in detail
    assert "ompare the names" not in detail
    for secret in ("9919", "release", "environment", "workflow"):
        assert secret not in detail


def test_every_wrong_id_is_told() -> None:
    world = World(UNPINNED)
    world.mint(world.token())
    world.store.tokens.clear()

    detail = refusal(world, repository_owner_id="1111", repository_id="2222")

    assert "`repository_owner_id` is `1111`" in detail
    assert "`repository_id` is `2222`" in detail
    assert "9919" not in detail
    assert "70107786" not in detail


def test_the_operator_is_told_what_the_stranger_is_not() -> None:
    world = World(PINNED)
    refusal(world, repository_owner_id="1111")

    (record,) = world.records
    assert "claim `repository_owner_id` is `1111`" in str(record.facts["operator_detail"])
    assert "expects `9919`" in str(record.facts["operator_detail"])


def test_claims_in_a_diagnosis_are_printable_and_short() -> None:
    detail = refusal(World(PINNED), environment="\x1b[31m`evil`\n" + "x" * 5000)

    assert detail.isprintable()
    assert "`evil`" not in detail
    assert len(detail) < 600


@pytest.mark.parametrize(
    "issuer",
    [GITHUB + "/octo-enterprise", "https://gitlab.com/x", "https://oidc.circleci.com/org/x"],
)
def test_an_enterprises_own_issuer_is_named_as_such(issuer: str) -> None:
    world = World(PINNED)

    answer = world.mint(world.token(iss=issuer))

    assert "issuer of one enterprise" in answer.detail
    assert world.issuer.fetched == []


@pytest.mark.row("A038")
def test_the_issuer_of_one_enterprise_is_trusted_once_it_is_configured() -> None:
    world = World(PINNED)
    world.issuer = Issuer(f"{GITHUB}/octo-enterprise")
    assert_refused(world, world.token(), "invalid-payload")

    publisher = github_publisher("widgets", issuer=world.issuer.url, repository_owner_id="9919")
    world.configure(github_issuer(world.issuer.url) + registry("acme", publisher, audience="acme"))
    world.advance(seconds=10)

    assert world.mint(world.token()).status == 200


@pytest.mark.promise("own-issuer")
def test_a_publisher_matches_only_its_own_issuer() -> None:
    # TOB-PYPI26-12: an issuer of somebody else signs the very same claims.
    world = World(
        github_issuer("https://ghes.example.com")
        + registry(
            "acme",
            github_publisher("widgets", issuer="https://ghes.example.com"),
            audience="acme",
        )
    )

    assert undisclosed(refusal(world))


@pytest.mark.row("A037")
def test_the_claims_of_a_publisher_match_nothing_when_another_issuer_signs_them() -> None:
    enterprise = "https://ghes.example.com/_services/token"
    publisher = github_publisher("widgets", issuer=GITHUB, repository_owner_id="9919")
    acme = registry("acme", publisher, audience="acme", issuers=[GITHUB, enterprise])
    world = World(github_issuer(enterprise) + acme)
    assert world.mint(world.token()).status == 200

    world.issuer = Issuer(enterprise, {"key-1": rsa_key("ghes")})

    assert undisclosed(refusal(world))


# --- what a store keeps ---------------------------------------------------------------------------


def test_a_stored_publisher_names_its_provider() -> None:
    document = samples.publisher().document()

    assert document["provider"] == "github"
    assert TrustedPublisher.from_document(document, {}).provider is PROVIDERS["github"]


def test_the_hash_of_the_rules_is_that_of_earlier_versions() -> None:
    expected = "67db5f3fff139c6e16ce274dcb847335c4e8aa79c10c1db52eb69fa2f4f17a6f"

    assert samples.publisher().rules_hash == expected


def test_a_publisher_shows_its_provider_by_name() -> None:
    assert "provider=Provider('github')" in repr(samples.publisher())
