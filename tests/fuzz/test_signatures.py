"""Keys and signatures of every kind, beside PyJWT: the two must agree on each."""

import base64
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from pytp_broker.oidc.jwks import ASYMMETRIC_ALGORITHMS
from pytp_broker.oidc.signatures import (
    InvalidKeyError,
    check_signature,
    read_ec,
    read_okp,
    read_rsa,
)
from tests.support.signing import rsa_key

READERS: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "RSA": (read_rsa, RSAAlgorithm.from_jwk, ("n", "e")),
    "EC": (read_ec, ECAlgorithm.from_jwk, ("crv", "x", "y")),
    "OKP": (read_okp, OKPAlgorithm.from_jwk, ("crv", "x")),
}
MALFORMED = (jwt.PyJWTError, ValueError, TypeError, KeyError)

PRIVATE: dict[str, Any] = {
    "RSA 2048": rsa_key("key-1"),
    "RSA 3072": rsa.generate_private_key(65537, 3072),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
}


def as_jwk(private: Any) -> dict[str, Any]:
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    writer: Any = next((w for k, w in kinds.items() if isinstance(private, k)), OKPAlgorithm)
    found: dict[str, Any] = writer.to_jwk(private.public_key(), as_dict=True)
    return found


JWKS = [as_jwk(private) for private in PRIVATE.values()]

numbers = st.binary(max_size=70).map(lambda octets: base64.urlsafe_b64encode(octets).decode())
anything = (
    st.none() | st.integers() | st.lists(st.text(max_size=2), max_size=2) | st.text(max_size=90)
)
curves = st.sampled_from(["P-256", "P-384", "P-521", "secp256k1", "Ed25519", "Ed448", "P-255"])


@st.composite
def members(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Return a kind and members of a key: a good one's, of which some were changed."""
    jwk = dict(draw(st.sampled_from(JWKS)))
    kind = draw(st.sampled_from([jwk["kty"]] * 3 + [*READERS]))
    for name in READERS[kind][2]:
        change = draw(st.sampled_from(["keep"] * 4 + ["drop", "number", "anything", "edit"]))
        if change == "drop":
            jwk.pop(name, None)
        elif change == "number":
            jwk[name] = draw(curves if name == "crv" else numbers)
        elif change == "anything":
            jwk[name] = draw(anything)
        elif change == "edit":
            text = str(jwk.get(name, ""))
            at = draw(st.integers(0, len(text)))
            jwk[name] = text[:at] + draw(st.text("=+/-_ \nAé", max_size=3)) + text[at + 1 :]
    return kind, {name: jwk[name] for name in READERS[kind][2] if name in jwk}


@given(members())
def test_a_key_is_read_as_pyjwt_reads_it(given_key: tuple[str, dict[str, Any]]) -> None:
    kind, found = given_key
    ours, theirs, _ = READERS[kind]
    try:
        expected = theirs({"kty": kind, **found})
    except MALFORMED:
        with pytest.raises((ValueError, TypeError, KeyError)):
            ours(found)
    else:
        assert ours(found) == expected


@st.composite
def signed(draw: st.DrawFn) -> tuple[str, Any, bytes, bytes]:
    """Return an algorithm, a key, a message and a signature: often a good one."""
    name, private = draw(st.sampled_from([*PRIVATE.items()]))
    algorithm = draw(st.sampled_from(ASYMMETRIC_ALGORITHMS))
    message = draw(st.binary(max_size=20))
    signature = draw(st.binary(max_size=150) | st.just(b"\0" * 64) | st.just(b""))
    if draw(st.booleans()):
        signature = _sign(algorithm, private, message) or signature
    if draw(st.booleans()):
        at = draw(st.integers(0, len(signature)))
        signature = signature[:at] + draw(st.binary(max_size=2)) + signature[at + 1 :]
    other = draw(st.sampled_from([name] * 4 + [*PRIVATE]))
    return algorithm, PRIVATE[other].public_key(), message, signature


def _sign(algorithm: str, private: Any, message: bytes) -> bytes:
    """Return a good signature, or nothing where the algorithm does not take the key."""
    theirs = jwt.get_algorithm_by_name(algorithm)
    try:
        octets: bytes = theirs.sign(message, theirs.prepare_key(private))
    except (jwt.PyJWTError, TypeError):
        return b""
    return octets


@given(signed())
def test_a_signature_verifies_where_it_does_with_pyjwt(
    case: tuple[str, Any, bytes, bytes],
) -> None:
    algorithm, key, message, signature = case
    theirs = jwt.get_algorithm_by_name(algorithm)
    try:
        is_good = theirs.verify(message, theirs.prepare_key(key), signature)
    except (jwt.PyJWTError, TypeError):
        with pytest.raises(InvalidKeyError):
            check_signature(algorithm, key, message, signature)
        return
    if is_good:
        check_signature(algorithm, key, message, signature)
    else:
        with pytest.raises(InvalidSignature):
            check_signature(algorithm, key, message, signature)


@pytest.mark.parametrize("algorithm", ASYMMETRIC_ALGORITHMS)
def test_each_algorithm_verifies_what_pyjwt_signs(algorithm: str) -> None:
    good = [
        (private, signature)
        for private in PRIVATE.values()
        if (signature := _sign(algorithm, private, b"message"))
    ]

    assert good
    for private, signature in good:
        check_signature(algorithm, private.public_key(), b"message", signature)
        for wrong in (signature[:-1], signature + b"\0", b"\0" * len(signature)):
            with pytest.raises(InvalidSignature):
                check_signature(algorithm, private.public_key(), b"message", wrong)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256K", "RS1", "", "Ed25519"])
def test_no_other_algorithm_takes_a_key(algorithm: str) -> None:
    for private in PRIVATE.values():
        with pytest.raises(InvalidKeyError):
            check_signature(algorithm, private.public_key(), b"message", b"signature")
