"""`/.well-known/pytp-receipt-keys`: everybody gets the keys, and soon sees a revocation."""

import json
from datetime import timedelta

import pytest

from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.storage.cache import CONFIGURATION_MAX_AGE_SECONDS
from tests.support.deployment import HOST
from tests.support.samples import NOW, receipt_key
from tests.support.world import World

URL = "/.well-known/pytp-receipt-keys"
KEY = receipt_key(not_before=NOW - timedelta(days=1))


@pytest.fixture
def world() -> World:
    world = World()
    assert world.store.save_receipt_key(KEY, None)
    return world


def test_anybody_gets_the_keys_of_the_deployment(world: World) -> None:
    answer = world.call("GET", URL)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert answer.json == {"host": HOST, "keys": [KEY.jwk()]}
    assert KeyDocument.from_document(answer.json).keys.keys() == {KEY.key_id}


def test_where_the_private_key_is_stays_with_the_operator(world: World) -> None:
    assert "arn:aws" not in world.call("GET", URL).body.decode()


def test_the_host_of_one_registry_names_it(world: World) -> None:
    answer = world.call("GET", URL, host="other.example.com")

    assert (answer.json["host"], answer.json["registry"]) == (HOST, "other")


def test_below_a_registrys_prefix_the_right_address_is_named(world: World) -> None:
    answer = world.call("GET", f"/acme{URL}")

    assert answer.status == 404
    assert f"https://{HOST}{URL}" in answer.json["detail"]


@pytest.mark.promise("revoked-key")
def test_a_revocation_is_seen_within_seconds(world: World) -> None:
    world.call("GET", URL)
    world.store.save_receipt_key(KEY.revoked(NOW, "the disk was stolen"), KEY)

    world.ticks += CONFIGURATION_MAX_AGE_SECONDS

    (key,) = world.call("GET", URL).json["keys"]
    assert key["revoked"] == {
        "since": "2026-11-22T12:00:00.000000Z",
        "reason": "the disk was stolen",
    }


def test_caches_keep_the_answer_for_a_minute(world: World) -> None:
    assert world.call("GET", URL).headers["Cache-Control"] == "public, max-age=60"


def test_a_deployment_without_a_key_has_an_empty_list(world: World) -> None:
    world.store.receipt_keys.clear()

    assert world.call("GET", URL).json == {"host": HOST, "keys": []}


def test_nothing_else_is_taken_there(world: World) -> None:
    answer = world.call("POST", URL, {})

    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


def test_keys_that_cannot_be_read_are_a_503_and_no_cache_keeps_it(world: World) -> None:
    world.store.fail_next("list_receipt_keys")

    answer = world.call("GET", URL)

    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body)["errors"]


@pytest.mark.parametrize("path", ["/acme/pytp-receipt-keys", "/receipt-keys"])
def test_a_wrong_address_is_told_the_right_one(world: World, path: str) -> None:
    assert f"The keys of receipts are at https://{HOST}{URL}" in world.call("GET", path).text
