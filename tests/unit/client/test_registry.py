"""Discovery and exchange from the client's side; the other end is a broker, or pretends to be."""

import pytest

from pytp_broker.client.locations import Location
from pytp_broker.client.registry import Exchange, RefusedError, burn, discover, mint
from pytp_broker.client.transport import Answer, UnreachableError
from pytp_broker.http import paths
from pytp_broker.redaction import Hidden
from tests.support.configurations import github_publisher, registry
from tests.support.remote import AUDIENCE, BASE, INDEX, UPLOAD, Remote, unsigned_token

WELL_KNOWN = "https://packages.example.com/.well-known/pytp?discover=%2Facme%2Flegacy%2F"
AUDIENCE_URL = f"{BASE}/_/oidc/audience"


@pytest.fixture
def remote() -> Remote:
    return Remote()


def at(url: str) -> Location:
    found = Location.parse(url)
    assert found is not None
    return found


def found(remote: Remote, url: str = UPLOAD, *trusted: str) -> Exchange | None:
    return discover(at(url), trusted, remote.send)


# --- discovery -----------------------------------------------------------------------------------


def test_an_upload_url_is_looked_up_as_pep_807_says(remote: Remote) -> None:
    expected = Exchange(AUDIENCE, f"{BASE}/_/oidc/mint-token", f"{BASE}/_/oidc/burn-token")

    assert found(remote) == expected
    assert remote.calls == [WELL_KNOWN, AUDIENCE_URL]


@pytest.mark.parametrize(
    "answer",
    [Answer(404, {}), Answer(200, {}), UnreachableError("down")],
    ids=["404", "{}", "down"],
)
def test_without_discovery_the_endpoints_are_beside_the_url(
    remote: Remote, answer: Answer | Exception
) -> None:
    remote.answers[WELL_KNOWN] = answer

    assert found(remote) == found(Remote())


def test_an_index_exchanges_for_readers(remote: Remote) -> None:
    exchange = found(remote, INDEX)

    assert exchange is not None
    assert exchange.mint_url == f"{BASE}/_/oidc/mint-read-token"
    assert remote.calls == [AUDIENCE_URL]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example/_/oidc/mint-token",
        "http://packages.example.com/_/oidc/mint-token",
        "https://packages.example.com:444/_/oidc/mint-token",
        "https://packages.example.com@evil.example/",
        "https://[::1/",
        "/acme/_/oidc/mint-token",
    ],
)
def test_a_discovered_endpoint_at_another_host_is_not_used(remote: Remote, endpoint: str) -> None:
    remote.answers[WELL_KNOWN] = Answer(
        200, {"audience-endpoint": AUDIENCE_URL, "token-mint-endpoint": endpoint}
    )

    exchange = found(remote)

    assert exchange is not None
    assert exchange.mint_url == f"{BASE}/_/oidc/mint-token"


@pytest.mark.parametrize(
    "answer",
    [
        UnreachableError("down"),
        Answer(404, {}),
        Answer(403, {"message": "Forbidden"}),
        Answer(200, {}),
        Answer(200, {"audience": 7}),
        Answer(500, {"errors": "many", "detail": "x"}),
        Answer(500, {"errors": ["x"], "detail": "x"}),
        Answer(500, {"errors": [{"code": 7}], "detail": "x"}),
        Answer(500, {"errors": [{"code": "x"}]}),
        Answer(302, {}),
    ],
    ids=repr,
)
def test_an_address_that_does_not_answer_like_a_registry_is_none(
    remote: Remote, answer: Answer | Exception
) -> None:
    remote.answers |= {WELL_KNOWN: Answer(404, {}), AUDIENCE_URL: answer}

    assert found(remote) is None


def test_a_registry_that_is_switched_off_says_so() -> None:
    remote = Remote(registry("acme", github_publisher("widgets"), enabled=False))

    with pytest.raises(RefusedError, match="not-enabled: trusted publishing is switched off here"):
        found(remote)


# --- which registry may have an identity token for which audience --------------------------------


@pytest.mark.parametrize(
    "audience",
    ["acme", "packages.example.com", "packages.example.com/other", "other.example.com/acme"],
)
@pytest.mark.promise("audience-of-an-address")
def test_an_address_gets_no_token_for_an_audience_that_another_may_have(
    remote: Remote, audience: str
) -> None:
    remote.answers[AUDIENCE_URL] = Answer(200, {"audience": audience})

    with pytest.raises(RefusedError, match=f"for the audience `{audience}`, which does not name"):
        found(remote)


