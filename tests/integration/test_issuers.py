"""Key sets of a misbehaving issuer, through the exchange and over real HTTP on loopback."""

import json
import threading
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from pytp_broker import config
from pytp_broker.oidc.fetch import MAX_THREADS, HttpFetch
from pytp_broker.oidc.keycache import LOOK_AGAIN
from pytp_broker.oidc.keysets import COOLDOWN, MAX_AGE, MAX_STALE
from pytp_broker.services import Broker
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.deployment import Answer
from tests.support.misbehaving import (
    BEHAVIOURS,
    DISCOVERY,
    JWKS,
    WITHDRAWALS,
    MisbehavingIssuer,
    answering,
)
from tests.support.signing import github_claims, public_jwk, rsa_key
from tests.support.world import World

# A stand-in for the two seconds of the product, for issuers that never answer.
DEADLINE_SECONDS = 0.25
# A good answer arrives within this time, even on a busy machine; a misbehaving issuer does not.
SOON_SECONDS = 10

CONFIGURATION = github_issuer("{url}") + registry(
    "acme", github_publisher("widgets", issuer="{url}", repository_owner_id="9919"), audience="acme"
)


class HttpWorld(World):
    """A broker whose issuer is reached over the network."""

    def __init__(self, issuer: MisbehavingIssuer) -> None:
        self.http = HttpFetch(only_public=False, deadline_seconds=SOON_SECONDS)
        super().__init__(CONFIGURATION.format(url=issuer.url))
        self.issuer: MisbehavingIssuer = issuer

    def misbehave(self, name: str, *paths: str, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Let the issuer misbehave like this; shorten the deadline if it never answers."""
        if any(word in name for word in ("dripping", "endless", "hanging")):
            self.http = HttpFetch(only_public=False, deadline_seconds=deadline_seconds)
        self.issuer.misbehave(BEHAVIOURS[name], *paths)

    def ask_issuer(self, url: str) -> bytes:
        return self.http(url)

    def configure(self, text: str) -> None:
        loaded = config.parse(tomllib.loads(text), allow_loopback=True)
        self.store.apply(loaded.configuration, loaded.publishers)

    def instances(self, number: int) -> list[Broker]:
        """Return warm instances of the function: one store, caches of their own."""
        found = []
        for _ in range(number):
            self.start()
            found.append(self.broker)
        return found

    def mint_good(self, **options: Any) -> Answer:
        """Exchange a fresh token, signed now."""
        claims = github_claims(self.now, iss=self.issuer.url)
        return self.mint(self.issuer.sign(claims, **options))

    def mint_unknown(self) -> Answer:
        """Exchange a token that names an unknown key."""
        return self.mint_good(key_id=str(uuid4()), key=rsa_key("stranger"))


@pytest.fixture
def issuer() -> Iterator[MisbehavingIssuer]:
    with MisbehavingIssuer() as found:
        yield found


@pytest.fixture
def world(issuer: MisbehavingIssuer) -> HttpWorld:
    return HttpWorld(issuer)


# --- one bad answer -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "path"),
    [
        *((behaviour, DISCOVERY) for behaviour in BEHAVIOURS),
        *((behaviour, JWKS) for behaviour in BEHAVIOURS if behaviour not in WITHDRAWALS),
    ],
)
def test_a_good_key_set_outlives_a_misbehaving_issuer(
    world: HttpWorld, behaviour: str, path: str
) -> None:
    assert world.mint_good().status == 200
    stored = world.store.key_sets[world.issuer.url]
    world.misbehave(behaviour, path)
    world.advance(seconds=MAX_AGE.total_seconds())

    started_at = time.monotonic()
    known, unknown = world.mint_good(), world.mint_unknown()

    assert time.monotonic() - started_at < SOON_SECONDS
    assert known.status == 200
    assert (unknown.status, unknown.code) == (503, "issuer-unavailable")
    assert 1 <= int(unknown.headers["Retry-After"]) <= 60
    assert world.store.key_sets[world.issuer.url] == stored
    assert world.reasons == ["stale"]


@pytest.mark.parametrize("behaviour", WITHDRAWALS)
def test_a_key_set_without_a_key_withdraws_the_old_one(world: HttpWorld, behaviour: str) -> None:
    assert world.mint_good().status == 200
    world.misbehave(behaviour, JWKS)
    world.advance(seconds=MAX_AGE.total_seconds())

    assert world.mint_good().code == "invalid-token"
    assert world.reasons == ["no-keys"]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_nothing_is_verified_by_a_misbehaving_issuer(world: HttpWorld, behaviour: str) -> None:
    world.misbehave(behaviour)

    answer = world.mint_good()

    assert (answer.status, answer.code) == (503, "issuer-unavailable")
    assert not world.store.tokens
    assert not world.store.key_sets
    assert world.reasons == ["no-keys"]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
def test_a_redirect_is_not_followed(world: HttpWorld, status: str, path: str) -> None:
    with MisbehavingIssuer() as elsewhere:
        elsewhere.misbehave(answering(world.issuer.fetch(world.issuer.url + path)), "/there")
        location = f"Location: {elsewhere.url}/there"
        world.issuer.misbehave(answering(b"", status, location), path)

        assert world.mint_good().status == 503
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("issuer_url", "jwks_url"),
    [
        ("https://evil.example", "{url}/.well-known/jwks"),
        ("{url}/", "{url}/.well-known/jwks"),
        ("{url}", "http://127.0.0.1:1/jwks"),
        ("{url}", "https://evil.example/jwks"),
        ("{url}", "file:///etc/passwd"),
        ("{url}", "{url}@evil.example/jwks"),
    ],
)
def test_a_discovery_document_that_leads_elsewhere_is_not_followed(
    world: HttpWorld, issuer_url: str, jwks_url: str
) -> None:
    document = {"issuer": issuer_url, "jwks_uri": jwks_url}
    body = json.dumps(document).replace("{url}", world.issuer.url).encode()
    world.issuer.misbehave(answering(body), DISCOVERY)

    assert world.mint_good().status == 503
    assert world.issuer.connections == 1


# --- floods ---------------------------------------------------------------------------------------


def test_a_flood_of_unknown_keys_costs_a_healthy_issuer_one_refresh(world: HttpWorld) -> None:
    assert world.mint_good().status == 200
    world.advance(seconds=COOLDOWN.total_seconds())
    world.issuer.heads.clear()

    answers = [world.mint_unknown() for _ in range(300)]

    assert {(a.status, a.code) for a in answers} == {(422, "invalid-token")}
    assert len(world.issuer.heads) == 2
    assert world.mint_good().status == 200


@pytest.mark.parametrize("behaviour", ["500", "hanging"])
def test_a_flood_costs_an_issuer_that_is_down_one_refresh_in_each_cooldown(
    world: HttpWorld, behaviour: str
) -> None:
    world.misbehave(behaviour, deadline_seconds=1)  # enough to send a request in

    for cooldown in range(1, 4):
        answers = [world.mint_unknown() for _ in range(100)]
        assert {(a.status, a.code) for a in answers} == {(503, "issuer-unavailable")}
        assert len(world.issuer.heads) == cooldown
        assert world.reasons == ["no-keys"] * cooldown
        world.advance(seconds=COOLDOWN.total_seconds())


@pytest.mark.parametrize("healthy", [True, False])
def test_warm_instances_share_one_cooldown(world: HttpWorld, healthy: bool) -> None:
    world.mint_good()
    instances = world.instances(5)
    world.advance(seconds=MAX_AGE.total_seconds())
    world.issuer.heads.clear()
    if not healthy:
        world.issuer.misbehave(BEHAVIOURS["500"])

    for second in range(0, 180, 2):
        world.broker = instances[second // 2 % len(instances)]
        assert world.mint_unknown().status == (422 if healthy else 503)
        assert world.mint_good().status == 200
        world.advance(seconds=2)

    assert len(world.issuer.heads) == (2 if healthy else 1) * 3
    assert len(world.alarms()) == (0 if healthy else 3)


def test_a_flood_from_many_threads_of_many_instances_costs_one_refresh(world: HttpWorld) -> None:
    world.misbehave("hanging", deadline_seconds=1)  # enough to send a request in
    instances = world.instances(4)
    tokens = [
        world.issuer.sign(github_claims(iss=world.issuer.url), key_id=str(n), key=rsa_key("x"))
        for n in range(64)
    ]
    most = [0]

    def mint(number: int) -> int:
        most[0] = max(most[0], sum(t.name != "misbehaving" for t in threading.enumerate()))
        world.broker = instances[number % 4]  # whichever: they all do the same
        return world.mint(tokens[number]).status

    before = threading.active_count()
    with ThreadPoolExecutor(16) as pool:
        statuses = set(pool.map(mint, range(64)))

    assert statuses == {503}
    assert len(world.issuer.heads) == 1
    assert most[0] <= before + 16 + MAX_THREADS


def test_an_instance_that_starts_beside_another_waits_for_what_it_finds(world: HttpWorld) -> None:
    first, second = world.instances(2)
    keys = world.issuer.fetch(world.issuer.jwks_url)
    is_waiting, is_answered = threading.Event(), threading.Event()

    def be_slow(issuer: MisbehavingIssuer) -> Iterator[bytes]:
        # While the first instance waits for this answer, the second one gets a token too.
        world.broker = second
        pool.submit(lambda: others.append(world.mint_good().status))
        assert is_waiting.wait(SOON_SECONDS)
        yield from answering(keys)(issuer)

    def wait(_seconds: float) -> None:
        is_waiting.set()
        assert is_answered.wait(SOON_SECONDS)

    others: list[int] = []
    second.key_sets._wait = wait
    world.issuer.misbehave(be_slow, JWKS)
    with ThreadPoolExecutor(1) as pool:
        world.broker = first
        assert world.mint_good().status == 200
        is_answered.set()

    assert others == [200]
    assert len(world.issuer.heads) == 2


def test_nobody_who_has_a_key_waits_for_a_refresh(world: HttpWorld) -> None:
    assert world.mint_good().status == 200
    world.advance(seconds=MAX_AGE.total_seconds())
    others: list[tuple[int, int]] = []

    def mint_meanwhile(issuer: MisbehavingIssuer) -> Iterator[bytes]:
        status = world.mint_good().status
        others.append((status, len(world.alarms())))
        yield b""

    world.issuer.misbehave(mint_meanwhile)

    assert world.mint_good().status == 200
    assert others == [(200, 0)]  # before the refresh had failed
    assert world.reasons == ["stale"]


def test_an_instance_that_has_nothing_waits_no_longer_than_clients_do(world: HttpWorld) -> None:
    world.store.claim_key_set_refresh(world.issuer.url, world.now, COOLDOWN)

    answer = world.mint_good()

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert 1 < sum(world.waits) < 3
    assert world.issuer.heads == []


def test_an_instance_soon_learns_what_another_has_found(world: HttpWorld) -> None:
    first, second = world.instances(2)
    for instance in (first, second):
        world.broker = instance
        world.mint_good()
    world.issuer.keys["key-2"] = rsa_key("key-2")
    world.advance(seconds=COOLDOWN.total_seconds())
    world.broker = second
    world.store.claim_key_set_refresh(world.issuer.url, world.now, COOLDOWN)  # the first one's
    assert world.mint_good(key_id="key-2").status == 503

    world.broker = first
    world.store.refreshes.clear()
    assert world.mint_good(key_id="key-2").status == 200
    world.broker = second
    world.issuer.down = True
    world.advance(seconds=LOOK_AGAIN.total_seconds())

    assert world.mint_good(key_id="key-2").status == 200


def test_without_the_store_every_instance_keeps_a_cooldown_of_its_own(world: HttpWorld) -> None:
    world.issuer.misbehave(BEHAVIOURS["500"])
    for instance in world.instances(3):
        world.broker = instance
        for method in ("find_key_set", "claim_key_set_refresh"):
            world.store.fail_next(method)
        assert {world.mint_unknown().status for _ in range(20)} == {503}

    assert len(world.issuer.heads) == 3


# --- over time ------------------------------------------------------------------------------------


def test_a_rotated_key_is_good_after_the_cooldown_at_the_latest(world: HttpWorld) -> None:
    assert world.mint_good().status == 200
    world.issuer.keys["key-2"] = rsa_key("key-2")
    assert world.mint_good(key_id="key-2").status == 422

    world.advance(seconds=COOLDOWN.total_seconds())

    assert world.mint_good(key_id="key-2").status == 200
    assert world.mint_good(key_id="key-1").status == 200


def test_a_withdrawn_key_is_dead_within_the_maximum_age_in_every_instance(
    world: HttpWorld,
) -> None:
    instances = world.instances(3)
    for instance in instances:
        world.broker = instance
        assert world.mint_good().status == 200
    withdrawn = world.issuer.keys.pop("key-1")
    world.issuer.keys["key-2"] = rsa_key("key-2")

    world.advance(seconds=MAX_AGE.total_seconds())

    for instance in instances:
        world.broker = instance
        assert world.mint_good(key=withdrawn).code == "invalid-token"


def test_an_outage_of_26_hours(world: HttpWorld) -> None:
    """Old keys serve for a day, with alarms after an hour; then tokens are refused to its end."""
    assert world.mint_good().status == 200
    world.issuer.misbehave(BEHAVIOURS["500"])
    statuses, alarms = [], []

    for _ in range(26):
        world.advance(hours=1)
        world.records.clear()
        statuses.append(world.mint_good().status)
        alarms.append(world.reasons)

    stale_hours = int(MAX_STALE.total_seconds()) // 3600 - 1
    assert statuses == [200] * stale_hours + [503] * (26 - stale_hours)
    assert alarms == [["stale"]] * stale_hours + [["no-keys"]] * (26 - stale_hours)

    world.issuer.behave()
    world.advance(seconds=COOLDOWN.total_seconds())
    assert world.mint_good().status == 200


def test_an_alarm_is_raised_once_in_a_cooldown(world: HttpWorld) -> None:
    world.mint_good()
    world.issuer.misbehave(BEHAVIOURS["500"])
    world.advance(seconds=MAX_AGE.total_seconds())

    for _ in range(60):
        world.mint_good()
        world.advance(seconds=5)

    assert world.reasons == ["stale"] * 5
    assert world.alarms()[0].facts == {
        "issuer": world.issuer.url,
        "detail": "the issuer answered 500",
    }


def test_a_cold_start_during_an_outage_finds_the_last_good_set(world: HttpWorld) -> None:
    assert world.mint_good().status == 200
    world.misbehave("hanging")
    world.advance(hours=23)

    for instance in world.instances(3):
        world.broker = instance
        assert world.mint_good().status == 200

    assert world.waits == []


# --- keys -----------------------------------------------------------------------------------------


def test_two_issuers_with_one_key_id_keep_their_keys(world: HttpWorld) -> None:
    with MisbehavingIssuer() as other:
        other.keys = {"key-1": rsa_key("another")}
        both = CONFIGURATION.format(url=world.issuer.url) + (
            CONFIGURATION.format(url=other.url).replace('"acme"', '"other"')
        )
        world.configure(both)
        world.start()
        forged = world.issuer.sign(github_claims(iss=other.url, aud="other"))
        real = other.sign(github_claims(iss=other.url, aud="other"))

        assert world.mint_good().status == 200
        assert world.mint(forged, "/other").code == "invalid-token"
        assert world.mint(real, "/other").status == 200


BAD_KEYS = {
    "symmetric": {"kty": "oct", "kid": "bad", "k": "c2VjcmV0"},
    "without a modulus": {"kty": "RSA", "kid": "bad", "e": "AQAB"},
    "of an unknown type": {"kty": "lattice", "kid": "bad"},
    "exponent one": {**public_jwk(rsa_key("bad"), "bad"), "e": "AQ"},
    "weak": public_jwk(rsa_key("weak", 1024), "bad"),
    "off the curve": {"kty": "EC", "kid": "bad", "crv": "P-256", "x": "AA", "y": "AA"},
}


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_a_bad_key_is_skipped_and_reported(world: HttpWorld, bad: str) -> None:
    world.issuer.serve([BAD_KEYS[bad], public_jwk(rsa_key("key-1"), "key-1")])

    assert world.mint_good().status == 200

    (alarm,) = world.alarms()
    assert alarm.reason == "unusable-key"
    assert alarm.facts == {"issuer": world.issuer.url, "key_ids": ["bad"]}


def test_an_ambiguous_key_id_verifies_nothing_and_is_reported(world: HttpWorld) -> None:
    names = ("key-1", "other")
    world.issuer.serve([public_jwk(rsa_key(name), "key-1") for name in names])
    world.issuer.keys["key-2"] = rsa_key("key-2")
    document = json.loads(world.issuer.fetch(world.issuer.jwks_url))
    world.issuer.serve([*document["keys"], public_jwk(rsa_key("key-2"), "key-2")])

    assert world.mint_good().code == "invalid-token"
    assert world.mint_good(key=rsa_key("other")).code == "invalid-token"
    assert world.mint_good(key_id="key-2").status == 200
    assert world.reasons == ["duplicate-key-id"]


@pytest.mark.parametrize("members", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "RS512"}])
def test_a_key_for_another_purpose_is_no_fault_and_verifies_nothing(
    world: HttpWorld, members: dict[str, Any]
) -> None:
    purpose = public_jwk(rsa_key("key-1"), "key-1", **members)
    world.issuer.serve([purpose, public_jwk(rsa_key("key-2"), "key-2")])

    assert world.mint_good().code == "invalid-token"
    assert world.alarms() == []


def test_key_ids_are_shown_shortened_and_few(world: HttpWorld) -> None:
    names = ["\x1b[31m" + "x" * 5000, *(f"bad-{n}" for n in range(60))]
    bad = [{"kty": "oct", "kid": name} for name in names]
    world.issuer.serve([*bad, public_jwk(rsa_key("key-1"), "key-1")])

    assert world.mint_good().status == 200

    shown: Any = world.alarms()[0].facts["key_ids"]
    assert len(shown) == 5
    assert all(key_id.isprintable() and len(key_id) <= 201 for key_id in shown)


def test_nothing_secret_that_an_issuer_publishes_is_stored(world: HttpWorld) -> None:
    private = {"d": "private", "p": "private", "k": "private", "x5c": ["private"]}
    key = {**public_jwk(rsa_key("key-1"), "key-1"), **private}
    world.issuer.serve([key, {"kty": "oct", "kid": "bad", "k": "private"}])

    assert world.mint_good().status == 200

    assert "private" not in repr(world.store.key_sets)
