"""The catalogue of attacks in `tests/cases/attacks.json`: a test for each row.

The tests are black boxes: they send a request, and look at the answer, the store and the fetches.
If a row expects something else than our broker does, a comment says so. A test names its row in a
marker, even if the test is in another file, beside its subject.
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pytp_broker.endpoints import broker as broker_function
from pytp_broker.endpoints import introspect
from pytp_broker.endpoints.events import handle
from pytp_broker.endpoints.routing import respond
from pytp_broker.http.messages import Request
from pytp_broker.tokens import UploadToken
from tests.support import distributions, signing
from tests.support.configurations import (
    generic_registry,
    github_issuer,
    github_publisher,
    registry,
)
from tests.support.deployment import HOST, Answer, basic
from tests.support.markers import marked_with
from tests.support.shelf import Shelf
from tests.support.signing import (
    ABSENT,
    GITHUB,
    NOW,
    github_claims,
    public_jwk,
    rsa_key,
    segment,
    sign_raw,
    sign_segments,
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


def pem(key: str = "key-1") -> bytes:
    public_key = rsa_key(key).public_key()
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_what_the_helpers_sign_is_good(world: World) -> None:
    assert world.mint(sign_raw()).status == 200


# --- algorithms -----------------------------------------------------------------------------------


@pytest.mark.row("A001")
def test_a001_no_algorithm_and_no_signature(world: World) -> None:
    token = f"{segment({'alg': 'none', 'kid': 'key-1'})}.{segment(github_claims())}."

    assert_refused(world, token)


@pytest.mark.row("A003")
@pytest.mark.parametrize("algorithm", ["nOnE", "NONE", "none ", "", None, ["none"], ["RS256"], {}])
def test_a003_no_algorithm_in_another_spelling(world: World, algorithm: object) -> None:
    header = segment({"alg": algorithm, "kid": "key-1"})

    assert_refused(world, f"{header}.{segment(github_claims())}.")
    assert_refused(world, sign_raw(alg=algorithm))


@pytest.mark.row("A004")
@pytest.mark.parametrize("form", ["PEM", "DER", "JWK"])
def test_a004_the_public_key_as_a_shared_secret(world: World, form: str) -> None:
    public_key = rsa_key("key-1").public_key()
    secret = {
        "PEM": pem(),
        "DER": public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(public_jwk(rsa_key("key-1"), "key-1")).encode(),
    }[form]
    header, payload = segment({"alg": "HS256", "kid": "key-1"}), segment(github_claims())
    signature = hmac.digest(secret, f"{header}.{payload}".encode(), "sha256")

    assert_refused(world, f"{header}.{payload}.{segment(signature)}")


@pytest.mark.row("A005")
@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_a005_the_right_key_with_an_algorithm_that_is_not_allowed(
    world: World, algorithm: str
) -> None:
    assert_refused(world, world.issuer.sign(github_claims(), algorithm=algorithm))
    assert_refused(world, sign_raw(alg=algorithm))


# --- the token's structure ------------------------------------------------------------------------


@pytest.mark.row("A014")
@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 11_000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"iss": ' + b"1" * 5000 + b"}",
        b'{"exp": ' + b"9" * 5000 + b"}",
    ],
)
def test_a014_deep_nesting_and_huge_numbers(world: World, payload: bytes) -> None:
    token = sign_raw(payload)
    started_at = time.thread_time()

    assert_refused(world, token, "invalid-payload")

    assert time.thread_time() - started_at < 0.25
    body = b'{"token": ' + b"[" * 60_000
    assert world.call("POST", MINT, body).code == "invalid-payload"


@pytest.mark.row("A016")
@pytest.mark.parametrize("first", ["https://evil.example", GITHUB])
def test_a016_repeated_members(world: World, first: str) -> None:
    second = "https://evil.example" if first == GITHUB else GITHUB
    rest = json.dumps(github_claims(iss=ABSENT))[1:]
    payload = f'{{"iss": "{first}", "iss": "{second}", {rest}'.encode()
    assert_refused(world, sign_raw(payload), "invalid-payload")

    nested = f'{{"x": {{"y": 1, "y": 2}}, {json.dumps(github_claims())[1:]}'.encode()
    assert_refused(world, sign_raw(nested), "invalid-payload")
    header = segment(b'{"alg": "RS256", "kid": "evil", "kid": "key-1"}')
    assert_refused(world, sign_segments(header, segment(github_claims())), "invalid-payload")


@pytest.mark.row("A017")
def test_a017_other_bytes_of_the_same_token(world: World) -> None:
    claims = github_claims(jti="one")
    header, payload = segment({"alg": "RS256", "kid": "key-1"}), segment(claims)
    good = sign_segments(header, payload)
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = digits[digits.index(good[-1]) ^ 1]  # a bit of the last digit that counts for nothing
    mark = segment(b"\xef\xbb\xbf" + json.dumps(claims).encode())
    variants = [
        sign_segments(header + "==", payload),
        sign_segments(header, payload + "="),
        sign_segments(header, mark),
        sign_segments(segment(b"\xef\xbb\xbf" + b'{"alg": "RS256", "kid": "key-1"}'), payload),
        good + "==",
        good[:-1] + last,
        good[:-8] + "\n" + good[-8:],
        good[:-8] + "!" + good[-8:],
        good + "\n",
    ]

    for variant in variants:
        assert_refused(world, variant, "invalid-payload", "invalid-token")
    assert world.mint(good).status == 200
    for variant in variants:
        assert_refused(world, variant, "invalid-payload", "invalid-token")
    spaced = segment(json.dumps(claims, indent=1).encode())
    assert_refused(world, sign_segments(header, spaced), "invalid-reuse-token")


@pytest.mark.row("A019")
@pytest.mark.parametrize(
    "members",
    [
        {"crit": ["bork"], "bork": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": "exp"},
        {"crit": None},
        {"b64": False},
    ],
)
def test_a019_critical_extensions(world: World, members: dict[str, Any]) -> None:
    # The shape of a token is `invalid-payload` here; its signature and claims `invalid-token`.
    assert_refused(world, sign_raw(**members), "invalid-payload", "invalid-token")


@pytest.mark.row("A022")
@pytest.mark.parametrize("member", ["jwk", "x5c", "jku", "x5u"])
def test_a022_a_key_that_the_token_brings_along(world: World, member: str) -> None:
    brought: Any = {
        "jwk": public_jwk(rsa_key("attacker"), "key-1"),
        "x5c": [base64.b64encode(pem("attacker")).decode()],
    }.get(member, "https://evil.example/jwks")
    header = segment({"alg": "RS256", "kid": "key-1", member: brought})

    assert_refused(world, sign_segments(header, segment(github_claims()), rsa_key("attacker")))
    assert set(world.issuer.fetched) == {world.issuer.discovery_url, world.issuer.jwks_url}


@pytest.mark.row("A024")
@pytest.mark.parametrize("key_id", [ABSENT, None, "", 1, ["key-1"], {"kid": "key-1"}])
def test_a024_no_key_id(world: World, key_id: object) -> None:
    assert "`kid`" in assert_refused(world, sign_raw(kid=key_id), "invalid-payload").detail


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.row("A027")
@pytest.mark.parametrize("changes", [{"nbf": SECONDS + 600}, {"iat": SECONDS + 600}])
def test_a027_of_the_future(world: World, changes: dict[str, int]) -> None:
    assert_refused(world, world.token(exp=SECONDS + 1200, **changes))


@pytest.mark.row("A028")
@pytest.mark.parametrize(
    "exp",
    [
        *(ABSENT, None, True, False, "1790000000", str(SECONDS + 300), f"{SECONDS + 300}.5"),
        *(float("inf"), -float("inf"), float("nan"), [], {}, [SECONDS + 300]),
        *(-1, 0, -0.0, -0.5, 10**12, 2**63, 10**30, 1e30, 1e308),
    ],
)
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_a028_times_that_are_no_dates_of_now(world: World, claim: str, exp: object) -> None:
    assert_refused(world, world.token(**{claim: exp}), "invalid-token", "invalid-payload")


@pytest.mark.row("A030")
def test_a030_over_before_it_began(world: World) -> None:
    assert_refused(world, world.token(iat=SECONDS, exp=SECONDS - 5))
    assert_refused(world, world.token(iat=SECONDS, exp=SECONDS))
    assert_refused(world, world.token(iat=SECONDS - 10 * 365 * 86_400))


# --- issuers --------------------------------------------------------------------------------------


@pytest.mark.row("A034")
@pytest.mark.parametrize(
    "issuer",
    [
        *(GITHUB[:-1], GITHUB + "x", GITHUB + "/", GITHUB.upper(), GITHUB + ":443", "https://"),
        *(GITHUB + "\n", GITHUB + "\x00", GITHUB + "#", GITHUB + "?", " " + GITHUB),
        *([GITHUB], {"0": GITHUB}, None, True, "", ABSENT),
    ],
)
def test_a034_an_issuer_that_is_nearly_ours(world: World, issuer: object) -> None:
    assert_refused(world, world.token(iss=issuer), "invalid-payload")
    assert world.issuer.fetched == []


@pytest.mark.row("A035")
def test_a035_an_unknown_issuer_is_never_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a look-up"))
    attacker = signing.Issuer("https://attacker.example", {"key-1": rsa_key("attacker")})

    answer = assert_refused(world, attacker.token(), "invalid-payload")

    assert "unknown trusted publishing issuer `https://attacker.example`" in answer.detail
    assert world.issuer.fetched == []
    assert not {"list_publishers", "find_key_set"} & set(world.store.calls)


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


# --- audiences ------------------------------------------------------------------------------------


@pytest.mark.row("A040")
@pytest.mark.parametrize(
    ("audience", "prefix"),
    [("other", "/acme"), ("acme", "/other"), (HOST, "/acme"), ("acme", ""), (["acme"], "/acme")],
)
def test_a040_the_audience_of_another_registry(world: World, audience: object, prefix: str) -> None:
    assert_refused(world, world.token(aud=audience), prefix=prefix)


# --- replay ---------------------------------------------------------------------------------------


@pytest.mark.row("A043")
def test_a043_fifty_at_once(world: World) -> None:
    token = world.token()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: world.mint(token), range(50)))

    assert sorted(answer.status for answer in answers) == [200] + [422] * 49
    assert {a.code for a in answers if a.status == 422} == {"invalid-reuse-token"}
    assert len(world.store.tokens) == 1


@pytest.mark.row("A045")
def test_a045_a_mark_that_is_deleted_late(world: World, index: Shelf) -> None:
    token = world.token()
    world.mint(token)
    (record,) = world.store.tokens.values()
    world.now = record.kept_until + timedelta(days=2)
    assert_refused(world, token)

    index.now += timedelta(days=2)
    assert index.publish(distributions.wheel()).status == 401


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


@pytest.mark.row("A047")
@pytest.mark.parametrize(
    "token_id", [ABSENT, None, "", "x" * 2000, "x" * 20_000, 5, True, ["x"], {"a": 1}]
)
def test_a047_hostile_token_ids(world: World, token_id: object) -> None:
    codes = ("invalid-token", "invalid-payload", "invalid-publisher")

    assert_refused(world, world.token(jti=token_id), *codes)
    assert world.mint(world.token(jti="x" * 100_000)).status == 413


@pytest.mark.row("A047")
@pytest.mark.parametrize("token_id", ["a#b", "TOKEN#1", "a/b\n\x00", "\u2028é", "x" * 1024])
def test_a047_odd_token_ids_are_hashed(world: World, token_id: str) -> None:
    token = world.token(jti=token_id)

    assert world.mint(token).status == 200
    assert_refused(world, token, "invalid-reuse-token")
    (lookup_id,) = world.store.tokens
    assert re.fullmatch("[0-9a-f]{32}", lookup_id)


@pytest.mark.row("A047")
def test_a047_a_token_without_an_id_is_known_by_what_was_signed() -> None:
    # Not refused as the row has it: some providers send none, but GitHub always does.
    world = World(generic_registry('sub = "x"'))
    world.issuer = signing.Issuer("https://ci.example.com")
    times = {"iat": SECONDS, "exp": SECONDS + 300}
    token = world.issuer.sign({**times, "aud": "acme", "iss": world.issuer.url, "sub": "x"})

    assert world.mint(token).status == 200
    assert_refused(world, token, "invalid-reuse-token")


@pytest.mark.row("A050")
def test_a050_two_registries_with_one_audience_by_mistake(world: World) -> None:
    world.configure(ACME + ACME.replace('name = "acme"', 'name = "other"'))
    world.start()
    token = world.token()

    assert world.mint(token, "/acme").status == 200
    assert_refused(world, token, "invalid-reuse-token", prefix="/other")


# --- tenants --------------------------------------------------------------------------------------


@pytest.mark.row("A090")
@pytest.mark.parametrize(
    "path",
    [
        "/acme/../other/_/oidc/mint-token",
        "/acme/%2e%2e/other/_/oidc/mint-token",
        "/acme//_/oidc/mint-token",
        "/Acme/_/oidc/mint-token",
        "/acme%00/_/oidc/mint-token",
        "/acme\x00/_/oidc/mint-token",
        "/acme;x/_/oidc/mint-token",
        "/acme\\_\\oidc\\mint-token",
        "/acme/_/oidc/mint-token/",
        "/acme/./_/oidc/mint-token",
        "//acme/_/oidc/mint-token",
    ],
)
def test_a090_path_tricks(world: World, path: str) -> None:
    for audience in ("acme", "other", HOST):
        answer = world.call("POST", path, {"token": world.token(aud=audience)})
        assert (answer.status, answer.code) == (404, "not-found")
    assert not world.store.tokens


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
def test_a095_bodies_that_are_no_payload(world: World) -> None:
    bodies: list[bytes] = [
        *(b"", b"x", b"{", b"[]", b"null", b'"x"', b"{}", b'{"token": null}', b'{"token": 123}'),
        *(b'{"token": ["x"]}', b'{"token": {}}', b'{"token": ""}', b"token=x", b"<xml/>"),
        *(b"\x1f\x8b\x08\x00" + b"\x00" * 1000, b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}"),
    ]
    for body in bodies:
        answer = world.call("POST", MINT, body, headers={"content-encoding": "gzip"})
        assert (answer.status, answer.code) == (422, "invalid-payload")
    assert world.mint(world.token(), features=["evil"]).code == "invalid-payload"
    assert world.call("POST", MINT, b"x" * 70_000).status == 413
    assert not world.store.tokens


@pytest.mark.row("A095")
def test_a095_what_counts_for_nothing(world: World) -> None:
    # Like PyPI, we ignore unknown members and the content type.
    headers = {"content-type": "text/plain"}
    answer = world.call("POST", MINT, {"token": world.token(), "x": 1}, headers=headers)

    assert answer.status == 200


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


@pytest.mark.row("A096")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, MINT) for method in ("GET", "HEAD", "OPTIONS", "PUT", "post", "")),
        *((method, "/acme/_/oidc/audience") for method in ("POST", "OPTIONS", "DELETE")),
    ],
)
def test_a096_other_methods(world: World, method: str, path: str) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = world.call(method, path, {"token": world.token()}, headers=headers)
    minted = world.call("POST", MINT, {"token": world.token()}, headers=headers)

    assert answer.status == 405
    assert minted.headers["Cache-Control"] == "no-store"
    for headers_sent in (answer.headers, minted.headers):
        assert not any(name.lower().startswith("access-control") for name in headers_sent)


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
def test_a114_kill_switches(world: World, switch: str) -> None:
    assert world.mint(world.token()).status == 200
    off = {"everything": "enabled = false\n", "issuer": "", "registry": ""}[switch]
    issuer = f'[[issuers]]\nurl = "{GITHUB}"\nprovider = "github"\nenabled = false\n'
    registry = ACME.replace('name = "acme"\n', 'name = "acme"\nenabled = false\n')
    world.configure(
        off + (issuer if switch == "issuer" else "") + (registry if switch == "registry" else ACME)
    )
    world.advance(seconds=10)

    assert_refused(world, world.token(), "not-enabled")
    assert world.records[-1].reason == "not-enabled"
    audience = world.call("GET", "/acme/_/oidc/audience")
    # Another issuer may still be asked for tokens where one is switched off.
    assert audience.status == (200 if switch == "issuer" else 403)


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


@pytest.mark.row("A117")
def test_a117_a_configuration_that_cannot_be_read(world: World) -> None:
    assert world.mint(world.token()).status == 200
    world.store.fail_next("load_configuration")
    assert world.mint(world.token()).status == 200  # from memory, for ten seconds at most

    world.advance(seconds=10)
    answer = world.mint(world.token())
    assert (answer.status, answer.code) == (503, "store-unavailable")

    world.start()
    world.store.fail_next("load_configuration")
    assert world.mint(world.token()).status == 503
