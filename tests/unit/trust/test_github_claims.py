"""Claims of GitHub Actions, through the exchange: each must be what the publisher says."""

import pytest

from tests.support.configurations import github_publisher, mistakes, registry
from tests.support.markers import of_row
from tests.support.signing import ABSENT
from tests.support.world import World, assert_refused

FOLDER = "octo-org/widgets/.github/workflows/"


def acme(**fields: str) -> str:
    """Return a registry with one publisher of octo-org/widgets, with these further fields."""
    return registry("acme", github_publisher("widgets", **fields), audience="acme")


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", ["repository", "repository_owner_id", "job_workflow_ref"])
@pytest.mark.parametrize("value", [ABSENT, "", None])
def test_a_claim_that_is_missing_matches_nothing(world: World, claim: str, value: object) -> None:
    assert_refused(world, world.token(**{claim: value}), "invalid-publisher")


def test_a_repository_in_a_list_matches_nothing(world: World) -> None:
    assert_refused(world, world.token(repository=["octo-org/widgets"]), "invalid-publisher")


@pytest.mark.row("A073")
def test_a_letter_that_folds_to_another_is_not_that_letter() -> None:
    kelvin = "oRG/\u212aernel"
    world = World(acme(repository="org/kernel"))
    ref = "/.github/workflows/release.yml@refs/tags/v1.2.0"

    for name, status in ((kelvin, 422), ("oRG/Kernel", 200)):
        claims = {"repository": name, "repository_owner": name.split("/")[0]}
        assert world.mint(world.token(**claims, job_workflow_ref=name + ref)).status == status
    assert mistakes(acme(repository=kelvin))


@pytest.mark.row("A074")
def test_an_id_is_compared_as_a_text_of_ascii_digits() -> None:
    world = World(acme(repository_id="12"))

    for value in ("\u0661\u0662", "012", "12 ", "+12", 12, 12.0):
        assert_refused(world, world.token(repository_id=value), "invalid-publisher")
    assert world.mint(world.token(repository_id="12")).status == 200
    assert mistakes(acme(repository_id="\u0661\u0662"))


# --- subjects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject",
    [
        "repo:octo-org@9919/widgets@70107786:ref:refs/tags/v1.2.0",
        *of_row(
            "A078",
            "repo:octo-org/widgets:environment:release",
            "repo:octo-org@9919/widgets@70107786:environment:release",
            "anything that an organization has made of it",
        ),
    ],
)
def test_the_form_of_the_subject_changes_nothing(world: World, subject: str) -> None:
    assert world.mint(world.token(sub=subject)).status == 200


@pytest.mark.row("A079")
def test_an_owner_named_like_the_ids_of_another_is_a_stranger(world: World) -> None:
    token = world.token(
        repository="octo-org-123456/widgets",
        repository_owner="octo-org-123456",
        repository_owner_id="666",
        sub="repo:octo-org/widgets:environment:release",
    )

    assert_refused(world, token, "invalid-publisher")


# --- workflows and runners ------------------------------------------------------------------------


@pytest.mark.row("A083")
@pytest.mark.parametrize(
    "workflow_ref",
    [
        FOLDER + "release.yml@refs/heads/x.yml@evil",
        FOLDER + "nested.yml@evil.yml",
        FOLDER + "x/release.yml@refs/tags/v1.2.0",
        FOLDER + "../release.yml@refs/tags/v1.2.0",
        FOLDER + ".yml@refs/tags/v1.2.0",
        FOLDER + "release.yml",
        FOLDER + "release.yml@",
        FOLDER + "release.yml@@",
        FOLDER + "release.yml@v1.2.0",
        FOLDER + "release.yml@refs/tags/v1.2.0\n",
        FOLDER + "evil.yml@a/.github/workflows/release.yml@refs/heads/main",
        "evil/widgets/.github/workflows/release.yml@refs/tags/v1.2.0",
        "x/" + FOLDER + "release.yml@refs/tags/v1.2.0",
        "release.yml@refs/tags/v1.2.0",
        ["x"],
        5,
    ],
)
def test_a_workflow_that_only_looks_like_the_publishers_is_another(
    world: World, workflow_ref: object
) -> None:
    assert_refused(world, world.token(job_workflow_ref=workflow_ref), "invalid-publisher")


@pytest.mark.row("A084")
def test_a_reusable_workflow_publishes_only_for_its_caller_and_where_it_is_named() -> None:
    called = "octo-org/workflows/.github/workflows/publish.yml"
    named = World(acme(reusable_workflow=called))
    unnamed = World(acme())
    calling = {"job_workflow_ref": f"{called}@refs/heads/main"}

    assert named.mint(named.token(**calling)).status == 200
    assert_refused(unnamed, unnamed.token(**calling), "invalid-publisher")
    evil = "evil/widgets/.github/workflows/release.yml@refs/tags/v1.2.0"
    for changes in ({"workflow_ref": evil}, {"repository": "evil/widgets"}):
        assert_refused(named, named.token(**calling, **changes), "invalid-publisher")


@pytest.mark.row("A088")
def test_a_job_on_another_kind_of_runner_is_refused() -> None:
    world = World(acme(runner_environment="github-hosted"))

    for value in ("self-hosted", "", None, ABSENT, ["github-hosted"]):
        assert_refused(world, world.token(runner_environment=value), "invalid-publisher")
    assert world.mint(world.token()).status == 200
