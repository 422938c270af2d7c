"""Verify an identity token and return its signed claims.

``oidc.signatures`` verifies the signature, with an algorithm that the issuer's key allows.
``oidc.unverified`` has checked the form before, and ``oidc.registered_claims`` checks issuer,
audience, names and times.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from pytp_broker.errors import InvalidToken
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.registered_claims import (
    check_audience,
    check_issuer,
    check_names,
    check_required,
    read_lifetime,
)
from pytp_broker.oidc.signatures import InvalidKeyError, check_signature
from pytp_broker.oidc.signed_claims import PLAIN, SignedClaims, TokenForm
from pytp_broker.oidc.unverified import UnverifiedToken
from pytp_broker.registries import Issuer

# RFC 8725 §3.11: an access token (at+jwt) or a logout token is not an identity token.
_TYPES: Final = ("JWT", "jwt")


def verify(  # noqa: PLR0913 - the five things that a token must agree with
    unverified: UnverifiedToken,
    key: VerificationKey,
    issuer: Issuer,
    audience: str,
    now: datetime,
    *,
    form: TokenForm = PLAIN,
) -> SignedClaims:
    """Return the claims if the issuer signed them for this audience and this time.

    Raises InvalidToken.
    """
    _verify_signature(unverified, key)
    claims = unverified.unverified_claims  # from here on, signed
    check_required(claims)
    check_issuer(claims, issuer)
    check_audience(claims, audience, form)
    _check_type(unverified.unverified_header)
    check_names(claims)
    expires_at = read_lifetime(claims, now, form)
    token_id = token_id_of(claims, unverified.signing_input)
    signed = SignedClaims(issuer.url, token_id, expires_at, claims)
    signed.check_unexpired(now)
    return signed


def _verify_signature(unverified: UnverifiedToken, key: VerificationKey) -> None:
    """Raise InvalidToken unless the key has signed what ``unverified`` says.

    The key says which algorithms it may verify. The header only chooses among them, so neither
    `none` nor an algorithm with a shared secret is ever tried (RFC 8725 §3.1).
    """
    name = unverified.unverified_header.get("alg")
    if name not in key.algorithms:
        raise InvalidToken(
            "the identity token is signed with an algorithm that its issuer does not use"
        )
    try:
        check_signature(name, key.public_key, unverified.signing_input, unverified.signature)
    except InvalidKeyError:  # the key is on the curve of another algorithm
        raise InvalidToken("the identity token does not verify (InvalidKeyError)") from None
    except InvalidSignature:
        raise InvalidToken(
            "the identity token has a signature that is not from the key that its `kid` names"
        ) from None


def _check_type(header: Mapping[str, Any]) -> None:
    if header.get("typ", "JWT") not in _TYPES:
        raise InvalidToken("the identity token's `typ` is not JWT")


def token_id_of(claims: Mapping[str, Any], signing_input: bytes) -> str:
    """Return the name of an identity token among those of all issuers: 32 hex digits."""
    # If the issuer gives a `jti`, the token's name depends on it and not on the bytes, because
    # padding and the like make other bytes of the same token. Without one, the signature covers the
    # bytes.
    token_id = claims.get("jti")
    name = f"jws:{signing_input.decode()}" if token_id is None else f"jti:{token_id}"
    return hashlib.sha256(f"{claims['iss']}\n{name}".encode()).hexdigest()[:32]
