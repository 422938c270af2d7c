"""The end of a read token before it expires: its job burns it, or secret scanning finds it."""

import json

import pytest

from tests.support.readers import CONFIGURATION, records
from tests.support.scanner import match
from tests.support.signing import NOW
from tests.support.world import World


@pytest.fixture
def world() -> World:
    return World(CONFIGURATION)


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
