"""Refusals of `verify` itself, even if no earlier check has run."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pytp_broker.errors import InvalidToken
from pytp_broker.oidc.identity import verify
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.oidc.unverified import read_unverified
from pytp_broker.registries import Issuer as AllowedIssuer
from tests.support.signing import GITHUB, NOW, Issuer, ec_key, github_claims, rsa_key

RSA_KEY = VerificationKey(rsa_key("key-1").public_key(), ("RS256",))


def verified(token: str, key: VerificationKey = RSA_KEY, url: str = GITHUB) -> SignedClaims:
    return verify(
        read_unverified(token), key, AllowedIssuer(url, "github", ("RS256",)), "acme", NOW
    )


def test_the_claims_are_those_that_were_signed() -> None:
    claims = github_claims()

    assert verified(Issuer().sign(claims)).claims == claims


def test_a_token_names_the_issuer_whose_key_verifies_it() -> None:
    with pytest.raises(InvalidToken, match="from another issuer"):
        verified(Issuer().token(), url="https://token.example.com")


def test_a_key_verifies_only_with_its_own_algorithms() -> None:
    other = VerificationKey(RSA_KEY.public_key, ("RS512",))

    with pytest.raises(InvalidToken, match="an algorithm that its issuer does not use"):
        verified(Issuer().token(), other)


def test_a_key_of_another_curve_verifies_nothing() -> None:
    token = Issuer().sign(github_claims(), key=ec_key("key-1"), algorithm="ES256")
    other = VerificationKey(ec.generate_private_key(ec.SECP384R1()).public_key(), ("ES256",))

    with pytest.raises(InvalidToken, match=r"does not verify \(InvalidKeyError\)"):
        verified(token, other)
