"""Verify an identity token and return its signed claims.

``oidc.signatures`` verifies the signature, with an algorithm that the issuer's configuration
allows. This module checks all the rest: issuer, audience, type of token, names and times.
``oidc.unverified`` has checked the form before.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from pytp_broker.errors import InvalidToken
from pytp_broker.http import paths
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.signatures import InvalidKeyError, check_signature
from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS, PLAIN, SignedClaims, TokenForm
from pytp_broker.oidc.unverified import UnverifiedToken
from pytp_broker.redaction import printable
from pytp_broker.registries import Issuer

MAX_TOKEN_ID_CHARACTERS: Final = 1024

# Above any date, and low enough for a float to hold microseconds.
_END_OF_TIME: Final = 1 << 33

# RFC 8725 §3.11: an access token (at+jwt) or a logout token is not an identity token.
_TYPES: Final = ("JWT", "jwt")
# Without these, a token would be good for every audience, or never end. Every token has an issuer.
_REQUIRED: Final = ("aud", "iat", "exp")


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
    _check_required(claims)
    _check_issuer(claims, issuer)
    _check_audience(claims, audience, form)
    _check_type(unverified.unverified_header)
    check_names(claims)
    expires_at = _verify_lifetime(claims, now, form)
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


def _check_required(claims: Mapping[str, Any]) -> None:
    for name in _REQUIRED:
        if claims.get(name) is None:
            raise InvalidToken(f"the identity token has no `{name}`")


def _check_issuer(claims: Mapping[str, Any], issuer: Issuer) -> None:
    # The key is this issuer's. We compare again, because a mistake in finding the key would
    # otherwise let one issuer sign for another.
    if claims["iss"] != issuer.url:
        raise InvalidToken("the identity token is from another issuer")


def _check_audience(claims: Mapping[str, Any], audience: str, form: TokenForm) -> None:
    """Raise InvalidToken unless the token is for this audience and for no other one."""
    seen = claims["aud"]
    if not seen:
        raise InvalidToken("the identity token has no `aud`")
    if seen == audience or (form.may_list_audience and seen == [audience]):
        return
    shown = f"`{printable(seen)}`" if isinstance(seen, str) else "not a single string"
    raise InvalidToken(
        f"the identity token's audience is {shown}, this endpoint's is `{printable(audience)}`: "
        f"request the audience from `{paths.AUDIENCE}` at the same host and prefix as the mint URL"
    )


def _check_type(header: Mapping[str, Any]) -> None:
    if header.get("typ", "JWT") not in _TYPES:
        raise InvalidToken("the identity token's `typ` is not JWT")


def check_names(claims: Mapping[str, Any]) -> None:
    """Check that `sub` and `jti` are texts, if they are present (RFC 7519 §4.1).

    Raises InvalidToken.
    """
    for name in ("sub", "jti"):
        if name in claims and not isinstance(claims[name], str):
            raise InvalidToken(f"the identity token's `{name}` must be a string")
    if "jti" in claims and not 0 < len(claims["jti"]) <= MAX_TOKEN_ID_CHARACTERS:
        raise InvalidToken("the identity token's `jti` must have 1 to 1024 characters")


def _verify_lifetime(claims: Mapping[str, Any], now: datetime, form: TokenForm) -> datetime:
    """Return when the token ends; raise InvalidToken unless its life is short and has begun."""
    issued_at, expires_at = _numeric_date(claims, "iat"), _numeric_date(claims, "exp")
    if not issued_at < expires_at <= issued_at + form.max_lifetime_seconds:
        hours = form.max_lifetime_seconds // 3600
        raise InvalidToken(
            f"the identity token's lifetime (`exp` - `iat`) must be above 0 and at most {hours} h"
        )
    begins_at = max(issued_at, _numeric_date(claims, "nbf") if "nbf" in claims else 0)
    if now.timestamp() < begins_at - LEEWAY_SECONDS:
        raise InvalidToken(
            "the identity token is not valid yet: its `iat` or `nbf` lies in the future"
        )
    return datetime.fromtimestamp(expires_at, UTC)


def _numeric_date(claims: Mapping[str, Any], name: str) -> float:
    # RFC 7519 §2: a JSON number, which may have a fraction; JetBrains and pyoidc sign such times.
    # A boolean is an `int` to Python, and `1e400` an infinity, which the upper bound refuses.
    value = claims[name]
    if type(value) not in {int, float} or not 0 <= value < _END_OF_TIME:
        raise InvalidToken(
            f"the identity token's `{name}` must be a number of seconds since 1970 (RFC 7519)"
        )
    return float(value)


def token_id_of(claims: Mapping[str, Any], signing_input: bytes) -> str:
    """Return the name of an identity token among those of all issuers: 32 hex digits."""
    # If the issuer gives a `jti`, the token's name depends on it and not on the bytes, because
    # padding and the like make other bytes of the same token. Without one, the signature covers the
    # bytes.
    token_id = claims.get("jti")
    name = f"jws:{signing_input.decode()}" if token_id is None else f"jti:{token_id}"
    return hashlib.sha256(f"{claims['iss']}\n{name}".encode()).hexdigest()[:32]
