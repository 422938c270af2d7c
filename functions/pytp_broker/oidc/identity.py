"""Verify an identity token and return its signed claims; every check of the token is here.

PyJWT verifies the signature, the issuer and the audience. This module checks what PyJWT is lenient
about: repeated members, padding, times that are strings, unbounded lifetimes, the type of token,
unknown extensions, an empty token id.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from pytp_broker.errors import InvalidPayload, InvalidToken
from pytp_broker.http import paths
from pytp_broker.http.messages import decode_base64url
from pytp_broker.http.strict_json import parse_json_object
from pytp_broker.oidc.keysets import VerificationKey
from pytp_broker.redaction import Hidden, printable
from pytp_broker.registries import Issuer

MAX_IDENTITY_TOKEN_BYTES: Final = 16 * 1024
MAX_KEY_ID_CHARACTERS: Final = 256
MAX_TOKEN_ID_CHARACTERS: Final = 1024

# How far our clock and the issuer's may be apart. The record that stops a replay is kept beyond
# expiry for this time and a margin. If it were removed earlier, a token could be replayed inside
# its own leeway (TOB-PYPI26-1).
LEEWAY_SECONDS: Final = 30

# CI systems sign for minutes up to a job's time limit, which is hours; Microsoft Entra signs for a
# day and five minutes.
MAX_LIFETIME_SECONDS: Final = 25 * 3600
# Above any date, and low enough for a float to hold microseconds.
_END_OF_TIME: Final = 1 << 33

# RFC 8725 §3.11: an access token (at+jwt) or a logout token is not an identity token.
_TYPES: Final = ("JWT", "jwt")
# An identity token has neither of these headers. `cty` means another token inside it (RFC 7519
# §5.2). `b64` means a payload that is not base64url (RFC 7797), which PyJWT notices only with
# `crit`.
_FOREIGN_HEADERS: Final = ("cty", "b64")


_UNVERIFIED: Final[Mapping[type[jwt.PyJWTError], str]] = {
    jwt.InvalidAlgorithmError: "is signed with an algorithm that its issuer does not use",
    jwt.InvalidSignatureError: "has a signature that is not from the key that its `kid` names",
}


@dataclass(frozen=True, slots=True)
class TokenForm:
    """The form that the identity tokens of one kind of CI may have.

    ``may_list_audience`` takes a list of the one audience as well (RFC 7519 §4.1.3), for providers
    that sign one. A lifetime is from ``iat`` to ``exp``.
    """

    may_list_audience: bool = False
    max_lifetime_seconds: int = MAX_LIFETIME_SECONDS


PLAIN: Final = TokenForm()


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """An identity token whose signature nobody has checked yet."""

    text: Hidden
    unverified_issuer: str
    unverified_key_id: str

    def __repr__(self) -> str:
        return "<UnverifiedToken>"


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """Claims that the issuer has signed for this audience and this time.

    ``token_id`` names the identity token among those of all issuers: 32 hex digits.
    """

    issuer: str
    token_id: str
    expires_at: datetime
    claims: Mapping[str, Any]

    @property
    def last_use(self) -> datetime:
        """Return the last moment, by our own clock, at which the identity token may be used."""
        return self.expires_at + timedelta(seconds=LEEWAY_SECONDS)

    def check_unexpired(self, now: datetime) -> None:
        """Raise InvalidToken if the identity token may no longer be used."""
        if now >= self.last_use:
            raise InvalidToken("the identity token has expired: ask the CI for a new one")

    def text(self, claim: str) -> str | None:
        """Return a claim that is a non-empty string, else None; absent and null are the same.

        ``>`` reads inside an object: ``kubernetes.io>namespace``.
        """
        value = self.value(claim)
        return value if isinstance(value, str) and value else None

    def value(self, claim: str) -> object:
        """Return the claim's value of any type; ``>`` reads inside an object."""
        value: object = self.claims
        for name in claim.split(">"):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def read_unverified(text: str) -> UnverifiedToken:
    """Read issuer and key id from an identity token, checking its shape only.

    Raises InvalidPayload, or InvalidToken for a signature that cannot be one.
    """
    if len(text) > MAX_IDENTITY_TOKEN_BYTES:
        raise InvalidPayload("the identity token is longer than 16 KiB")
    header_segment, payload_segment, signature_segment = _segments(text)
    header = _parse_segment(header_segment, "header")
    payload = _parse_segment(payload_segment, "payload")
    _check_signature_shape(signature_segment)
    if "crit" in header:
        raise InvalidPayload("the identity token asks for an extension (`crit`); none is supported")
    for name in _FOREIGN_HEADERS:
        if name in header:
            raise InvalidPayload(f"the identity token's header has a `{name}`; none is supported")
    return UnverifiedToken(
        Hidden(text),
        unverified_issuer=_required_text(payload, "iss"),
        unverified_key_id=_required_text(header, "kid", MAX_KEY_ID_CHARACTERS),
    )


