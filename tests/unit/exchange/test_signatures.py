"""Signatures of identity tokens: only the issuer's key and algorithm verify one."""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.markers import of_row
from tests.support.signing import (
    ABSENT,
    github_claims,
    public_jwk,
    rsa_key,
    segment,
    sign_raw,
    sign_segments,
)
from tests.support.world import World, assert_refused


def public_key(encoding: Encoding, key: str = "key-1") -> bytes:
    found = rsa_key(key).public_key()
    return found.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def test_a_token_that_a_test_signs_by_itself_is_good(world: World) -> None:
    assert world.mint(sign_raw()).status == 200


@pytest.mark.promise("signed")
def test_a_token_signed_by_another_key_is_refused(world: World) -> None:
    token = world.issuer.sign(github_claims(), key=rsa_key("stranger"))

    assert_refused(world, token)


def test_a_changed_payload_is_refused(world: World) -> None:
    header, _, signature = world.token().split(".")
    payload = world.token(repository="evil/widgets").split(".")[1]

    assert_refused(world, f"{header}.{payload}.{signature}")


def test_an_empty_signature_is_refused(world: World) -> None:
    header, payload, _ = world.token().split(".")

    assert_refused(world, f"{header}.{payload}.")


@pytest.mark.promise("signed")
@pytest.mark.row("A005")
@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_an_algorithm_outside_the_issuers_list_is_refused(world: World, algorithm: str) -> None:
    assert_refused(world, world.issuer.sign(github_claims(), algorithm=algorithm))
    assert_refused(world, sign_raw(alg=algorithm))


@pytest.mark.promise("signed")
@pytest.mark.parametrize(
    "algorithm",
    [
        *of_row("A001", "none"),
        *of_row("A003", "nOnE", "NONE", "none ", "", None, ["none"], ["RS256"], {}),
        "HS256",
    ],
)
def test_a_header_cannot_choose_no_signature(world: World, algorithm: object) -> None:
    _, payload, signature = world.token().split(".")
    header = segment({"alg": algorithm, "typ": "JWT", "kid": "key-1"})

    for last in ("", signature):
        assert_refused(world, f"{header}.{payload}.{last}")
    assert_refused(world, sign_raw(alg=algorithm))


@pytest.mark.row("A004")
@pytest.mark.parametrize("form", ["PEM", "DER", "JWK"])
def test_the_public_key_is_no_shared_secret(world: World, form: str) -> None:
    secret = {
        "PEM": public_key(Encoding.PEM),
        "DER": public_key(Encoding.DER),
        "JWK": json.dumps(public_jwk(rsa_key("key-1"), "key-1")).encode(),
    }[form]
    signed = f"{segment({'alg': 'HS256', 'kid': 'key-1'})}.{segment(github_claims())}"
    signature = hmac.digest(secret, signed.encode(), "sha256")

    assert_refused(world, f"{signed}.{segment(signature)}")


@pytest.mark.row("A022")
@pytest.mark.parametrize("member", ["jwk", "x5c", "jku", "x5u"])
def test_a_key_that_the_token_brings_along_is_not_used(world: World, member: str) -> None:
    brought: Any = {
        "jwk": public_jwk(rsa_key("attacker"), "key-1"),
        "x5c": [base64.b64encode(public_key(Encoding.PEM, "attacker")).decode()],
    }.get(member, "https://evil.example/jwks")
    header = segment({"alg": "RS256", "kid": "key-1", member: brought})

    assert_refused(world, sign_segments(header, segment(github_claims()), rsa_key("attacker")))
    assert set(world.issuer.fetched) == {world.issuer.discovery_url, world.issuer.jwks_url}


@pytest.mark.parametrize(
    "key_id",
    [*of_row("A024", ABSENT, None, "", 1, ["key-1"], {"kid": "key-1"}), 5, "k" * 300],
)
def test_a_header_without_a_key_id_is_refused(world: World, key_id: object) -> None:
    assert "`kid`" in assert_refused(world, sign_raw(kid=key_id), "invalid-payload").detail


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
