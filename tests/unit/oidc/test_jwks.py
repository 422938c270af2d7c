"""Keys that an issuer publishes, through the exchange: which of them verify a token."""

import hmac
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey

from tests.support.markers import of_row
from tests.support.signing import ec_key, github_claims, public_jwk, rsa_key, segment, sign_segments
from tests.support.world import World, assert_refused

GOOD = public_jwk(rsa_key("key-1"), "key-1")
OTHER = public_jwk(rsa_key("other"), "other")


@pytest.mark.row("A002")
def test_without_a_key_a_token_without_a_signature_is_not_verified(world: World) -> None:
    world.issuer.serve([])

    token = f"{segment({'alg': 'none', 'kid': 'key-1'})}.{segment(github_claims())}."

    assert_refused(world, token, "issuer-unavailable")


@pytest.mark.row("A007")
def test_a_symmetric_key_verifies_nothing(world: World) -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    world.issuer.serve(
        [{"kty": "oct", "kid": "shared", "alg": "HS256", "k": segment(secret)}, GOOD]
    )
    signed = f"{segment({'alg': 'HS256', 'kid': 'shared'})}.{segment(github_claims())}"
    signature = hmac.digest(secret, signed.encode(), "sha256")

    assert_refused(world, f"{signed}.{segment(signature)}")
    assert world.reasons == ["unusable-key"]


@pytest.mark.parametrize(
    "bad",
    [
        *of_row(
            "A008",
            {"kty": "RSA", "kid": "bad", "e": "AQAB"},
            {"kty": "lattice", "kid": "bad"},
            {**OTHER, "kid": "bad", "e": "AQ"},
        ),
        {"kty": "oct", "kid": "bad", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "bad", "n": "AQAB", "e": "AQ"},
        {"kty": "RSA", "kid": "bad", "n": 5, "e": "AQAB"},
        {"kty": "EC", "kid": "bad", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "nonsense", "kid": "bad"},
        {"kty": ["RSA"], "kid": "bad"},
        {"kty": {}, "kid": "bad"},
        {"kid": "bad"},
    ],
)
def test_a_bad_key_does_not_spoil_the_good_one_beside_it(world: World, bad: dict[str, Any]) -> None:
    world.issuer.serve([bad, GOOD, bad])

    assert world.mint(world.token()).status == 200


def test_a_key_of_an_algorithm_that_the_library_lacks_does_not_spoil_the_good_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build of OpenSSL may have no Ed448, or none of the curve secp256k1."""

    def refuse(*_: object) -> None:
        raise UnsupportedAlgorithm("ed448 is not supported")

    monkeypatch.setattr(Ed448PublicKey, "from_public_bytes", refuse)
    bad = {"kty": "OKP", "kid": "bad", "crv": "Ed448", "x": segment(bytes(57))}
    world.issuer.serve([bad, GOOD])

    assert world.mint(world.token()).status == 200

    assert world.reasons == ["unusable-key"]


@pytest.mark.parametrize("bad", [{"kty": "RSA"}, {"kty": "RSA", "kid": 5}])
def test_a_key_without_an_id_is_passed_over(world: World, bad: dict[str, Any]) -> None:
    world.issuer.serve([bad, GOOD, bad])

    assert world.mint(world.token()).status == 200
    assert world.reasons == []


@pytest.mark.promise("weak-key")
@pytest.mark.parametrize(
    "members",
    [
        *of_row("A010", {"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": []}),
        {"key_ops": "verify"},
        {"alg": "RS512"},
        {"alg": "none"},
        {"alg": 5},
    ],
)
def test_a_key_for_another_purpose_verifies_nothing(world: World, members: dict[str, Any]) -> None:
    world.issuer.serve([{**GOOD, **members}, OTHER])

    assert_refused(world, world.token())


@pytest.mark.parametrize("members", [{}, {"key_ops": ["verify"]}, {"alg": "RS256"}])
def test_a_signing_key_verifies(world: World, members: dict[str, Any]) -> None:
    world.issuer.serve([{**GOOD, **members}])

    assert world.mint(world.token()).status == 200


@pytest.mark.promise("weak-key")
@pytest.mark.row("A011")
@pytest.mark.parametrize("bits", [1024, 2040])
def test_a_short_rsa_key_verifies_nothing(world: World, bits: int) -> None:
    short = rsa_key("short", bits)
    world.issuer.serve([public_jwk(short, "short"), GOOD])
    header = segment({"alg": "RS256", "kid": "short"})

    assert_refused(world, sign_segments(header, segment(github_claims()), short))
    assert world.reasons == ["unusable-key"]


@pytest.mark.promise("weak-key")
@pytest.mark.row("A009")
def test_two_different_keys_with_one_id_verify_nothing(world: World) -> None:
    keys = [public_jwk(rsa_key(name), "key-1") for name in ("key-1", "other", "key-1")]
    world.issuer.serve([*keys, public_jwk(rsa_key("third"), "third")])

    for signer in ("key-1", "other"):
        assert_refused(world, world.issuer.sign(github_claims(), key=rsa_key(signer)))
    assert world.reasons == ["duplicate-key-id"]


def test_the_same_key_twice_verifies(world: World) -> None:
    world.issuer.serve([GOOD, dict(GOOD)])

    assert world.mint(world.token()).status == 200


@pytest.mark.parametrize(
    "bad",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "e": "AQAB"},
        public_jwk(rsa_key("weak", 1024), "key-1"),
        public_jwk(rsa_key("other"), "key-1", use="enc"),
        public_jwk(rsa_key("other"), "key-1", alg="RS512"),
    ],
    ids=["symmetric", "malformed", "weak", "encryption", "algorithm"],
)
def test_a_key_of_no_use_does_not_spoil_a_good_one_of_its_id(
    world: World, bad: dict[str, Any]
) -> None:
    world.issuer.serve([{**bad, "kid": "key-1"}, GOOD])

    assert world.mint(world.token()).status == 200
    assert_refused(world, world.issuer.sign(github_claims(), key=rsa_key("other")))


def test_the_same_key_said_in_two_ways_verifies(world: World) -> None:
    world.issuer.serve([GOOD, {**GOOD, "use": "sig", "alg": "RS256"}])

    assert world.mint(world.token()).status == 200


def test_what_is_no_key_at_all_does_not_use_up_the_limit(world: World) -> None:
    nothing: list[Any] = [None] * 200
    world.issuer.serve([*nothing, GOOD])

    assert world.mint(world.token()).status == 200


def test_an_elliptic_curve_key_is_no_key_for_an_rsa_issuer(world: World) -> None:
    world.issuer.serve([public_jwk(ec_key("ec"), "key-1")])
    token = world.issuer.sign(github_claims(), key=ec_key("ec"), algorithm="ES256")

    assert world.mint(token).status in {422, 503}