def _segments(text: str) -> tuple[str, str, str]:
    segments = text.split(".", 3)
    if len(segments) != 3 or not all(segments[:2]):  # noqa: PLR2004 - header, payload, signature
        raise InvalidPayload("malformed JWT: not three segments")
    if text != text.strip():
        raise InvalidPayload("malformed JWT: white space around the token")
    return segments[0], segments[1], segments[2]


def _check_signature_shape(segment: str) -> None:
    # PyJWT skips characters that are not base64url, so one token could be written in many ways.
    try:
        decode_base64url(segment)
    except ValueError:
        raise InvalidToken("the identity token's signature is not base64url") from None


def _parse_segment(segment: str, name: str) -> dict[str, Any]:
    try:
        return parse_json_object(decode_base64url(segment))
    except (ValueError, InvalidPayload):
        raise InvalidPayload(
            f"malformed JWT: its {name} is not base64url of a JSON object with unique members"
        ) from None


def _required_text(members: Mapping[str, Any], name: str, limit: int = 2048) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise InvalidPayload(f"malformed JWT: `{name}` must be a non-empty string")
    return value


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
    text = unverified.text.reveal()
    claims = _verify_signature(text, key, issuer, audience, form)
    check_names(claims)
    expires_at = _verify_lifetime(claims, now, form)
    signed = SignedClaims(issuer.url, _token_id(text, claims), expires_at, claims)
    signed.check_unexpired(now)
    return signed


def _verify_signature(
    text: str,
    key: VerificationKey,
    issuer: Issuer,
    audience: str,
    form: TokenForm,
) -> dict[str, Any]:
    # Every option is spelled out on purpose, also where it is the library's default. Times and
    # names are checked below: with our own clock, stricter types, and in our own words.
    try:
        decoded = jwt.decode_complete(
            text,
            key.public_key,
            algorithms=list(key.algorithms),
            issuer=issuer.url,
            audience=audience,
            options={
                "require": ["iss", "aud", "iat", "exp"],
                "verify_signature": True,
                "verify_iss": True,
                "verify_aud": True,
                "strict_aud": not form.may_list_audience,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.InvalidAudienceError:
        raise InvalidToken(_wrong_audience(text, audience)) from None
    except jwt.MissingRequiredClaimError as error:
        raise InvalidToken(f"the identity token has no `{error.claim}`") from None
    except jwt.PyJWTError as error:
        reason = _UNVERIFIED.get(type(error), f"does not verify ({type(error).__name__})")
        raise InvalidToken(f"the identity token {reason}") from None
    if decoded["header"].get("typ", "JWT") not in _TYPES:
        raise InvalidToken("the identity token's `typ` is not JWT")
    claims: dict[str, Any] = decoded["payload"]
    seen = claims["aud"]
    is_ours = seen == audience or (form.may_list_audience and seen == [audience])
    if claims["iss"] != issuer.url or not is_ours:
        raise InvalidToken("the identity token is for another issuer or audience")
    return claims


def check_names(claims: Mapping[str, Any]) -> None:
    """Check that `sub` and `jti` are texts, if they are present (RFC 7519 §4.1).

    Raises InvalidToken.
    """
    for name in ("sub", "jti"):
        if name in claims and not isinstance(claims[name], str):
            raise InvalidToken(f"the identity token's `{name}` must be a string")
    if "jti" in claims and not 0 < len(claims["jti"]) <= MAX_TOKEN_ID_CHARACTERS:
        raise InvalidToken("the identity token's `jti` must have 1 to 1024 characters")


def _wrong_audience(text: str, audience: str) -> str:
    seen = _parse_segment(_segments(text)[1], "payload").get("aud")
    shown = f"`{printable(seen)}`" if isinstance(seen, str) else "not a single string"
    return (
        f"the identity token's audience is {shown}, this endpoint's is `{printable(audience)}`: "
        f"request the audience from `{paths.AUDIENCE}` at the same host and prefix as the mint URL"
    )


def _verify_lifetime(claims: Mapping[str, Any], now: datetime, form: TokenForm) -> datetime:
    """Return when the token ends; raise InvalidToken unless its life is short and has begun."""
    issued_at, expires_at = _numeric_date(claims, "iat"), _numeric_date(claims, "exp")
    if not issued_at < expires_at <= issued_at + form.max_lifetime_seconds:
        hours = form.max_lifetime_seconds // 3600
        raise InvalidToken(f"the identity token's lifetime (`exp` - `iat`) is not within {hours} h")
    begins_at = max(issued_at, _numeric_date(claims, "nbf") if "nbf" in claims else 0)
    if now.timestamp() < begins_at - LEEWAY_SECONDS:
        raise InvalidToken("the identity token is not valid yet (`iat` or `nbf`)")
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


def _token_id(text: str, claims: Mapping[str, Any]) -> str:
    # If the issuer gives a `jti`, the token's name depends on it and not on the bytes, because
    # padding and the like make other bytes of the same token. Without one, the signature covers the
    # bytes.
    token_id = claims.get("jti")
    name = "jws:" + text.rpartition(".")[0] if token_id is None else "jti:" + token_id
    return hashlib.sha256(f"{claims['iss']}\n{name}".encode()).hexdigest()[:32]
