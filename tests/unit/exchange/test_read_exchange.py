"""The exchange for a read token, as a CI job sees it: status, body, and what is stored."""

from datetime import timedelta

import pytest

from pytp_broker.grants import Grant, Permission
from pytp_broker.tokens import UploadToken
from tests.support.configurations import github_reader
from tests.support.readers import CONFIGURATION, records, with_readers
from tests.support.signing import NOW
from tests.support.world import World


@pytest.fixture
def world() -> World:
    return World(CONFIGURATION)


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
