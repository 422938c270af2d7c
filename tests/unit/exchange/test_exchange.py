"""The exchange, as a CI job sees it: status, body, and what is stored."""

import pytest

from pytp_broker.tokens import UploadToken
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.signing import (
    GITHUB,
    NOW,
)
from tests.support.world import World, assert_refused


def test_a_good_token_is_exchanged_for_an_upload_token(world: World) -> None:
    answer = world.mint(world.token())

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["success"] is True
    assert answer.json["expires"] == int(NOW.timestamp()) + 900
    assert UploadToken.parse(answer.json["token"]).reveal() == answer.json["token"]


@pytest.mark.promise("hashes-only")
def test_only_the_hash_of_the_upload_token_is_stored(world: World) -> None:
    token = UploadToken.parse(world.mint(world.token()).json["token"])

    (record,) = world.store.tokens.values()
    assert record.token_hash == token.hash
    assert token.reveal() not in repr(world.store.tokens)


def test_the_record_says_who_may_upload_what_and_who_published(world: World) -> None:
    world.mint(world.token())

    (record,) = world.store.tokens.values()
    assert record.places == ["acme/widgets"]
    assert record.identity["repository"] == "octo-org/widgets"
    assert record.identity["run"] == "11855712345"
    assert record.identity["sha"].startswith("8c7d3f1a")
    assert record.issuer == GITHUB


def test_a_warm_exchange_costs_one_query_and_one_conditional_write(world: World) -> None:
    world.mint(world.token())
    world.store.calls.clear()

    assert world.mint(world.token()).status == 200

    assert world.store.calls == ["list_publishers", "add_token"]


def test_a_registrys_lifetime_is_the_tokens(world: World) -> None:
    world.configure(
        registry("slow", github_publisher("widgets"), audience="slow", token_lifetime=21600)
    )
    answer = world.mint(world.token(aud="slow"), "/slow")

    assert answer.json["expires"] == int(NOW.timestamp()) + 21_600


def test_the_token_covers_the_projects_of_all_matching_publishers(world: World) -> None:
    world.mint(world.token(aud="other"), "/other")

    (record,) = world.store.tokens.values()
    assert set(record.places) == {"other/gadgets", "other/gizmos"}


@pytest.mark.promise("failed-store")
def test_a_failed_write_gives_503_and_the_same_token_then_succeeds(world: World) -> None:
    token = world.token()
    world.store.fail_next("add_token")

    answer = world.mint(token)
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "token" not in answer.json

    assert world.mint(token).status == 200


@pytest.mark.parametrize("method", ["load_configuration", "list_publishers", "pin_publisher"])
def test_a_store_that_does_not_answer_gives_503(world: World, method: str) -> None:
    world.configure(registry("acme", github_publisher("widgets"), audience="acme"))
    world.store.fail_next(method)

    answer = world.mint(world.token())

    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert not world.store.tokens
    assert world.mint(world.token()).status == 200


@pytest.mark.row("A117")
def test_a_configuration_that_cannot_be_read_is_the_last_one_for_ten_seconds(world: World) -> None:
    assert world.mint(world.token()).status == 200
    world.store.fail_next("load_configuration")
    assert world.mint(world.token()).status == 200

    world.advance(seconds=10)
    answer = world.mint(world.token())
    assert (answer.status, answer.code) == (503, "store-unavailable")

    world.start()
    world.store.fail_next("load_configuration")
    assert world.mint(world.token()).status == 503


# --- switches -------------------------------------------------------------------------------------


@pytest.mark.promise("switched-off")
@pytest.mark.promise("compromised-issuer")
@pytest.mark.row("A114")
@pytest.mark.parametrize("switch", ["everything", "issuer", "registry"])
def test_a_switch_refuses_new_exchanges_within_ten_seconds(world: World, switch: str) -> None:
    enabled = {name: name != switch for name in ("everything", "issuer", "registry")}
    publisher = github_publisher("widgets", repository_owner_id="9919")
    assert world.mint(world.token()).status == 200

    world.configure(
        f"enabled = {str(enabled['everything']).lower()}\n"
        + github_issuer(GITHUB, enabled=enabled["issuer"])
        + registry("acme", publisher, audience="acme", enabled=enabled["registry"])
    )
    world.advance(seconds=10)

    assert_refused(world, world.token(), "not-enabled")
    assert world.records[-1].reason == "not-enabled"
    audience = world.call("GET", "/acme/_/oidc/audience")
    # Where one issuer is switched off, another may still be asked for tokens.
    assert audience.status == (200 if switch == "issuer" else 403)
    assert switch == "issuer" or audience.code == "not-enabled"


# --- what is left behind --------------------------------------------------------------------------


def test_every_exchange_is_audited_once(world: World) -> None:
    token = world.token()
    world.mint(token)
    world.mint(token)

    accepted, refused = world.records
    assert (accepted.event, accepted.outcome) == ("exchange", "accepted")
    assert accepted.facts["projects"] == ["acme/widgets"]
    assert accepted.facts["repository"] == "octo-org/widgets"
    assert (refused.outcome, refused.reason) == ("refused", "invalid-reuse-token")


def test_no_audit_record_holds_a_token(world: World) -> None:
    identity_token = world.token()
    upload_token = world.mint(identity_token).json["token"]
    world.mint(identity_token)
    world.call("POST", "/_/oidc/burn-token", {"token": upload_token})

    written = repr(world.records)
    assert upload_token not in written
    assert not any(segment in written for segment in identity_token.split("."))


def test_claims_in_the_audit_are_printable_and_short(world: World) -> None:
    world.mint(world.token(actor="evil\x1b[31m\n" + "x" * 5000))

    actor = str(world.records[0].facts["actor"])
    assert actor.isprintable()
    assert len(actor) <= 201
