"""Public keys of a JSON Web Key Set, and the signatures that they verify (RFC 7518).

The arithmetic is that of cryptography. We do not use PyJWT, because it also imports what reads
X.509, OpenSSH and PEM, and an HTTP client; without it the broker function starts faster. What PyJWT
checks is checked here, and the tests compare each answer with PyJWT's:

- A key is made of the public members of a JWK alone. RSA numbers are integers of any length, which
  cryptography refuses if they cannot be a key. Each coordinate of an EC point has the length of its
  curve, and cryptography refuses a point that is not on the curve. An EdDSA key has the length of
  its kind.
- An algorithm takes keys of its own type, and ES256, ES384 and ES512 each take one curve (§3.4).
- An ECDSA signature is two integers, each with the length of the curve's order (§3.4).
- The salt of RSASSA-PSS is as long as the hash, which is also that of its mask (§3.5).
- base64url is read as PyJWT reads it: with or without padding, and what is not base64 is skipped.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256K1,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

_HASHES: Final[Mapping[str, HashAlgorithm]] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# The curve of each algorithm.
_ECDSA: Final[Mapping[str, type[EllipticCurve]]] = {
    "ES256": SECP256R1,
    "ES384": SECP384R1,
    "ES512": SECP521R1,
}
# We read a key on secp256k1, so that it is no fault of a key set, but no algorithm here takes it.
_CURVES: Final[Mapping[str, EllipticCurve]] = {
    "P-256": SECP256R1(),
    "P-384": SECP384R1(),
    "P-521": SECP521R1(),
    "secp256k1": SECP256K1(),
}
_EDWARDS: Final[Mapping[str, type[Ed25519PublicKey] | type[Ed448PublicKey]]] = {
    "Ed25519": Ed25519PublicKey,
    "Ed448": Ed448PublicKey,
}


class InvalidKeyError(Exception):
    """The key is of another type, or on another curve, than the algorithm takes."""


def read_rsa(members: Mapping[str, Any]) -> RSAPublicKey:
    """Return an RSA key (§6.3.1); raise ValueError, TypeError or KeyError."""
    exponent, modulus = (int.from_bytes(_decode(members[name])) for name in ("e", "n"))
    return RSAPublicNumbers(exponent, modulus).public_key()


def read_ec(members: Mapping[str, Any]) -> EllipticCurvePublicKey:
    """Return a key on an elliptic curve (§6.2.1); raise ValueError, TypeError or KeyError."""
    curve = _CURVES[members["crv"]]
    x, y = (_decode(members[name]) for name in ("x", "y"))
    if not len(x) == len(y) == _size_of(curve):
        raise ValueError("a coordinate has another length than the curve")
    return EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()


def read_okp(members: Mapping[str, Any]) -> Ed25519PublicKey | Ed448PublicKey:
    """Return an EdDSA key (RFC 8037 §2); raise ValueError, TypeError or KeyError."""
    return _EDWARDS[members["crv"]].from_public_bytes(_decode(members["x"]))


def check_signature(name: str, key: PublicKey, message: bytes, signature: bytes) -> None:
    """Raise InvalidSignature unless the key has signed the message with the algorithm.

    Raises InvalidKeyError if the algorithm does not take the key.
    """
    if isinstance(key, RSAPublicKey) and name in _RSA:
        _check_rsa(name, key, message, signature)
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, _ECDSA.get(name, ())):
        key.verify(_as_der(signature, key.curve), message, ECDSA(_HASHES[name[2:]]))
    elif isinstance(key, Ed25519PublicKey | Ed448PublicKey) and name == "EdDSA":
        key.verify(signature, message)
    else:
        raise InvalidKeyError(f"{name} does not take this key")


def _check_rsa(name: str, key: RSAPublicKey, message: bytes, signature: bytes) -> None:
    hashing = _HASHES[name[2:]]
    is_pss = name.startswith("PS")
    padding = PSS(MGF1(hashing), hashing.digest_size) if is_pss else PKCS1v15()
    key.verify(signature, message, padding, hashing)


def _as_der(signature: bytes, curve: EllipticCurve) -> bytes:
    """Return a signature as cryptography takes it; raise InvalidSignature for another length."""
    size = _size_of(curve)
    if len(signature) != 2 * size:
        raise InvalidSignature
    r, s = signature[:size], signature[size:]
    return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


def _size_of(curve: EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("not base64url")
    octets = text.encode()
    return base64.urlsafe_b64decode(octets + b"=" * (-len(octets) % 4))
