"""Check the registered claims of a token (RFC 7519 §4.1), once its signature is verified.

These checks are ours, because a library would take the token apart a second time. We compared them
with those of PyJWT 2.15:

- A claim that PyJWT refuses is refused here. One time is the exception: PyJWT cuts off the fraction
  of ``exp`` before it compares, and refuses a token up to a second earlier.
- We refuse more. A time is a JSON number, never a boolean or a string of digits. ``aud`` is one
  audience, and a list of it only where the provider signs lists. ``iat`` is required, a lifetime
  has a limit, and ``jti`` a length.

``tests/fuzz/test_claims.py`` compares both with thousands of tokens.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pytp_broker.errors import InvalidToken
from pytp_broker.http import paths
from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS, TokenForm
from pytp_broker.redaction import printable
from pytp_broker.registries import Issuer

MAX_TOKEN_ID_CHARACTERS: Final = 1024

# Above any date, and low enough for a float to hold microseconds.
_END_OF_TIME: Final = 1 << 33

# Without these, a token would be good for every audience, or never end. Every token has an issuer.
_REQUIRED: Final = ("aud", "iat", "exp")


def check_required(claims: Mapping[str, Any]) -> None:
    """Raise InvalidToken unless the token has the claims that RFC 7519 §4.1 makes optional."""
    for name in _REQUIRED:
        if claims.get(name) is None:
            raise InvalidToken(f"the identity token has no `{name}`")


def check_issuer(claims: Mapping[str, Any], issuer: Issuer) -> None:
    """Raise InvalidToken unless ``iss`` is the issuer, character by character (RFC 7519 §4.1.1)."""
    # The key is this issuer's. We compare again, because a mistake in finding the key would
    # otherwise let one issuer sign for another.
    if claims["iss"] != issuer.url:
        raise InvalidToken("the identity token is from another issuer")


def check_audience(claims: Mapping[str, Any], audience: str, form: TokenForm) -> None:
    """Raise InvalidToken unless the token is for this audience and no other (RFC 7519 §4.1.3)."""
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


def check_names(claims: Mapping[str, Any]) -> None:
    """Check that `sub` and `jti` are texts, if they are present (RFC 7519 §4.1.2 and §4.1.7).

    Raises InvalidToken.
    """
    for name in ("sub", "jti"):
        if name in claims and not isinstance(claims[name], str):
            raise InvalidToken(f"the identity token's `{name}` must be a string")
    if "jti" in claims and not 0 < len(claims["jti"]) <= MAX_TOKEN_ID_CHARACTERS:
        raise InvalidToken("the identity token's `jti` must have 1 to 1024 characters")


def read_lifetime(claims: Mapping[str, Any], now: datetime, form: TokenForm) -> datetime:
    """Return when the token ends (RFC 7519 §4.1.4 to §4.1.6).

    Raises InvalidToken unless its life is short and has begun. ``SignedClaims.check_unexpired``
    checks that it has not ended, several times in an exchange.
    """
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
