"""The exchange for a read token, as a CI job sees it: status, body, and what is stored."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker import minting
from pytp_broker.budgets import RefusalBudget
from pytp_broker.grants import Grant, Permission
from pytp_broker.minting import read_lookup_ids
from pytp_broker.tokens import TokenRecord, UploadToken
from tests.support.configurations import github_publisher, github_reader, registry
from tests.support.deployment import Answer
from tests.support.scanner import match
from tests.support.signing import NOW
from tests.support.world import World

PUBLISHER = github_publisher("widgets", repository_owner_id="9919")
CONFIGURATION = registry(
    "acme", PUBLISHER, github_reader(repository_owner_id="9919"), audience="acme"
) + registry(
    "other",
    github_reader(repository="octo-org/gadgets", repository_owner_id="9919", repository_id="1"),
    audience="other",
    hosts=["other.example.com"],
)


@pytest.fixture
def world() -> World:
    return World(CONFIGURATION)


def with_readers(*readers: str, **settings: object) -> World:
    return World(registry("acme", *readers, audience="acme", **settings))


def records(world: World) -> list[TokenRecord]:
    return list(world.store.tokens.values())


# --- a good exchange ------------------------------------------------------------------------------


def test_a_readers_identity_token_is_exchanged_for_a_read_token(world: World) -> None:
    answer = world.mint_to_read(world.token())

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json.keys() == {"success", "token", "expires"}
    assert answer.json["success"] is True
    assert answer.json["expires"] == int(NOW.timestamp()) + 3600
    assert UploadToken.parse(answer.json["token"]).reveal() == answer.json["token"]


def test_the_record_gives_the_right_to_read_this_registry_and_nothing_else(world: World) -> None:
    token = UploadToken.parse(world.mint_to_read(world.token()).json["token"])

    (record,) = records(world)
    (reader,) = [p for p in world.store.publishers.values() if p.is_reader and p.registry == "acme"]
    assert record.grants == (Grant("acme", None, Permission.READ, {reader.publisher_id: 0}),)
    assert record.token_hash == token.hash
    assert record.projects == {}
    assert record.identity["repository"] == "octo-org/widgets"
    assert token.reveal() not in repr(record)


def test_a_registrys_lifetime_of_read_tokens_is_the_tokens() -> None:
    world = with_readers(github_reader(), read_token_lifetime=43_200)

    answer = world.mint_to_read(world.token())

    assert answer.json["expires"] == int(NOW.timestamp()) + 43_200


def test_a_warm_exchange_costs_a_query_for_each_identity_and_one_write(world: World) -> None:
    world.mint_to_read(world.token())
    world.store.calls.clear()

    assert world.mint_to_read(world.token()).status == 200

    assert world.store.calls == ["list_publishers", "list_publishers", "add_token"]


def test_the_token_has_every_reader_that_matches() -> None:
    world = with_readers(github_reader(), github_reader(repository="octo-org/widgets"))

    world.mint_to_read(world.token())

    (record,) = records(world)
    assert set(record.publisher_ids) == set(world.store.publishers)


def test_a_job_of_any_event_reads(world: World) -> None:
    token = world.token(event_name="pull_request", ref="refs/pull/7/merge")

    assert world.mint_to_read(token).status == 200


def test_at_a_host_of_its_own_the_root_is_the_registrys(world: World) -> None:
    token = world.token(aud="other", repository="octo-org/gadgets", repository_id="1")

    assert world.mint_to_read(token, "", host="other.example.com").status == 200


# --- the identity token is not used up ------------------------------------------------------------


def test_an_identity_token_gives_a_new_read_token_each_time(world: World) -> None:
    identity = world.token()

    texts = {world.mint_to_read(identity).json["token"] for _ in range(5)}

    assert len(texts) == 5
    assert len({UploadToken.parse(text).lookup_id for text in texts}) == 5


def test_a_job_that_has_read_may_publish_and_one_that_has_published_may_read(world: World) -> None:
    identity = world.token()

    assert world.mint_to_read(identity).status == 200
    assert world.mint(identity).status == 200
    assert world.mint_to_read(identity).status == 200
    assert world.mint(identity).code == "invalid-reuse-token"


def test_fifty_posts_at_once_give_fifty_tokens(world: World) -> None:
    identity = world.token()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.mint_to_read(identity), range(50)))

    assert {answer.status for answer in answers} == {200}
    stored = {record.token_hash for record in records(world)}
    assert stored == {UploadToken.parse(answer.json["token"]).hash for answer in answers}
    assert len(stored) == 50


def test_an_identity_token_that_has_expired_reads_nothing(world: World) -> None:
    identity = world.token()
    world.advance(minutes=30)

    assert world.mint_to_read(identity).code == "invalid-token"


def test_no_lookup_id_of_a_read_token_is_an_upload_tokens() -> None:
    token_id = "0" * 32

    ids = {lookup_id for _ in range(100) for lookup_id in read_lookup_ids(token_id)}

    assert token_id not in ids
    assert all(len(lookup_id) == 32 for lookup_id in ids)


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give an identity token twelve places; a refusal needs eight that are taken."""
    monkeypatch.setattr(minting, "MAX_LIVE_READ_TOKENS", 12)


