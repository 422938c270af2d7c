"""The catalogue of attacks in `tests/cases/attacks.json`: a test for each row.

The tests are black boxes: they send a request, and look at the answer, the store and the fetches.
If a row expects something else than our broker does, a comment says so. A test names its row in a
marker, even if the test is in another file, beside its subject.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pytp_broker.endpoints import broker as broker_function
from pytp_broker.endpoints import introspect
from pytp_broker.endpoints.events import handle
from pytp_broker.endpoints.routing import respond
from pytp_broker.http.messages import Request
from pytp_broker.tokens import UploadToken
from tests.support import distributions, signing
from tests.support.configurations import (
    github_issuer,
    github_publisher,
    registry,
)
from tests.support.deployment import HOST, Answer, basic
from tests.support.markers import marked_with
from tests.support.shelf import Shelf
from tests.support.signing import (
    GITHUB,
    NOW,
    github_claims,
    rsa_key,
)
from tests.support.world import World, assert_refused

CASES = Path(__file__).parents[1] / "cases"
ROWS: list[dict[str, str]] = json.loads((CASES / "attacks.json").read_text(encoding="utf-8"))
LEFT_OUT: dict[str, str] = json.loads((CASES / "attacks_left_out.json").read_text("utf-8"))
SECONDS = int(NOW.timestamp())
MINT = "/acme/_/oidc/mint-token"
GHES = "https://ghes.example.com/_services/token"
WIDGETS = github_publisher("widgets", repository_owner_id="9919")
ACME = registry("acme", WIDGETS, audience="acme")


def test_every_row_has_a_test_or_a_reason() -> None:
    tested = marked_with("row").keys()

    assert {row["id"] for row in ROWS} == tested | LEFT_OUT.keys()
    assert not tested & LEFT_OUT.keys()
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())


# --- helpers --------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def index() -> Shelf:
    return Shelf()


# --- issuers --------------------------------------------------------------------------------------


@pytest.mark.row("A037")
def test_a037_another_issuer_with_the_same_claims(world: World) -> None:
    ours = github_publisher("widgets", issuer=GITHUB, repository_owner_id="9919")
    acme = registry("acme", ours, audience="acme", issuers=[GITHUB, GHES])
    world.configure(github_issuer(GHES) + acme)
    world.start()
    assert world.mint(world.token()).status == 200

    world.issuer = signing.Issuer(GHES, {"key-1": rsa_key("ghes")})

    answer = assert_refused(world, world.token(), "invalid-publisher")
    assert "release" not in answer.detail


# --- replay ---------------------------------------------------------------------------------------


@pytest.mark.row("A046")
def test_a046_one_token_id_from_two_issuers(world: World) -> None:
    both = (
        github_publisher("widgets", issuer=url, repository_owner_id="9919")
        for url in (GITHUB, GHES)
    )
    world.configure(github_issuer(GHES) + registry("acme", *both, audience="acme"))
    world.start()

    for url in (GITHUB, GHES):
        world.issuer = signing.Issuer(url)
        token = world.token(jti="same")
        assert world.mint(token).status == 200
        assert_refused(world, token, "invalid-reuse-token")
    assert len(world.store.tokens) == 2


@pytest.mark.row("A050")
def test_a050_two_registries_with_one_audience_by_mistake(world: World) -> None:
    world.configure(ACME + ACME.replace('name = "acme"', 'name = "other"'))
    world.start()
    token = world.token()

    assert world.mint(token, "/acme").status == 200
    assert_refused(world, token, "invalid-reuse-token", prefix="/other")


# --- HTTP -----------------------------------------------------------------------------------------


def event(body: str, *, is_base64: bool = False, **headers: str) -> dict[str, Any]:
    """Return API Gateway's event of a POST to the mint endpoint."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "version": "2.0",
        "rawPath": MINT,
        "headers": {"host": HOST, **names},
        "requestContext": {
            "domainName": HOST,
            "http": {"method": "POST", "path": MINT, "sourceIp": "192.0.2.1"},
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }


@pytest.mark.row("A095")
def test_a095_encoded_bodies(world: World) -> None:
    body = json.dumps({"token": world.token()}).encode()
    good = event(base64.b64encode(body).decode(), is_base64=True)

    assert handle(good, broker_function.ROUTES, world.broker)["statusCode"] == 200
    for text in ("{}", "%%%", "a", "é"):
        answer = handle(event(text, is_base64=True), broker_function.ROUTES, world.broker)
        assert answer["statusCode"] == 400
    twice = base64.b64encode(base64.b64encode(body)).decode()
    answer = handle(event(twice, is_base64=True), broker_function.ROUTES, world.broker)
    assert answer["statusCode"] == 422


# --- upload tokens --------------------------------------------------------------------------------


@pytest.mark.row("A098")
def test_a098_ambiguous_credentials(index: Shelf) -> None:
    body, text = distributions.form(distributions.wheel()), index.token.reveal()
    headers = [
        f"{index.basic()},{index.basic()}",  # two headers, as API Gateway joins them
        f"Bearer {text},{text}",
        f"Bearer {text}, Basic eDp5",
        f"Bearer {text} {text}",
        basic(f"admin:{text}"),
        basic(f":{text}"),
        basic(text),
        f"Digest {text}",
        text,
        "Bearer",
        "Basic ***",
        "Basic",
    ]

    for header in headers:
        answer = index.post(body, header)
        assert answer.status == 401
        assert "Basic" in answer.headers["WWW-Authenticate"]
    assert index.store.files == {}
    assert index.store.calls.count("find_token") == 0


