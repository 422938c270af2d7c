"""Claims of GitLab, through the exchange: whose pipeline a job is of, and where it is written."""

from typing import Any

import pytest

from tests.support.claims import captured
from tests.support.signing import ABSENT, NOW, Issuer
from tests.support.world import World, assert_refused

SECONDS = int(NOW.timestamp())
IDS = 'namespace_id = "72"\nproject_id = "20"\n'
GADGETS = """
[[registries]]
name = "acme"
audience = "acme"
[[registries.publishers]]
projects = ["gadgets"]
[registries.publishers.gitlab]
project_path = "group/sub/gadgets"
workflow = ".gitlab-ci.yml"
environment = "release"
"""


def gitlab(configuration: str = GADGETS) -> World:
    world = World(configuration)
    world.issuer = Issuer("https://gitlab.com")
    return world


def token(world: World, token_id: str = "1", **changes: Any) -> str:
    times = {"iat": SECONDS, "nbf": SECONDS, "exp": SECONDS + 300}
    claims = {**captured("gitlab"), **times, "aud": "acme", "jti": token_id, **changes}
    return world.issuer.sign({n: value for n, value in claims.items() if value is not ABSENT})


@pytest.mark.row("A077")
@pytest.mark.parametrize(
    "changed", [{"namespace_id": "73", "job_namespace_id": "73"}, {"project_id": "21"}]
)
def test_a_project_of_a_recycled_name_is_another(changed: dict[str, str]) -> None:
    world = gitlab()
    assert world.mint(token(world)).status == 200

    assert_refused(world, token(world, "2", **changed), "invalid-publisher")

    assert world.records[-1].reason == "immutable-id-changed"
    assert world.mint(token(world, "3")).status == 200


@pytest.mark.row("A119")
def test_a_pipeline_from_elsewhere_publishes_nothing() -> None:
    world = gitlab()
    elsewhere = [
        ABSENT,
        None,
        "",
        "gitlab.evil.example/group/sub/gadgets//.gitlab-ci.yml@refs/tags/v1.2.0",
        "gitlab.com/evil/gadgets//.gitlab-ci.yml@refs/tags/v1.2.0",
        "gitlab.com/group/sub/gadgets//other.yml@refs/tags/v1.2.0",
        "https://evil.example/.gitlab-ci.yml",
    ]

    for uri in elsewhere:
        assert_refused(world, token(world, ci_config_ref_uri=uri), "invalid-publisher")
    assert world.mint(token(world)).status == 200


def test_a_remote_pipeline_configuration_is_told_apart_from_a_wrong_one() -> None:
    world = gitlab(GADGETS + IDS)

    remote = assert_refused(world, token(world, ci_config_ref_uri=ABSENT), "invalid-publisher")
    other = "gitlab.com/group/sub/gadgets//other.yml@refs/tags/v1.2.0"
    wrong = assert_refused(world, token(world, ci_config_ref_uri=other), "invalid-publisher")

    assert "is not in the project" in remote.detail
    assert "is not in the project" not in wrong.detail