def fill(world: World, identity: str) -> tuple[int, Answer]:
    """Exchange until it is refused; return how many read tokens that gave, and the refusal."""
    count = 0
    while (answer := world.mint_to_read(identity)).status == 200:
        count += 1
        assert count <= 12
    return count, answer


@pytest.mark.promise("bounded-read-tokens")
@pytest.mark.usefixtures("few_places")
def test_one_identity_token_does_not_fill_the_store(world: World) -> None:
    identity = world.token()

    count, refused = fill(world, identity)

    assert 8 <= count == len(records(world))
    assert (refused.status, refused.code) == (422, "invalid-reuse-token")
    assert "ask the CI for a new identity token" in refused.detail
    assert world.mint_to_read(world.token()).status == 200, "another identity token has its own"


@pytest.mark.usefixtures("few_places")
def test_the_places_of_expired_read_tokens_are_free_again() -> None:
    world = with_readers(github_reader(repository_owner_id="9919"), read_token_lifetime=60)
    identity = world.token(exp=int(NOW.timestamp()) + 3600)
    fill(world, identity)

    world.advance(minutes=3)

    assert fill(world, identity)[0] >= 8


# --- pins -----------------------------------------------------------------------------------------


def test_the_first_use_pins_the_owners_id_and_no_repositorys() -> None:
    world = with_readers(github_reader())

    assert world.mint_to_read(world.token()).status == 200

    (reader,) = world.store.publishers.values()
    assert dict(reader.pins) == {"repository_owner_id": "9919"}
    other = world.token(repository="octo-org/other", repository_id="2")
    assert world.mint_to_read(other).status == 200


def test_the_next_holder_of_the_owners_name_reads_nothing() -> None:
    world = with_readers(github_reader())
    world.mint_to_read(world.token())

    answer = world.mint_to_read(world.token(repository_owner_id="666"))

    assert answer.code == "invalid-publisher"
    assert world.records[-1].reason == "immutable-id-changed"


def test_an_identity_token_that_has_published_may_pin_a_readers_id() -> None:
    world = with_readers(github_reader(), PUBLISHER)
    identity = world.token()
    assert world.mint(identity).status == 200

    assert world.mint_to_read(identity).status == 200


# --- refusals -------------------------------------------------------------------------------------


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


# --- the end of a read token ----------------------------------------------------------------------


def test_a_read_token_is_burned_as_an_upload_token_is(world: World) -> None:
    text = world.mint_to_read(world.token()).json["token"]

    assert world.call("POST", "/acme/_/oidc/burn-token", {"token": text}).status == 202

    (record,) = records(world)
    assert record.burned_at == NOW
    assert world.records[-1].facts["burned"] is True


def test_the_other_registrys_endpoint_does_not_burn_it(world: World) -> None:
    text = world.mint_to_read(world.token()).json["token"]

    world.call("POST", "/other/_/oidc/burn-token", {"token": text})

    (record,) = records(world)
    assert record.burned_at is None


def test_a_read_token_that_secret_scanning_finds_is_burned(world: World) -> None:
    text = world.mint_to_read(world.token()).json["token"]
    body = json.dumps([match(text)]).encode()

    answer = world.call("POST", "/_/secrets/disclose-token", body, world.scanner.sign(body))

    assert answer.status == 200
    (record,) = records(world)
    assert record.burned_at == NOW


# --- what is recorded -----------------------------------------------------------------------------


def test_the_audit_says_who_reads_what(world: World) -> None:
    token = UploadToken.parse(world.mint_to_read(world.token()).json["token"])

    (record,) = [r for r in world.records if r.event == "read-exchange"]
    (reader,) = [p for p in world.store.publishers.values() if p.is_reader and p.registry == "acme"]
    assert record.outcome == "accepted"
    assert record.facts["registry"] == "acme"
    assert record.facts["repository"] == "octo-org/widgets"
    assert record.facts["publishers"] == [reader.publisher_id]
    assert record.facts["token_hash"] == token.hash[:12]
    assert record.message == "read-exchange accepted: octo-org/widgets for acme"
    assert token.reveal() not in repr(world.records)


def test_a_record_is_kept_until_the_token_has_expired(world: World) -> None:
    world.mint_to_read(world.token())

    (record,) = records(world)
    assert record.kept_until > record.expires_at == NOW + timedelta(hours=1)
