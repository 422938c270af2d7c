"""The exchange: bodies, tokens and claims of every kind."""

import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.subject import Subject, event
from tests.support.deployment import Answer
from tests.support.signing import ABSENT, NOW, github_claims, segment

MINT = "/acme/_/oidc/mint-token"
MINT_READ = "/acme/_/oidc/mint-read-token"

texts = st.text(st.characters(exclude_categories=[]), max_size=40)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(texts, v, max_size=4), max_leaves=8
)
# Each is what somebody's parser, store, log or comparison has stumbled over.
HOSTILE: list[Any] = [
    ABSENT,
    None,
    "",
    " ",
    0,
    -1,
    True,
    1.5,
    1e308,
    1 << 70,
    10**400,
    [],
    {},
    ["octo-org/widgets"],
    {"a": {"b": 1}},
    "a" * 5000,
    "a\x00b",
    "octo-org/widgets\x00",
    "octo-org/widgets\n",
    "octo-org\uff0fwidgets",
    "octo-org/w\u0456dgets",
    "octo-org/widgets\u200b",
    "octo-org/\u212aidgets",
    "../../etc/passwd",
    "${jndi:ldap://x}",
    "'; DROP TABLE tokens; --",
    "\U0001f4a9" * 50,
    "/" * 500,
    "@" * 500,
    ":" * 500,
]


def mint(subject: Subject, body: bytes, path: str = MINT) -> Answer:
    return subject.send("broker", event("POST", path, body))


def exchange(subject: Subject, token: Any, **members: Any) -> Answer:
    return mint(subject, json.dumps({"token": token, **members}).encode())


def exchange_to_read(subject: Subject, token: str) -> Answer:
    return mint(subject, json.dumps({"token": token}).encode(), MINT_READ)


@given(st.binary(max_size=300))
def test_any_bytes(subject: Subject, body: bytes) -> None:
    assert mint(subject, body).code == "invalid-payload"


@given(st.dictionaries(st.sampled_from(["token", "features", "x"]) | texts, values, max_size=4))
def test_any_json(subject: Subject, document: dict[str, Any]) -> None:
    assert mint(subject, json.dumps(document).encode()).code == "invalid-payload"


@pytest.mark.parametrize("depth", [10, 900, 990, 2000, 30_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_any_depth(subject: Subject, brackets: str, depth: int) -> None:
    body = brackets[:-1] * depth + "1" + brackets[-1] * depth
    member = f'{{"token": {body}}}'
    for text in (body, member):
        assert mint(subject, text.encode()).status in {413, 422}


@given(values)
def test_any_features(subject: Subject, features: Any) -> None:
    answer = exchange(subject, "x.y.z", features=features)

    assert answer.code == "invalid-payload"


@given(st.lists(texts | st.text("ABCxyz019-_=."), max_size=5))
def test_any_segments(subject: Subject, segments: list[str]) -> None:
    assert exchange(subject, ".".join(segments)).code == "invalid-payload"


headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "HS256", "none", "None", "ES256", "PS256"]) | values,
        "kid": st.sampled_from(["key-1", "../key-1", "", "k" * 300]) | values,
        "typ": st.sampled_from(["JWT", "at+jwt", "jwt"]) | values,
        "jku": texts,
        "jwk": values,
        "x5u": texts,
        "crit": values,
        "b64": values,
        "zip": values,
        "cty": values,
    },
)


@given(headers, st.binary(max_size=20))
def test_any_header_of_a_token_that_is_not_signed(
    subject: Subject, header: dict[str, Any], signature: bytes
) -> None:
    token = f"{segment(header)}.{segment(github_claims())}.{segment(signature)}"

    assert exchange(subject, token).status == 422


def test_any_depth_of_a_header(subject: Subject) -> None:
    """Our parser and PyJWT's stand on different depths of the stack."""
    for depth in range(700, 1000):
        deep = "[" * depth + "]" * depth
        header = f'{{"kid":"key-1","alg":"RS256","x":{deep}}}'.encode()
        token = f"{segment(header)}.{segment(github_claims())}.{segment(b'x')}"
        assert exchange(subject, token).status == 422


@given(headers)
def test_any_header_of_a_token_that_is_signed(subject: Subject, header: dict[str, Any]) -> None:
    safe = {name: value for name, value in header.items() if name not in {"b64", "alg"}}
    try:
        token = subject.issuer.sign(github_claims(), header=safe)
    except jwt.PyJWTError:
        return  # PyJWT does not write it; the test above does

    assert exchange(subject, token).status in {200, 422}


@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_payload(subject: Subject, payload: bytes) -> None:
    token = f"{segment({'alg': 'RS256', 'kid': 'key-1'})}.{segment(payload)}.eHh4"

    assert exchange(subject, token).code == "invalid-payload"


@pytest.mark.parametrize("claim", list(github_claims()))
def test_any_hostile_value_of_a_claim(subject: Subject, claim: str) -> None:
    for value in HOSTILE:
        token = subject.issuer.token(NOW, **{claim: value})
        answer, reading = exchange(subject, token), exchange_to_read(subject, token)

        assert {answer.status, reading.status} <= {200, 422}
        if claim in {"iss", "aud", "repository_owner", "repository_owner_id", "exp"}:
            assert reading.status == 422
        if claim in {"iss", "aud", "repository", "repository_owner_id", "job_workflow_ref", "exp"}:
            assert answer.status == 422


@given(st.dictionaries(st.sampled_from(list(github_claims())) | texts, values, max_size=3))
def test_any_values_of_signed_claims(subject: Subject, changes: dict[str, Any]) -> None:
    token = subject.issuer.sign({**github_claims(), **changes})

    assert exchange(subject, token).status in {200, 422}
    assert exchange_to_read(subject, token).status in {200, 422}


@given(
    texts,
    st.sampled_from(["burn-token", "audience", "discover", "github/mint-token", "mint-read-token"]),
)
def test_any_other_endpoint(subject: Subject, token: str, endpoint: str) -> None:
    body = json.dumps({"token": token}).encode()
    answer = subject.send("broker", event("POST", f"/acme/_/oidc/{endpoint}", body))

    assert answer.status in {202, 405, 422}


@given(st.binary(max_size=200), texts, texts)
def test_any_disclosure(subject: Subject, body: bytes, key_id: str, signature: str) -> None:
    signed = {
        "github-public-key-identifier": key_id,
        "github-public-key-signature": signature,
    }
    answer = subject.send("broker", event("POST", "/_/secrets/disclose-token", body, signed))

    assert 400 <= answer.status < 500