@pytest.mark.row("A099")
def test_a099_malformed_tokens_are_refused_without_a_read(index: Shelf) -> None:
    body, good = distributions.form(distributions.wheel()), index.token.reveal()
    flipped = "A" if good[40] != "A" else "B"
    malformed = [
        good[:40] + flipped + good[41:],
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "pypi-" + good[5:],
        "PYTP_" + good[5:],
        good + "A",
        good[:-1],
        good * 130,
        good[:-1] + "é",
        good[:-1] + "\u0660",
        "pytp_" + "z" * 71,
    ]

    for text in malformed:
        assert index.post(body, basic(f"__token__:{text}")).status == 401
    assert "find_token" not in index.store.calls
    stranger = UploadToken.mint("f" * 32)
    assert index.post(body, index.basic(stranger)).status == 401
    assert index.store.calls.count("find_token") == 1


@pytest.mark.row("A104")
def test_a104_a_token_for_another_project(index: Shelf) -> None:
    token = index.mint(("acme", "widgets", "p-widgets"), lookup_id="a" * 32)
    other = distributions.wheel("gizmos")

    answer = index.post(distributions.form(other), index.basic(token))

    assert answer.status == 403
    assert "`gizmos`" in answer.detail
    assert "`widgets`" in answer.detail
    mine = distributions.form(distributions.wheel())
    assert index.post(mine, index.basic(token)).status == 200


@pytest.mark.row("A106")
def test_a106_an_upload_token_elsewhere(world: World, index: Shelf) -> None:
    # There is no endpoint for administration at which to try it: operators apply the configuration.
    text = index.token.reveal()
    digest = hashlib.sha256(b"a secret").hexdigest()
    index.change(introspection_clients={"devpi": digest})
    body = urlencode({"token": text}).encode()

    for header in (f"Bearer {text}", basic(f"__token__:{text}"), basic(f"devpi:{text}")):
        request = Request(
            "POST", HOST, "/acme/_/token/introspect", {}, {"authorization": header}, body
        )
        assert respond(request, introspect.ROUTES, index.index).status == 401
    assert world.mint(text).code == "invalid-payload"


@pytest.mark.row("A107")
def test_a107_burning(world: World) -> None:
    # The row's 401 and 204 are crates.io's. Here every burn gets the same answer, whether or not
    # there was a token to burn.
    token = world.mint(world.token()).json["token"]
    bodies: list[Any] = [
        {"token": token},
        {"token": token},
        {"token": UploadToken.mint("f" * 32).reveal()},
        {"token": "malformed"},
        {"token": None},
        {},
        b"",
        b"not JSON",
    ]

    answers = [world.call("POST", "/acme/_/oidc/burn-token", body) for body in bodies]

    assert {(a.status, a.body) for a in answers} == {(202, b'{"message":"Accepted","errors":[]}')}
    (record,) = world.store.tokens.values()
    assert record.burned_at == NOW


# --- leaks ----------------------------------------------------------------------------------------


@pytest.mark.row("A110")
def test_a110_nothing_that_is_written_holds_a_token(world: World, index: Shelf) -> None:
    good, bad = world.token(), world.issuer.sign(github_claims(), key=rsa_key("attacker"))
    minted = world.mint(good).json["token"]
    world.store.fail_next("add_token")
    answers: list[Answer] = [
        *(world.mint(token) for token in (good, bad, world.token(), minted, good + "x")),
        world.mint(world.token(actor=minted, environment=good)),
        world.call("POST", "/acme/_/oidc/burn-token", {"token": minted}),
        index.post(b"", f"Bearer {minted}"),
        index.publish(distributions.wheel()),
    ]
    written = repr([world.records, world.store.__dict__, index.records, index.store.__dict__])
    written += repr([answer.body for answer in answers])

    secrets = [minted, index.token.reveal(), index.basic(), *good.split("."), *bad.split(".")[1:]]
    assert not [secret for secret in secrets if secret in written]
    assert hashlib.sha256(minted.encode()).hexdigest()[:12] in written


def _unknown() -> UploadToken:
    return UploadToken.mint("f" * 32)


# --- switches -------------------------------------------------------------------------------------


@pytest.mark.row("A114")
@pytest.mark.parametrize("switch", ["everything", "issuer", "registry"])
def test_a114_kill_switches_end_old_tokens(index: Shelf, switch: str) -> None:
    if switch == "registry":
        index.change(enabled=False)
    elif switch == "issuer":
        index.switch_issuer_off()
    else:
        index.switch_off()

    assert index.publish(distributions.wheel()).status == 403
    assert index.records[-1].outcome == "refused"


@pytest.mark.row("A116")
@pytest.mark.parametrize("user", ["__token__", "admin", "alice"])
@pytest.mark.parametrize("password", ["hunter2", "pypi-AgEIcHlwaS5vcmc", ""])
def test_a116_a_static_token(index: Shelf, user: str, password: str) -> None:
    # Every upload needs trusted publishing, because there are no other tokens, so there is no such
    # setting.
    body = distributions.form(distributions.wheel())

    answer = index.post(body, basic(f"{user}:{password}"))

    assert answer.status == 401
    assert "upload token" in answer.detail
