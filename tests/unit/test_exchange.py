"""The exchange, as a CI job sees it: status, body, and what is stored."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.oidc.identity import LEEWAY_SECONDS
from pytp_broker.registries import default_audience
from pytp_broker.tokens import UploadToken
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST
from tests.support.signing import (
    ABSENT,
    GITHUB,
    NOW,
    Issuer,
    ec_key,
    github_claims,
    public_jwk,
    rsa_key,
    segment,
)
from tests.support.world import World, assert_refused


@pytest.fixture
def world() -> World:
    return World()


def stored_nothing(world: World) -> bool:
    return not world.store.tokens


# --- a good exchange ------------------------------------------------------------------------------


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


def test_maturins_old_address_exchanges_too(world: World) -> None:
    answer = world.call("POST", "/acme/_/oidc/github/mint-token", {"token": world.token()})

    assert answer.status == 200


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


# --- hosts, prefixes and audiences ----------------------------------------------------------------


def test_the_audience_at_a_prefix_is_the_registrys(world: World) -> None:
    assert world.call("GET", "/acme/_/oidc/audience").json == {"audience": "acme"}


def test_the_audience_at_the_shared_root_is_the_hosts(world: World) -> None:
    assert world.call("GET", "/_/oidc/audience").json == {"audience": HOST}


def test_the_audience_at_a_host_of_its_own_is_the_registrys(world: World) -> None:
    answer = world.call("GET", "/_/oidc/audience", host="other.example.com:8443")

    assert answer.json == {"audience": "other"}


def test_without_an_audience_it_is_derived_from_the_host_and_the_name() -> None:
    world = World(registry("acme", github_publisher("widgets")))

    audience = world.call("GET", "/acme/_/oidc/audience").json["audience"]

    assert audience == f"{HOST}/acme"
    assert world.mint(world.token(aud=audience)).status == 200


@pytest.mark.parametrize(
    ("place", "audience"),
    [("acme.example.com", "acme.example.com"), ("127.0.0.1", "pytp-127.0.0.1")],
)
def test_a_derived_audience_starts_with_a_letter(place: str, audience: str) -> None:
    assert default_audience(place) == audience


def test_the_shared_root_exchanges_for_every_registry_that_trusts_the_identity(
    world: World,
) -> None:
    answer = world.mint(world.token(aud=HOST), "")

    assert answer.status == 200
    (record,) = world.store.tokens.values()
    assert set(record.places) == {"acme/widgets", "other/gadgets", "other/gizmos"}


def test_an_issuer_of_a_disabled_registry_alone_is_not_asked_for_keys() -> None:
    world = World(
        """
        [[registries]]
        name = "acme"
        issuers = ["https://gitlab.com"]
        [[registries]]
        name = "other"
        enabled = false
        issuers = ["https://token.actions.githubusercontent.com"]
        """
    )

    answer = world.mint(world.token(aud=HOST), "")

    assert (answer.status, answer.code) == (422, "not-enabled")
    assert world.issuer.fetched == []


def test_a_registry_may_stay_out_of_the_shared_root() -> None:
    closed = World(
        registry("acme", github_publisher("widgets"), audience="acme", shared_host_exchange=False)
    )
    answer = closed.mint(closed.token(aud=HOST), "")

    assert answer.status == 422
    assert stored_nothing(closed)


@pytest.mark.promise("audience")
@pytest.mark.parametrize(
    ("audience", "prefix"),
    [
        ("acme", "/other"),
        ("other", "/acme"),
        ("acme", ""),
        (HOST, "/acme"),
        ("ACME", "/acme"),
        ("acme ", "/acme"),
        ("", "/acme"),
        (["acme"], "/acme"),
        (["acme", "other"], "/acme"),
        (None, "/acme"),
        (ABSENT, "/acme"),
        (5, "/acme"),
    ],
)
def test_a_token_for_another_audience_is_refused(
    world: World, audience: object, prefix: str
) -> None:
    answer = world.mint(world.token(aud=audience), prefix)

    assert (answer.status, answer.code) == (422, "invalid-token")
    assert stored_nothing(world)


def test_a_wrong_audience_is_named_with_the_right_one(world: World) -> None:
    answer = world.mint(world.token(aud="other"))

    assert "`other`" in answer.detail
    assert "`acme`" in answer.detail


@pytest.mark.parametrize(
    "path",
    [
        "/nobody/_/oidc/mint-token",
        "/acme/../other/_/oidc/mint-token",
        "/acme/%2e%2e/other/_/oidc/mint-token",
        "/acme//_/oidc/mint-token",
        "//acme/_/oidc/mint-token",
        "/Acme/_/oidc/mint-token",
        "/acme\x00/_/oidc/mint-token",
        "/acme;x/_/oidc/mint-token",
        "/acme/_/oidc/mint-token/",
        "/acme/_/oidc/",
        "/acme",
        "/",
        "",
    ],
)
def test_an_address_that_is_not_exactly_ours_is_not_found(world: World, path: str) -> None:
    answer = world.call("POST", path, {"token": world.token()})

    assert (answer.status, answer.code) == (404, "not-found")
    assert stored_nothing(world)


def test_on_a_host_of_its_own_a_registry_has_no_prefix(world: World) -> None:
    answer = world.call("GET", "/other/_/oidc/audience", host="other.example.com")

    assert answer.status == 404


# --- what a caller can send -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"token=abc",
        b'{"token": null}',
        b'{"token": 1}',
        b'{"token": true}',
        b'{"token": {}}',
        b'{"token": []}',
        b'{"token": ""}',
        b'{"token": "malformed"}',
        b'{"token": "a.b.c"}',
        b'{"token": "..."}',
        b'{"token": "\\ud800.b.c"}',
        b'{"token": "e30.e30."}',
        b'{"not_real": "x"}',
        b'{"token": NaN}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe",
        b"\x1f\x8b\x08",
        b"[" * 60_000,
        b'{"token": ' + b"9" * 6000 + b"}",
        b'{"token": "' + b"x" * 20_000 + b'"}',
    ],
)
def test_a_body_that_is_no_payload_is_refused(world: World, body: bytes) -> None:
    answer = world.call("POST", "/acme/_/oidc/mint-token", body)

    assert (answer.status, answer.code) == (422, "invalid-payload")
    assert stored_nothing(world)


def test_repeated_members_of_the_body_are_refused(world: World) -> None:
    body = f'{{"token": "x", "token": "{world.token()}"}}'.encode()

    assert world.call("POST", "/acme/_/oidc/mint-token", body).code == "invalid-payload"


def test_unknown_members_of_the_body_are_ignored(world: World) -> None:
    assert world.mint(world.token(), comment="hello").status == 200


def test_a_body_over_64_kib_is_too_large(world: World) -> None:
    body = json.dumps({"token": world.token(), "x": "y" * 65_536}).encode()

    answer = world.call("POST", "/acme/_/oidc/mint-token", body)

    assert (answer.status, answer.code) == (413, "payload-too-large")


@pytest.mark.parametrize("features", [["multi-use-token"], [], None])
def test_a_multi_use_token_is_the_default(world: World, features: object) -> None:
    assert world.mint(world.token(), features=features).status == 200

    (record,) = world.store.tokens.values()
    assert record.features == ("multi-use-token",)


def test_a_single_use_token_is_had_on_request(world: World) -> None:
    assert world.mint(world.token(), features=["single-use-token"]).status == 200

    (record,) = world.store.tokens.values()
    assert record.features == ("single-use-token",)


@pytest.mark.parametrize(
    "features",
    [
        *(["evil"], ["multi-use-token", "evil"], ["multi-use-token", "single-use-token"], "x", 5),
        *([[]], [["multi-use-token"]], [5], [None], [""], {}, {"multi-use-token": True}, False, ""),
        *("multi-use-token", "single-use-token"),  # PEP 807 asks for an array
        ["multi-use-token", "multi-use-token"],
    ],
)
def test_unknown_features_are_refused(world: World, features: object) -> None:
    answer = world.mint(world.token(), features=features)

    assert 'an array of one string: ["multi-use-token"] or ["single-use-token"]' in answer.detail

    assert (answer.status, answer.code) == (422, "invalid-payload")
    assert stored_nothing(world)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/acme/_/oidc/mint-token", "POST"),
        ("HEAD", "/acme/_/oidc/mint-token", "POST"),
        ("OPTIONS", "/_/oidc/mint-token", "POST"),
        ("POST", "/acme/_/oidc/audience", "GET"),
        ("DELETE", "/acme/_/oidc/burn-token", "POST"),
        ("POST", "/.well-known/pytp", "GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(
    world: World, method: str, path: str, allowed: str
) -> None:
    answer = world.call(method, path, headers={"origin": "https://evil.example"})

    assert (answer.status, answer.code) == (405, "method-not-allowed")
    assert answer.headers["Allow"] == allowed
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


# --- the identity token ---------------------------------------------------------------------------

SECONDS = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": SECONDS - LEEWAY_SECONDS},
        {"exp": SECONDS - 3600, "iat": SECONDS - 7200},
        {"exp": ABSENT},
        {"exp": None},
        {"exp": True},
        {"exp": str(SECONDS + 100)},
        {"exp": f"{SECONDS + 100}.5"},
        {"exp": SECONDS - LEEWAY_SECONDS - 0.5, "iat": SECONDS - 300},
        {"exp": SECONDS + 25 * 3600 + 0.5},
        {"exp": SECONDS + 25 * 3600, "iat": SECONDS - 0.5},
        {"exp": SECONDS + 25 * 3600 + 1},
        {"exp": SECONDS + 10 * 365 * 24 * 3600},
        {"exp": -5},
        {"exp": 10**30},
        {"exp": 1e308},
        {"exp": float("inf")},
        {"iat": -0.0},
        {"iat": -1.5},
        {"iat": False},
        {"iat": SECONDS + 100.5, "exp": SECONDS + 100.5},
        {"nbf": True},
        {"nbf": SECONDS + LEEWAY_SECONDS + 0.5},
        {"exp": SECONDS - 10, "iat": SECONDS - 5},
        {"iat": ABSENT},
        {"iat": None},
        {"iat": "x"},
        {"iat": SECONDS + LEEWAY_SECONDS + 10},
        {"iat": SECONDS - 315_360_000},
        {"nbf": SECONDS + LEEWAY_SECONDS + 10},
        {"nbf": None},
        {"jti": ""},
        {"jti": 5},
        {"jti": ["x"]},
        {"jti": "x" * 1025},
        {"sub": 5},
    ],
)
def test_a_claim_that_rfc_7519_would_not_have_is_refused(
    world: World, changes: Mapping[str, Any]
) -> None:
    answer = world.mint(world.token(**changes))

    assert answer.status == 422
    assert answer.code in {"invalid-token", "invalid-payload"}  # Infinity is not JSON
    assert stored_nothing(world)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e308", "1E9999999", "NaN", "9" * 5000])
@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
def test_a_time_that_no_clock_will_show_is_refused(world: World, claim: str, number: str) -> None:
    payload = json.dumps({**github_claims(), claim: 12345}).replace(": 12345", f": {number}", 1)
    assert f'"{claim}": {number}' in payload
    header = {"kid": "key-1"}
    token = jwt.PyJWS().encode(payload.encode(), rsa_key("key-1"), "RS256", headers=header)

    answer = world.mint(token)

    assert answer.status == 422
    assert answer.code in {"invalid-token", "invalid-payload"}
    assert stored_nothing(world)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": SECONDS + 300.75, "iat": SECONDS + 0.25, "nbf": SECONDS - 0.5},
        {"exp": SECONDS + 300.0},
        {"exp": SECONDS - LEEWAY_SECONDS + 0.5, "iat": SECONDS - 300},
        {"exp": SECONDS + 25 * 3600 + 0.25, "iat": SECONDS + 0.25},
        {"nbf": SECONDS + LEEWAY_SECONDS - 0.001},
        {"nbf": 1.5},
        {"nbf": 0},
        {"exp": SECONDS - LEEWAY_SECONDS + 1, "iat": SECONDS - 300},
        {"nbf": SECONDS + LEEWAY_SECONDS - 5},
        {"iat": SECONDS + LEEWAY_SECONDS, "exp": SECONDS + 300},
        {"nbf": ABSENT},
        {"jti": "a#b/c\n\u0000é"},
    ],
)
def test_a_claim_within_the_rules_is_accepted(world: World, changes: Mapping[str, Any]) -> None:
    assert world.mint(world.token(**changes)).status == 200


@pytest.mark.promise("signed")
def test_a_token_signed_by_another_key_is_refused(world: World) -> None:
    token = world.issuer.sign(github_claims(), key=rsa_key("stranger"))

    assert world.mint(token).code == "invalid-token"


@pytest.mark.parametrize(
    ("changes", "how", "said"),
    [
        ({"iat": None}, {}, "has no `iat`"),
        ({"exp": ABSENT}, {}, "has no `exp`"),
        ({"aud": ABSENT}, {}, "has no `aud`"),
        ({"sub": 5}, {}, "`sub` must be a string"),
        ({"jti": ["x"]}, {}, "`jti` must be a string"),
        ({"jti": None}, {}, "`jti` must be a string"),
        ({}, {"key": rsa_key("stranger")}, "a signature that is not from the key"),
        ({}, {"algorithm": "RS512"}, "an algorithm that its issuer does not use"),
    ],
)
def test_what_is_wrong_with_a_token_is_said_in_words(
    world: World, changes: Mapping[str, Any], how: Mapping[str, Any], said: str
) -> None:
    answer = world.mint(world.issuer.sign(github_claims(**changes), **how))

    assert answer.code == "invalid-token"
    assert said in answer.detail


def test_a_changed_payload_is_refused(world: World) -> None:
    header, _, signature = world.token().split(".")
    payload = world.token(repository="evil/widgets").split(".")[1]

    assert world.mint(f"{header}.{payload}.{signature}").code == "invalid-token"


def test_an_empty_signature_is_refused(world: World) -> None:
    header, payload, _ = world.token().split(".")

    assert world.mint(f"{header}.{payload}.").code == "invalid-token"


@pytest.mark.promise("signed")
@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS512"])
def test_an_algorithm_outside_the_issuers_list_is_refused(world: World, algorithm: str) -> None:
    token = world.issuer.sign(github_claims(), algorithm=algorithm)

    assert world.mint(token).code == "invalid-token"


@pytest.mark.promise("signed")
@pytest.mark.parametrize("algorithm", ["none", "nOnE", "NONE", "none ", "HS256"])
def test_a_header_cannot_choose_no_signature(world: World, algorithm: str) -> None:
    _, payload, signature = world.token().split(".")
    header = segment({"alg": algorithm, "typ": "JWT", "kid": "key-1"})

    for last in ("", signature):
        assert world.mint(f"{header}.{payload}.{last}").code == "invalid-token"


@pytest.mark.parametrize("key_id", [None, 5, ["key-1"], "", "k" * 300])
def test_a_header_without_a_key_id_is_refused(world: World, key_id: object) -> None:
    _, payload, signature = world.token().split(".")
    header = segment({"alg": "RS256", "typ": "JWT", "kid": key_id})

    answer = world.mint(f"{header}.{payload}.{signature}")

    assert (answer.status, answer.code) == (422, "invalid-payload")
    assert "`kid`" in answer.detail


@pytest.mark.parametrize("critical", [["bork"], ["b64"], []])
def test_an_unknown_extension_is_refused(world: World, critical: list[str]) -> None:
    header = {"alg": "RS256", "kid": "key-1", "crit": critical, "b64": False}
    _, payload, signature = world.token().split(".")

    assert world.mint(f"{segment(header)}.{payload}.{signature}").code == "invalid-payload"


@pytest.mark.parametrize("kind", ["at+jwt", "secevent+jwt", "JWT ", 5, ["JWT"]])
def test_another_type_of_token_is_refused(world: World, kind: object) -> None:
    token = world.issuer.sign(github_claims(), header={"typ": kind})

    assert world.mint(token).code == "invalid-token"


def sign_with_header(**members: object) -> str:
    """Return a good token whose header has these members, which PyJWT would put right."""
    header = segment({"alg": "RS256", "kid": "key-1", **members})
    signed = f"{header}.{segment(github_claims())}"
    signature = rsa_key("key-1").sign(signed.encode(), PKCS1v15(), SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "members", [{"cty": "JWT"}, {"cty": ""}, {"b64": False}, {"b64": 0}, {"b64": True}]
)
def test_a_token_that_is_not_simply_claims_is_refused(
    world: World, members: Mapping[str, Any]
) -> None:
    assert world.mint(sign_with_header()).status == 200
    assert world.mint(sign_with_header(**members)).code == "invalid-payload"


def test_a_type_that_is_null_is_none_of_ours(world: World) -> None:
    assert world.mint(sign_with_header(typ=None)).code == "invalid-token"


def test_a_token_without_a_type_is_accepted(world: World) -> None:
    token = world.issuer.sign(github_claims(), header={"typ": None})

    assert world.mint(token).status == 200


@pytest.mark.parametrize(
    "mangle",
    [
        lambda token: token + "=",
        lambda token: " " + token,
        lambda token: token + "\n",
        lambda token: token + ".x",
        lambda token: token.replace(".", "..", 1),
        lambda token: token.split(".", 1)[0] + "==." + token.split(".", 1)[1],
    ],
)
def test_other_bytes_of_the_same_token_are_refused(world: World, mangle: Any) -> None:
    answer = world.mint(mangle(world.token()))

    assert answer.status == 422
    assert stored_nothing(world)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss": "https://evil.example", "iss": "https://token.actions.githubusercontent.com"}',
        b'{"iss": "https://token.actions.githubusercontent.com", "iss": "https://evil.example"}',
        b"[]",
        b"not json",
        b"\xef\xbb\xbf{}",
        b"[" * 8000,
        b'{"iss": ' + b"1" * 5000 + b"}",
    ],
)
def test_a_payload_that_is_no_strict_json_object_is_refused(world: World, payload: bytes) -> None:
    header, _, signature = world.token().split(".")

    answer = world.mint(f"{header}.{segment(payload)}.{signature}")

    assert (answer.status, answer.code) == (422, "invalid-payload")


@pytest.mark.promise("no-fetch")
@pytest.mark.parametrize(
    "issuer",
    [
        "https://evil.example",
        "https://TOKEN.actions.githubusercontent.com",
        GITHUB + "/",
        GITHUB + "/octo-enterprise",
        GITHUB.replace("https", "http"),
        GITHUB + ".evil.example",
        GITHUB[:-1],
        None,
        5,
        [GITHUB],
        {"url": GITHUB},
        "",
    ],
)
def test_an_issuer_that_is_not_allowed_is_never_asked(world: World, issuer: object) -> None:
    answer = world.mint(world.token(iss=issuer))

    assert (answer.status, answer.code) == (422, "invalid-payload")
    assert world.issuer.fetched == []
    assert "list_publishers" not in world.store.calls


def test_an_issuer_of_another_registry_is_unknown_here() -> None:
    world = World(
        """
        [[issuers]]
        url = "https://ghes.example.com/_services/token"
        provider = "github"
        [[registries]]
        name = "acme"
        audience = "acme"
        issuers = ["https://token.actions.githubusercontent.com"]
        """
    )
    token = Issuer("https://ghes.example.com/_services/token").token()

    assert "unknown trusted publishing issuer" in world.mint(token).detail


# --- once only ------------------------------------------------------------------------------------


@pytest.mark.promise("exchanged-once")
def test_a_token_is_exchanged_only_once(world: World) -> None:
    token = world.token()
    assert world.mint(token).status == 200

    answer = world.mint(token)

    assert (answer.status, answer.code) == (422, "invalid-reuse-token")
    assert len(world.store.tokens) == 1


def test_another_token_with_the_same_token_id_is_a_replay(world: World) -> None:
    world.mint(world.token(jti="same"))

    assert world.mint(world.token(jti="same", run_id="2")).code == "invalid-reuse-token"


def test_a_replay_is_refused_in_every_registry(world: World) -> None:
    world.mint(world.token(aud="acme", jti="same"))

    assert world.mint(world.token(aud="other", jti="same"), "/other").code == "invalid-reuse-token"


@pytest.mark.row("A026")
def test_a_token_inside_its_leeway_is_exchanged_only_once(world: World) -> None:
    token = world.token(exp=SECONDS - LEEWAY_SECONDS + 1, iat=SECONDS - 300)
    assert world.mint(token).status == 200

    assert_refused(world, token, "invalid-reuse-token")


def test_the_same_token_with_its_times_as_fractions_is_exchanged_only_once(world: World) -> None:
    assert world.mint(world.token(jti="same", exp=SECONDS + 300)).status == 200

    again = world.token(jti="same", iat=SECONDS + 0.5, exp=SECONDS + 300.5)

    assert world.mint(again).code == "invalid-reuse-token"


@pytest.mark.promise("exchanged-once")
@pytest.mark.row("A044")
def test_the_mark_outlives_the_identity_token_and_its_leeway(world: World) -> None:
    token = world.token(exp=SECONDS + 20 * 3600)
    world.mint(token)

    (record,) = world.store.tokens.values()
    assert record.kept_until > NOW + timedelta(hours=20, seconds=LEEWAY_SECONDS)
    assert record.kept_until > record.expires_at
    world.advance(hours=20, seconds=LEEWAY_SECONDS - 1)
    assert_refused(world, token, "invalid-reuse-token")
    world.store.tokens.clear()
    world.advance(seconds=1)
    assert_refused(world, token)


@pytest.mark.parametrize("exp", [SECONDS + 60, SECONDS + 20_000, SECONDS + 20_000.75])
def test_the_mark_outlives_both_tokens_by_a_minute(world: World, exp: float) -> None:
    world.mint(world.token(exp=exp))

    (record,) = world.store.tokens.values()
    ends = max(record.expires_at, datetime.fromtimestamp(exp + LEEWAY_SECONDS, UTC))
    assert record.kept_until == ends + timedelta(seconds=60)


def test_a_token_that_has_expired_is_told_so_whoever_it_is_of(world: World) -> None:
    old = world.token(repository="nobody/nothing", repository_owner="nobody")
    world.advance(seconds=300 + LEEWAY_SECONDS)

    answer = world.mint(old)

    assert answer.code == "invalid-token"
    assert "has expired" in answer.detail


def test_a_refused_match_does_not_use_the_token_up(world: World) -> None:
    token = world.token(environment="release", repository="octo-org/late")
    assert world.mint(token).status == 422
    world.configure(
        registry("acme", github_publisher("late", repository="octo-org/late"), audience="acme")
    )
    late = world.token(
        repository="octo-org/late",
        job_workflow_ref="octo-org/late/.github/workflows/release.yml@refs/tags/v1.2.0",
    )
    assert world.mint(late).status == 200


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
    assert stored_nothing(world)
    assert world.mint(world.token()).status == 200


# --- kill switches --------------------------------------------------------------------------------

SWITCHED = """
enabled = {main}
[[issuers]]
url = "https://token.actions.githubusercontent.com"
provider = "github"
enabled = {issuer}
[[registries]]
name = "acme"
audience = "acme"
enabled = {registry}
[[registries.publishers]]
projects = ["widgets"]
[registries.publishers.github]
repository = "octo-org/widgets"
workflow = "release.yml"
"""


@pytest.mark.promise("switched-off")
@pytest.mark.promise("compromised-issuer")
@pytest.mark.parametrize("switch", ["main", "issuer", "registry"])
def test_a_switch_refuses_new_exchanges_within_ten_seconds(world: World, switch: str) -> None:
    switches = {"main": "true", "issuer": "true", "registry": "true"}
    world.configure(SWITCHED.format(**switches))
    assert world.mint(world.token()).status == 200

    world.configure(SWITCHED.format(**{**switches, switch: "false"}))
    world.advance(seconds=10)

    answer = world.mint(world.token())
    assert (answer.status, answer.code) == (422, "not-enabled")


@pytest.mark.parametrize("switch", ["main", "registry"])
def test_the_audience_endpoint_agrees_with_the_switch(world: World, switch: str) -> None:
    switches = {"main": "true", "issuer": "true", "registry": "true", switch: "false"}
    world.configure(SWITCHED.format(**switches))
    world.start()

    answer = world.call("GET", "/acme/_/oidc/audience")

    assert (answer.status, answer.code) == (403, "not-enabled")


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


# --- helpers --------------------------------------------------------------------------------------


def test_an_elliptic_curve_key_is_no_key_for_an_rsa_issuer(world: World) -> None:
    world.issuer.serve([public_jwk(ec_key("ec"), "key-1")])
    token = world.issuer.sign(github_claims(), key=ec_key("ec"), algorithm="ES256")

    assert world.mint(token).status in {422, 503}
