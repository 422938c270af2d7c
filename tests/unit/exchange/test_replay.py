"""Once only: one identity token gives one upload token, however and wherever it is sent again."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS
from tests.support.configurations import generic_registry, github_issuer, github_publisher, registry
from tests.support.signing import ABSENT, GITHUB, NOW, Issuer
from tests.support.world import World, assert_refused

SECONDS = int(NOW.timestamp())


@pytest.mark.promise("exchanged-once")
def test_a_token_is_exchanged_only_once(world: World) -> None:
    token = world.token()
    assert world.mint(token).status == 200

    assert_refused(world, token, "invalid-reuse-token")


def test_another_token_with_the_same_token_id_is_a_replay(world: World) -> None:
    world.mint(world.token(jti="same"))

    assert_refused(world, world.token(jti="same", run_id="2"), "invalid-reuse-token")


def test_a_replay_is_refused_in_every_registry(world: World) -> None:
    world.mint(world.token(aud="acme", jti="same"))

    there = world.token(aud="other", jti="same")
    assert_refused(world, there, "invalid-reuse-token", prefix="/other")


@pytest.mark.row("A026")
def test_a_token_inside_its_leeway_is_exchanged_only_once(world: World) -> None:
    token = world.token(exp=SECONDS - LEEWAY_SECONDS + 1, iat=SECONDS - 300)
    assert world.mint(token).status == 200

    assert_refused(world, token, "invalid-reuse-token")


def test_the_same_token_with_its_times_as_fractions_is_exchanged_only_once(world: World) -> None:
    assert world.mint(world.token(jti="same", exp=SECONDS + 300)).status == 200

    again = world.token(jti="same", iat=SECONDS + 0.5, exp=SECONDS + 300.5)

    assert_refused(world, again, "invalid-reuse-token")


@pytest.mark.row("A046")
def test_tokens_of_two_issuers_may_have_the_same_id() -> None:
    enterprise = "https://ghes.example.com/_services/token"
    publishers = (github_publisher("widgets", issuer=url) for url in (GITHUB, enterprise))
    world = World(github_issuer(enterprise) + registry("acme", *publishers, audience="acme"))

    for url in (GITHUB, enterprise):
        world.issuer = Issuer(url)
        token = world.token(jti="same")
        assert world.mint(token).status == 200
        assert_refused(world, token, "invalid-reuse-token")
    assert len(world.store.tokens) == 2


@pytest.mark.row("A043")
def test_of_fifty_exchanges_at_once_one_succeeds(world: World) -> None:
    token = world.token()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: world.mint(token), range(50)))

    assert sorted(answer.status for answer in answers) == [200] + [422] * 49
    assert {a.code for a in answers if a.status == 422} == {"invalid-reuse-token"}
    assert len(world.store.tokens) == 1


def test_a_refused_match_does_not_use_the_token_up(world: World) -> None:
    token = world.token(environment="release", repository="octo-org/late")
    assert world.mint(token).status == 422
    world.configure(
        registry("acme", github_publisher("late", repository="octo-org/late"), audience="acme")
    )
    late = world.token(
        repository="octo-org/late",
        job_workflow_ref="octo-org/late/.github/workflows/release.yml@refs/tags/v1.2.0",
    )
    assert world.mint(late).status == 200


# --- the mark of a token that was exchanged -------------------------------------------------------


@pytest.mark.promise("exchanged-once")
@pytest.mark.row("A044")
def test_the_mark_outlives_the_identity_token_and_its_leeway(world: World) -> None:
    token = world.token(exp=SECONDS + 20 * 3600)
    world.mint(token)

    (record,) = world.store.tokens.values()
    assert record.kept_until > NOW + timedelta(hours=20, seconds=LEEWAY_SECONDS)
    assert record.kept_until > record.expires_at
    world.advance(hours=20, seconds=LEEWAY_SECONDS - 1)
    assert_refused(world, token, "invalid-reuse-token")
    world.store.tokens.clear()
    world.advance(seconds=1)
    assert_refused(world, token)


@pytest.mark.parametrize("exp", [SECONDS + 60, SECONDS + 20_000, SECONDS + 20_000.75])
def test_the_mark_outlives_both_tokens_by_a_minute(world: World, exp: float) -> None:
    world.mint(world.token(exp=exp))

    (record,) = world.store.tokens.values()
    ends = max(record.expires_at, datetime.fromtimestamp(exp + LEEWAY_SECONDS, UTC))
    assert record.kept_until == ends + timedelta(seconds=60)


@pytest.mark.row("A045")
def test_a_mark_that_is_deleted_late_revives_no_token(world: World) -> None:
    token = world.token()
    world.mint(token)
    (record,) = world.store.tokens.values()

    world.now = record.kept_until + timedelta(days=2)

    assert_refused(world, token)


# --- token ids ------------------------------------------------------------------------------------


@pytest.mark.row("A047")
@pytest.mark.parametrize(
    "token_id", [ABSENT, None, "", "x" * 2000, "x" * 20_000, 5, True, ["x"], {"a": 1}]
)
def test_a_token_id_that_is_not_a_short_text_is_refused(world: World, token_id: object) -> None:
    codes = ("invalid-token", "invalid-payload", "invalid-publisher")

    assert_refused(world, world.token(jti=token_id), *codes)
    assert world.mint(world.token(jti="x" * 100_000)).status == 413


@pytest.mark.row("A047")
@pytest.mark.parametrize("token_id", ["a#b", "TOKEN#1", "a/b\n\x00", "\u2028é", "x" * 1024])
def test_a_token_id_is_stored_as_a_hash(world: World, token_id: str) -> None:
    token = world.token(jti=token_id)

    assert world.mint(token).status == 200
    assert_refused(world, token, "invalid-reuse-token")
    (lookup_id,) = world.store.tokens
    assert re.fullmatch("[0-9a-f]{32}", lookup_id)


@pytest.mark.row("A047")
def test_a_token_without_an_id_is_known_by_what_was_signed() -> None:
    # Some providers send no id, so their tokens are not refused for it; GitHub always sends one.
    world = World(generic_registry('sub = "x"'))
    world.issuer = Issuer("https://ci.example.com")
    times = {"iat": SECONDS, "exp": SECONDS + 300}
    token = world.issuer.sign({**times, "aud": "acme", "iss": world.issuer.url, "sub": "x"})

    assert world.mint(token).status == 200
    assert_refused(world, token, "invalid-reuse-token")
