"""What a monitor asks a registry: a good broker passes, and each fault of one is seen."""

import jwt
import pytest

from pytp_broker.client.ambient import Identity, NoIdentityError
from pytp_broker.client.locations import Location
from pytp_broker.client.probing import Check, Probe, forge
from pytp_broker.client.transport import Answer, UnreachableError
from pytp_broker.redaction import Hidden
from tests.support.configurations import github_reader, registry
from tests.support.deployment import HOST
from tests.support.remote import AUDIENCE, BASE, INDEX, UPLOAD, Remote

HEALTH = f"https://{HOST}/_/health"
AUDIENCE_URL = f"{BASE}/_/oidc/audience"
MINT_URL = f"{BASE}/_/oidc/mint-token"
BURN_URL = f"{BASE}/_/oidc/burn-token"
PAGE = f"{BASE}/simple/"
DOWN = UnreachableError("it cannot be reached")
TOKEN = "pytp_" + "a1B2c3D4e5" * 7 + "x"


class Ticking:
    """A clock that shows ten milliseconds more each time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 0.01
        return self.seconds


def probe(remote: Remote, url: str = UPLOAD, *, has_identity: bool = True) -> list[Check]:
    location = Location.parse(url)
    assert location is not None

    def find(audience: str) -> Identity:
        assert audience == AUDIENCE
        return Identity(Hidden(remote.identity()), is_only_one=True)

    finder = find if has_identity else None
    return [*Probe(location, remote.send, finder, clock=Ticking()).run()]


def failures(remote: Remote, *, has_identity: bool = True) -> dict[str, str]:
    checks = probe(remote, has_identity=has_identity)
    return {check.name: check.detail for check in checks if not check.is_good}


def test_a_good_broker_passes_every_check() -> None:
    remote = Remote()

    checks = probe(remote)

    assert [(c.name, c.is_good, c.detail, c.milliseconds) for c in checks] == [
        ("health", True, "", 10),
        ("index", True, "private", 10),
        ("discovery", True, AUDIENCE, 10),
        ("refusal", True, "invalid-token", 10),
        ("exchange", True, "", 10),
        ("burn", True, "", 10),
    ]


def test_the_token_that_was_minted_is_dead() -> None:
    remote = Remote()

    probe(remote)

    (record,) = remote.store.tokens.values()
    assert record.burned_at is not None


def test_without_an_identity_only_the_outside_is_asked() -> None:
    remote = Remote()

    checks = probe(remote, has_identity=False)

    assert [(c.name, c.is_good) for c in checks] == [
        *(("health", True), ("index", True), ("discovery", True), ("refusal", True))
    ]
    assert remote.store.tokens == {}
    assert checks[-1].detail == "invalid-payload"


def test_an_index_is_probed_by_an_exchange_for_reading() -> None:
    remote = Remote(registry("acme", github_reader()))

    checks = probe(remote, INDEX)

    assert [check.name for check in checks if not check.is_good] == []
    assert f"{BASE}/_/oidc/mint-read-token" in remote.calls


def test_a_public_registry_is_said_to_be_one() -> None:
    remote = Remote()
    remote.answers[PAGE] = Answer(200, {})

    assert probe(remote)[1].detail == "public"


def test_an_audience_of_another_registry_gets_no_identity_unless_it_is_trusted() -> None:
    remote = Remote()
    remote.answers[AUDIENCE_URL] = Answer(200, {"audience": "somewhere-else"})

    assert "does not name this address" in failures(remote)["discovery"]
    assert failures(remote, has_identity=False) == {}


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "answer", "check", "said"),
    [
        (HEALTH, Answer(503, {}), "health", "/_/health answered 503"),
        (HEALTH, DOWN, "health", "it cannot be reached"),
        (PAGE, Answer(500, {}), "index", "the index answered 500"),
        (AUDIENCE_URL, DOWN, "discovery", "it cannot be reached"),
        (AUDIENCE_URL, Answer(404, {}), "discovery", "there is no registry that exchanges"),
        (BURN_URL, Answer(500, {}), "burn", "the token could not be burned"),
        (BURN_URL, DOWN, "burn", "the token could not be burned"),
        (MINT_URL, DOWN, "exchange", "it cannot be reached"),
        (MINT_URL, DOWN, "refusal", "it cannot be reached"),
    ],
)
def test_a_fault_is_seen_by_its_check(
    url: str, answer: Answer | Exception, check: str, said: str
) -> None:
    remote = Remote()
    remote.answers[url] = answer

    assert said in failures(remote)[check]


def error(status: int, code: str) -> Answer:
    return Answer(status, {"errors": [{"code": code, "description": "x"}], "detail": "a reason"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(422, {}), "was answered 422: without the broker's error"),
        (Answer(403, {}), "was answered 403: without the broker's error"),
        (error(403, "invalid-token"), "was answered 403: invalid-token: a reason"),
        (error(422, "not-enabled"), "was answered 422: not-enabled: a reason"),
        (error(429, "too-many-requests"), "was answered 429: too-many-requests: a reason"),
        (error(503, "issuer-unavailable"), "was answered 503: issuer-unavailable: a reason"),
        (Answer(422, {"errors": ["x"]}), "without the broker's error"),
        (Answer(422, {"errors": [{"code": 7}]}), "without the broker's error"),
    ],
)
def test_what_only_looks_like_a_refusal_does_not_count(answer: Answer, said: str) -> None:
    remote = Remote()
    remote.answers[MINT_URL] = answer

    assert said in failures(remote)["refusal"]


def test_a_broker_that_takes_a_forged_token_is_found_and_what_it_gave_is_burned() -> None:
    remote = Remote()
    remote.answers[MINT_URL] = Answer(200, {"token": TOKEN})

    assert failures(remote, has_identity=False) == {
        "refusal": "a forged identity token was exchanged"
    }
    assert remote.sent[-1].url == BURN_URL
    assert remote.sent[-1].body == {"token": TOKEN}


def test_an_identity_token_that_was_used_is_a_failed_exchange() -> None:
    remote = Remote()
    identity = Identity(Hidden(remote.identity()), is_only_one=True)
    location = Location.parse(UPLOAD)
    assert location is not None
    asked = Probe(location, remote.send, lambda _: identity)
    assert all(check.is_good for check in asked.run())

    found = {check.name: check.detail for check in asked.run() if not check.is_good}

    assert "invalid-reuse-token" in found["exchange"]
    assert "burn" not in found


def test_a_job_without_an_identity_token_fails_and_the_refusal_is_probed_nevertheless() -> None:
    remote = Remote()
    location = Location.parse(UPLOAD)
    assert location is not None

    def find(_: str) -> Identity:
        raise NoIdentityError("add `id-token: write`")

    checks = [*Probe(location, remote.send, find).run()]

    assert [(c.name, c.is_good) for c in checks[-2:]] == [("identity", False), ("refusal", True)]


# --- forged tokens --------------------------------------------------------------------------------


def test_a_forged_token_has_no_signature_of_the_good_one() -> None:
    good = Remote().identity()

    forged = forge(AUDIENCE, Identity(Hidden(good), is_only_one=True))

    assert forged.rpartition(".")[0] == good.rpartition(".")[0]
    assert good.rpartition(".")[2] not in forged


def test_a_token_that_is_forged_from_nothing_is_from_nobody() -> None:
    claims = jwt.decode(forge(AUDIENCE, None), options={"verify_signature": False})

    assert claims["iss"] == "https://probe.invalid"
    assert claims["aud"] == AUDIENCE
