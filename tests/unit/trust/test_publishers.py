"""Refusals that explain themselves, and immutable ids, through the exchange."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher
from tests.support import samples
from tests.support.claims import captured
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.signing import ABSENT, GITHUB, Issuer
from tests.support.world import World

PINNED = registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    audience="acme",
)
UNPINNED = PINNED.replace('repository_owner_id = "9919"\n', "").replace(
    'environment = "release"\n', ""
)
OTHER_WORKFLOW = "octo-org/widgets/.github/workflows/other.yml@refs/tags/v1.2.0"


def refusal(world: World, **changes: Any) -> str:
    answer = world.mint(world.token(**changes))
    assert (answer.status, answer.code) == (422, "invalid-publisher")
    assert not world.store.tokens
    return answer.detail


def undisclosed(detail: str) -> bool:
    return "no trusted publisher here matches" in detail and "release" not in detail


# --- diagnosis ------------------------------------------------------------------------------------


def test_a_missing_environment_is_told_with_its_cure() -> None:
    detail = refusal(World(PINNED), environment=ABSENT)

    assert "claim `environment` is missing" in detail
    assert "the job ran without an environment: add `environment: release` to the job" in detail


@pytest.mark.promise("protected-workflow")
@pytest.mark.parametrize("environment", ["staging", "release ", "release2", "relea\u017fe"])
def test_another_environment_is_told_with_both_names(environment: str) -> None:
    detail = refusal(World(PINNED), environment=environment)

    assert f"`{environment}`" in detail
    assert "`release`" in detail


def test_github_folds_the_case_of_an_environment() -> None:
    world = World(PINNED)

    assert world.mint(world.token(environment="Release")).status == 200


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


def test_a_remote_pipeline_configuration_is_told_apart_from_a_wrong_one() -> None:
    world = World(
        """
        [[registries]]
        name = "acme"
        audience = "acme"
        [[registries.publishers]]
        projects = ["widgets"]
        [registries.publishers.gitlab]
        project_path = "group/widgets"
        namespace_id = "72"
        project_id = "20"
        workflow = ".gitlab-ci.yml"
        """
    )
    world.issuer = Issuer("https://gitlab.com")
    claims = captured("gitlab")
    seconds = int(world.now.timestamp())
    claims |= {"aud": "acme", "iat": seconds, "nbf": seconds, "exp": seconds + 300}
    claims |= {"project_path": "group/widgets", "namespace_id": "72", "project_id": "20"}
    claims |= {"sub": "project_path:group/widgets:ref_type:branch:ref:main"}
    claims |= {"ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main"}
    del claims["ci_config_ref_uri"]

    answer = world.mint(world.issuer.sign(claims))

    assert answer.code == "invalid-publisher"
    assert "is not in the project" in answer.detail


# --- immutable ids --------------------------------------------------------------------------------


def pins(world: World) -> Mapping[str, str]:
    (publisher,) = world.store.publishers.values()
    return publisher.pins


def test_immutable_ids_are_pinned_on_first_use() -> None:
    world = World(UNPINNED)

    assert world.mint(world.token()).status == 200

    assert pins(world) == {"repository_owner_id": "9919", "repository_id": "70107786"}


def test_given_ids_are_not_pinned() -> None:
    world = World(PINNED)

    world.mint(world.token())

    assert pins(world) == {"repository_id": "70107786"}


@pytest.mark.promise("renamed-owner")
@pytest.mark.parametrize("claim", ["repository_owner_id", "repository_id"])
def test_a_changed_id_is_refused_and_raises_its_own_alarm(claim: str) -> None:
    world = World(UNPINNED)
    world.mint(world.token())
    world.store.tokens.clear()
    world.records.clear()

    assert f"claim `{claim}` is `1111`" in refusal(world, **{claim: "1111"})

    (record,) = world.records
    assert record.reason == "immutable-id-changed"


def test_a_refused_exchange_pins_nothing() -> None:
    world = World(UNPINNED)

    refusal(world, job_workflow_ref=OTHER_WORKFLOW, workflow_ref=OTHER_WORKFLOW)

    assert pins(world) == {}


@pytest.mark.parametrize("text", ["\u0661\u0662", " 70107786", "7" * 300, "7\x1b[2J", "octo-org"])
def test_what_is_no_id_is_not_pinned(text: str) -> None:
    world = World(UNPINNED)

    assert "claim `repository_id` does not look like an immutable id" in refusal(
        world, repository_id=text
    )

    assert pins(world) == {}


def test_a_replay_pins_nothing() -> None:
    world = World(UNPINNED)
    token = world.token(repository_owner_id="1111")
    world.mint(token)
    world.configure('[[registries]]\nname = "acme"\naudience = "acme"')
    world.configure(UNPINNED)  # the operator has removed the old holder's pins
    world.start()

    assert world.mint(token).code == "invalid-reuse-token"

    assert pins(world) == {}
    assert world.mint(world.token()).status == 200


def test_pins_survive_a_new_configuration_of_the_same_publisher() -> None:
    world = World(UNPINNED)
    world.mint(world.token())

    world.configure(UNPINNED.replace('["widgets"]', '["widgets", "gadgets"]'))

    assert pins(world)["repository_owner_id"] == "9919"


def test_of_two_first_uses_with_different_ids_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(UNPINNED)
    world.mint(world.token())
    # The loser read the publisher before the winner pinned it.
    late = World(UNPINNED)
    stale = tuple(late.store.publishers.values())
    monkeypatch.setattr(world.store, "list_publishers", lambda _: stale)
    world.store.tokens.clear()
    (mine,) = world.store.publishers.values()
    (theirs,) = stale
    stale = (replace(theirs, publisher_id=mine.publisher_id),)

    answer = world.mint(world.token(repository_owner_id="1111"))

    assert (answer.status, answer.code) == (422, "invalid-publisher")
    assert pins(world)["repository_owner_id"] == "9919"


def test_a_publisher_removed_while_it_is_used_is_no_publisher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(UNPINNED)
    stale = tuple(world.store.publishers.values())
    world.configure('[[registries]]\nname = "acme"\naudience = "acme"')
    monkeypatch.setattr(world.store, "list_publishers", lambda _: stale)

    assert undisclosed(refusal(world))


def test_the_immutable_form_of_the_subject_changes_nothing() -> None:
    world = World(PINNED)

    answer = world.mint(world.token(sub="repo:octo-org@9919/widgets@70107786:ref:refs/tags/v1.2.0"))

    assert answer.status == 200


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
