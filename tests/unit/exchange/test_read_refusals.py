"""What the exchange for a read token refuses."""

from typing import Any

import pytest

from pytp_broker.budgets import RefusalBudget
from tests.support.configurations import github_reader
from tests.support.readers import CONFIGURATION, PUBLISHER, with_readers
from tests.support.world import World


@pytest.fixture
def world() -> World:
    return World(CONFIGURATION)


def refused(world: World, token: str, prefix: str = "/acme", **members: Any) -> tuple[int, str]:
    before = dict(world.store.tokens)
    answer = world.mint_to_read(token, prefix, **members)
    assert world.store.tokens == before
    assert world.records[-1].event == "read-exchange"
    assert world.records[-1].outcome == "refused"
    assert "token" not in answer.json
    return answer.status, answer.code


def test_a_publisher_is_not_a_reader() -> None:
    world = with_readers(PUBLISHER)

    assert refused(world, world.token()) == (422, "invalid-publisher")


def test_a_reader_is_not_a_publisher() -> None:
    world = with_readers(github_reader(repository="octo-org/widgets", workflow="release.yml"))

    answer = world.mint(world.token())

    assert (answer.status, answer.code) == (422, "invalid-publisher")


def test_a_reader_of_another_registry_is_refused(world: World) -> None:
    assert refused(world, world.token(aud="other"), "/other") == (422, "invalid-publisher")


def test_a_stranger_is_refused_and_learns_nothing(world: World) -> None:
    stranger = world.token(repository="evil/x", repository_owner="evil", repository_owner_id="6")

    detail = world.mint_to_read(stranger).detail

    assert detail.startswith("valid token, but no trusted reader here matches repository `evil/x`")
    assert "octo-org" not in detail


def test_where_everybody_may_read_a_job_that_is_no_reader_hears_that_it_needs_no_token() -> None:
    world = with_readers(access="public")

    answer = world.mint_to_read(world.token(repository="evil/x", repository_owner="evil"))

    assert (answer.status, answer.code) == (422, "invalid-publisher")
    assert answer.detail.startswith(
        "everybody may read this registry, so no token is needed, and this identity token gives "
        "none: valid token, but no trusted reader here matches repository `evil/x`"
    )


def test_the_audience_of_the_registry_counts_and_not_the_hosts(world: World) -> None:
    assert refused(world, world.token(aud="packages.example.com")) == (422, "invalid-token")


def test_the_shared_root_mints_no_read_token(world: World) -> None:
    answer = world.mint_to_read(world.token(aud="packages.example.com"), "")

    assert (answer.status, answer.code) == (404, "not-found")
    assert "/REGISTRY/_/oidc/mint-read-token" in answer.detail


@pytest.mark.parametrize(
    ("features", "status"),
    [
        (["multi-use-token"], 200),
        ([], 200),
        (["single-use-token"], 422),
        (["x"], 422),
        ("multi-use-token", 422),
    ],
)
def test_a_read_token_is_for_many_requests(world: World, features: Any, status: int) -> None:
    answer = world.mint_to_read(world.token(), features=features)

    assert answer.status == status
    assert status == 200 or answer.code == "invalid-payload"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 422, "invalid-payload"),
        (b"[]", 422, "invalid-payload"),
        (b'{"token": 5}', 422, "invalid-payload"),
        (b'{"token": "a.b.c"}', 422, "invalid-payload"),
        (b"x" * (64 * 1024 + 1), 413, "payload-too-large"),
    ],
)
def test_a_bad_body_is_refused_as_at_the_other_exchange(
    world: World, body: bytes, status: int, code: str
) -> None:
    answer = world.call("POST", "/acme/_/oidc/mint-read-token", body)

    assert (answer.status, answer.code) == (status, code)


def test_refusals_count_with_those_of_the_other_exchange() -> None:
    world = with_readers(github_reader(), refusals_per_minute=10)
    world.budget(RefusalBudget(lambda: 0.0))
    for _ in range(10):
        assert world.call("POST", "/acme/_/oidc/mint-read-token", b"{").status == 422

    assert world.mint_to_read(world.token()).status == 429
    assert world.mint(world.token()).status == 429


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('name = "acme"', 'name = "acme"\nenabled = false'),
        ("[[registries]]", "enabled = false\n[[registries]]"),
    ],
)
def test_where_it_is_switched_off_nothing_is_exchanged(before: str, after: str) -> None:
    world = World(CONFIGURATION.replace(before, after, 1))

    assert refused(world, world.token()) == (422, "not-enabled")