@pytest.mark.parametrize("trusted", [BASE, UPLOAD.removesuffix("/legacy/")])
def test_a_user_may_trust_an_address_with_its_audience(remote: Remote, trusted: str) -> None:
    remote.answers[AUDIENCE_URL] = Answer(200, {"audience": "acme"})

    exchange = found(remote, UPLOAD, trusted)

    assert exchange is not None
    assert exchange.audience == "acme"


@pytest.mark.promise("audience-of-pypi")
@pytest.mark.parametrize("audience", ["pypi", "testpypi"])
def test_not_even_a_trusted_address_gets_a_token_for_pypis_audience(
    remote: Remote, audience: str
) -> None:
    remote.answers[AUDIENCE_URL] = Answer(200, {"audience": audience})

    assert found(remote, UPLOAD, BASE) is None


@pytest.mark.parametrize(
    "trusted", ["https://packages.example.com", "https://packages.example.com/acm", "acme", ""]
)
def test_trust_in_another_address_is_no_trust_in_this_one(remote: Remote, trusted: str) -> None:
    remote.answers[AUDIENCE_URL] = Answer(200, {"audience": "acme"})

    with pytest.raises(RefusedError, match=f"set PYTP_TRUSTED_URLS={BASE}"):
        found(remote, UPLOAD, trusted)


def test_an_audience_is_shown_without_what_could_mislead(remote: Remote) -> None:
    remote.answers[AUDIENCE_URL] = Answer(200, {"audience": "a\x1b[2J\n" + "x" * 5000})

    with pytest.raises(RefusedError) as refused:
        found(remote)

    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


# --- exchange ------------------------------------------------------------------------------------


def test_an_identity_token_is_exchanged(remote: Remote) -> None:
    exchange = found(remote)
    assert exchange is not None

    minted = mint(exchange, remote.identity(), remote.send, 0)

    (record,) = remote.store.tokens.values()
    assert minted.expires == record.expires_at.timestamp()
    assert minted.token.reveal().startswith("pytp_")


def test_a_refusal_is_the_brokers_own_sentence(remote: Remote) -> None:
    exchange = found(remote)
    assert exchange is not None
    token = remote.token(aud=AUDIENCE, environment="staging")

    with pytest.raises(RefusedError, match=r"invalid-publisher: .*`staging`"):
        mint(exchange, token, remote.send, 0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(200, {"token": "a\nb"}), "it answered 200 without a token"),
        (Answer(200, {"token": ""}), "it answered 200 without a token"),
        # A CI would hide it wherever it stands in the log.
        (Answer(200, {"token": "e"}), "it answered 200 without a token"),
        (Answer(502, {}), "it answered 502 without a token"),
        (Answer(422, {"message": "m", "errors": [{"code": "c"}]}), "c: m"),
        (Answer(422, {"errors": [{"code": "c", "description": "d\x1b[1m"}]}), "c: d\ufffd"),
        (UnreachableError("it did not answer"), "it did not answer"),
    ],
    ids=repr,
)
def test_whatever_a_registry_answers_is_a_sentence(
    remote: Remote, answer: Answer | Exception, reason: str
) -> None:
    exchange = found(remote)
    assert exchange is not None
    remote.answers[exchange.mint_url] = answer

    with pytest.raises(RefusedError) as refused:
        mint(exchange, unsigned_token(), remote.send, 0)

    assert reason in str(refused.value)


def test_a_token_without_a_time_lives_as_long_as_any(remote: Remote) -> None:
    exchange = found(remote)
    assert exchange is not None
    remote.answers[exchange.mint_url] = Answer(
        200, {"token": "a-secret-of-a-registry", "expires": "soon"}
    )

    assert mint(exchange, unsigned_token(), remote.send, 1000.5).expires == 1900


def test_a_burned_token_is_dead(remote: Remote) -> None:
    exchange = found(remote)
    assert exchange is not None
    minted = mint(exchange, remote.identity(), remote.send, 0)

    assert burn(exchange.burn_url, minted.token, remote.send)

    (record,) = remote.store.tokens.values()
    assert record.burned_at is not None


@pytest.mark.parametrize("answer", [Answer(404, {}), UnreachableError("down")], ids=repr)
def test_a_registry_that_does_not_burn_is_noticed(
    remote: Remote, answer: Answer | Exception
) -> None:
    exchange = found(remote)
    assert exchange is not None
    remote.answers[exchange.burn_url] = answer

    assert not burn(exchange.burn_url, Hidden("secret"), remote.send)


def test_the_endpoints_that_a_client_knows_are_the_brokers(remote: Remote) -> None:
    exchange = found(remote)

    assert exchange is not None
    assert exchange.mint_url == paths.MINT.url(BASE)
    assert exchange.burn_url == paths.BURN.url(BASE)
    assert paths.AUDIENCE.url(BASE) in remote.calls
