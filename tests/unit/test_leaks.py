"""Leaked tokens: secret scanning reports them, signed, and they are burned."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pytp_broker.tokens import UploadToken
from tests.support.deployment import Answer
from tests.support.scanner import URL, feedback, match, pem
from tests.support.signing import ec_key, rsa_key
from tests.support.world import World

PATH = "/_/secrets/disclose-token"
UNKNOWN = UploadToken.mint("f" * 32).reveal()


def mint(world: World, prefix: str = "/acme", **claims: Any) -> str:
    return str(world.mint(world.token(**claims), prefix).json["token"])


def disclose(world: World, *matches: Any, host: str = "packages.example.com") -> Answer:
    body = json.dumps(matches).encode()
    return world.call("POST", PATH, body, headers=world.scanner.sign(body), host=host)


def is_burned(world: World, token: str) -> bool:
    return world.store.tokens[UploadToken.parse(token).lookup_id].burned_at is not None


def recorded(world: World, event: str) -> list[Any]:
    return [record for record in world.records if record.event == event]


# --- what is disclosed is burned ------------------------------------------------------------------


@pytest.mark.promise("leaked-token")
def test_a_disclosed_token_is_burned(world: World) -> None:
    token = mint(world)

    answer = disclose(world, match(token))

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == [feedback(token, "true_positive")]
    assert is_burned(world, token)


def test_tokens_of_every_registry_are_burned_and_others_are_false_positives(world: World) -> None:
    here, there = mint(world), mint(world, "/other", aud="other")

    answer = disclose(world, match(here), match("pytp_" + "x" * 71), match(there), match(""))

    labels = [entry["label"] for entry in answer.json]
    assert labels == ["true_positive", "false_positive", "true_positive", "false_positive"]
    assert is_burned(world, here)
    assert is_burned(world, there)


@pytest.mark.parametrize("host", ["packages.example.com", "other.example.com"])
def test_the_root_of_every_host_takes_disclosures(world: World, host: str) -> None:
    token = mint(world)

    assert disclose(world, match(token), host=host).status == 200

    assert is_burned(world, token)


def test_there_is_no_such_endpoint_under_a_registrys_prefix(world: World) -> None:
    body = json.dumps([match(mint(world))]).encode()

    answer = world.call("POST", f"/acme{PATH}", body, headers=world.scanner.sign(body))

    assert answer.status == 404


def test_the_same_disclosure_again_is_answered_the_same(world: World) -> None:
    token = mint(world)

    first, second = disclose(world, match(token)), disclose(world, match(token))

    assert first.json == second.json
    assert [record.facts["burned"] for record in recorded(world, "leak")] == [True, False]


def test_a_token_that_nobody_remembers_is_a_credential_all_the_same(world: World) -> None:
    assert disclose(world, match(UNKNOWN)).json == [feedback(UNKNOWN, "true_positive")]


def test_every_token_has_its_own_audit_record_without_it(world: World) -> None:
    token = mint(world)
    world.records.clear()

    disclose(world, match(token, url=f"{URL}\n\u202e?q={token}", source="commit"), match("x"))

    burned, other = recorded(world, "leak")
    shown = burned.document()
    assert burned.outcome == "accepted"
    assert burned.facts["token_hash"] == UploadToken.parse(token).hash[:12]
    assert burned.facts["burned"] is True
    assert burned.facts["source"] == "commit"
    assert shown["url"] == f"{URL}\ufffd\ufffd?q=[a token]"
    assert other.facts["burned"] is False
    assert token not in str([record.document() for record in world.records])


def test_an_empty_list_is_good(world: World) -> None:
    assert disclose(world).json == []


def test_a_list_has_one_audit_record_beside_those_of_its_tokens(world: World) -> None:
    disclose(world, match(mint(world)), match("x"))

    (record,) = recorded(world, "disclosure")
    assert (record.outcome, record.facts["matches"]) == ("accepted", 2)


def test_members_that_are_not_text_count_as_absent(world: World) -> None:
    answer = disclose(world, {"token": UNKNOWN, "url": None, "type": 5, "more": {}})

    assert answer.json[0]["token_type"] == ""
    assert recorded(world, "leak")[0].facts["url"] == ""


def test_a_store_that_is_down_is_said_so_and_the_list_can_be_sent_again(world: World) -> None:
    token = mint(world)
    world.store.fail_next("burn_token")

    assert disclose(world, match(token)).status == 503
    assert [recorded(world, e)[0].outcome for e in ("leak", "disclosure")] == ["refused"] * 2
    assert disclose(world, match(token)).status == 200
    assert is_burned(world, token)


# --- unsigned, wrongly signed ---------------------------------------------------------------------


def broken(headers: dict[str, str], **changes: str) -> dict[str, str]:
    return {**headers, **{f"github-public-key-{name}": value for name, value in changes.items()}}


@pytest.mark.promise("leaked-token")
@pytest.mark.parametrize(
    "change",
    [
        lambda _headers: {},
        lambda headers: broken(headers, signature=""),
        lambda headers: broken(headers, identifier=""),
        lambda headers: broken(headers, identifier="x" * 257),
        lambda headers: broken(headers, signature="A" * 257),
        lambda headers: broken(headers, signature="not base64"),
        lambda headers: broken(headers, signature=base64.b64encode(b"not DER").decode()),
        lambda headers: broken(headers, identifier="scan-2"),
    ],
)
def test_an_unsigned_disclosure_burns_nothing(
    world: World, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    token = mint(world)
    body = json.dumps([match(token)]).encode()

    answer = world.call("POST", PATH, body, headers=change(dict(world.scanner.sign(body))))

    assert (answer.status, answer.code) == (400, "invalid-request")
    assert not is_burned(world, token)
    (record,) = recorded(world, "disclosure")
    assert (record.outcome, record.reason) == ("refused", "invalid-request")


@pytest.mark.promise("leaked-token")
def test_a_disclosure_signed_by_somebody_else_burns_nothing(world: World) -> None:
    token = mint(world)
    body = json.dumps([match(token)]).encode()

    headers = world.scanner.sign(body, key=ec_key("stranger"))

    assert world.call("POST", PATH, body, headers=headers).status == 400
    assert not is_burned(world, token)


def test_the_signature_is_over_the_raw_body(world: World) -> None:
    token = mint(world)
    body = json.dumps([match(token)]).encode()

    answer = world.call("POST", PATH, body + b" ", headers=world.scanner.sign(body))

    assert answer.status == 400
    assert not is_burned(world, token)


def test_an_unsigned_request_fetches_no_keys(world: World) -> None:
    world.call("POST", PATH, b"[]")

    assert world.scanner.fetched == []


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[",
        b'["pytp_"]',
        b"[{}]",
        b'[{"token": 5}]',
        b'[{"token": "a", "token": "b"}]',
        b'[{"token": "\\ud800"}]',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_signed_body_that_is_no_list_of_matches_is_refused(world: World, body: bytes) -> None:
    answer = world.call("POST", PATH, body, headers=world.scanner.sign(body))

    assert answer.status == 400


def test_body_and_count_are_bounded(world: World) -> None:
    token = mint(world)
    large = json.dumps([match(token, url="x" * 1024 * 1024)]).encode()

    assert world.call("POST", PATH, large, headers=world.scanner.sign(large)).status == 413
    assert disclose(world, *[match(token)] * 501).status == 413
    assert not is_burned(world, token)
    assert disclose(world, *[match(token)] * 500).status == 200


# --- the keys -------------------------------------------------------------------------------------


def is_known(world: World, key_id: str = "scan-1") -> bool:
    body = b"[]"
    signed = world.scanner.sign(body, key_id, key=ec_key(key_id))
    return world.call("POST", PATH, body, headers=signed).status == 200


def test_keys_are_fetched_once_an_hour(world: World) -> None:
    assert is_known(world)
    world.advance(minutes=59)
    assert is_known(world)
    assert len(world.scanner.fetched) == 1

    world.advance(minutes=1)

    assert is_known(world)
    assert len(world.scanner.fetched) == 2


def test_an_unknown_key_id_refreshes_once_a_cooldown(world: World) -> None:
    for _ in range(20):
        assert not is_known(world, "scan-2")

    assert len(world.scanner.fetched) == 1


def test_a_new_key_is_known_after_the_cooldown(world: World) -> None:
    assert is_known(world)
    world.scanner.keys["scan-2"] = ec_key("scan-2")
    assert not is_known(world, "scan-2")

    world.advance(minutes=5)

    assert is_known(world, "scan-2")
    assert is_known(world, "scan-1")


def test_a_withdrawn_key_is_dead_within_the_hour(world: World) -> None:
    assert is_known(world)
    world.scanner.keys = {"scan-2": ec_key("scan-2")}
    world.advance(hours=1)

    assert not is_known(world)


@pytest.mark.parametrize(
    "document", [None, b"", b"{}", b"[]", b'{"public_keys": 5}', b'{"public_keys": [5, {}]}']
)
def test_without_keys_the_answer_is_503_and_nothing_is_burned(
    world: World, document: bytes | None
) -> None:
    token = mint(world)
    world.scanner.document = document
    world.scanner.down = document is None

    answers = [disclose(world, match(token)) for _ in range(3)]

    assert [(a.status, a.code) for a in answers] == [(503, "unavailable")] * 3
    assert answers[0].headers["Retry-After"] == "300"
    assert len(world.scanner.fetched) == 1
    assert not is_burned(world, token)


def test_the_answer_says_when_a_refresh_is_due(world: World) -> None:
    world.scanner.down = True
    disclose(world, match(mint(world)))

    world.advance(minutes=4)

    assert disclose(world, match(mint(world))).headers["Retry-After"] == "60"


def test_each_instance_tries_for_itself(world: World) -> None:
    """One address may be throttled where another one is not."""
    world.scanner.down = True
    assert not is_known(world)

    world.scanner.down = False
    world.start()

    assert is_known(world)


def test_the_last_good_keys_outlive_an_outage_for_thirty_days(world: World) -> None:
    assert is_known(world)
    world.scanner.down = True
    world.advance(days=29, hours=23)
    assert is_known(world)

    world.advance(hours=1)

    assert not is_known(world)


@pytest.mark.parametrize(("days", "reason"), [(1, "refresh-failed"), (30, "no-keys")])
def test_a_refresh_that_fails_is_recorded_once_a_cooldown(
    world: World, days: int, reason: str
) -> None:
    assert is_known(world)
    world.scanner.down = True
    world.advance(days=days)
    world.records.clear()

    for _ in range(3):
        is_known(world)

    (record,) = [each for each in world.records if each.event == "key-set"]
    assert (record.outcome, record.reason) == ("refused", reason)
    assert record.facts["issuer"] == world.scanner.keys_url


def test_the_last_good_keys_survive_a_cold_start(world: World) -> None:
    assert is_known(world)
    world.scanner.down = True
    world.start()

    assert is_known(world)
    assert len(world.scanner.fetched) == 1


@pytest.mark.parametrize("method", ["find_key_set", "save_key_set"])
def test_a_store_that_is_down_does_not_matter_for_keys(world: World, method: str) -> None:
    world.store.fail_next(method)

    assert is_known(world)


@pytest.mark.parametrize(
    "key",
    [
        5,
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        pem(rsa_key("key-1")),
        pem(ec.derive_private_key(7, ec.SECP384R1())),
    ],
)
def test_a_bad_key_is_skipped_and_not_the_list(world: World, key: object) -> None:
    keys = [{"key_identifier": "bad", "key": key}, {"key": key}, *world.scanner.public_keys()]
    world.scanner.document = json.dumps({"public_keys": keys}).encode()

    assert is_known(world)
    assert not is_known(world, "bad")
