"""What an identity token says, once its issuer's signature is verified.

``oidc.identity`` verifies. What only compares claims imports this, and no cryptography with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pytp_broker.errors import InvalidToken

# How far our clock and the issuer's may be apart. The record that stops a replay is kept beyond
# expiry for this time and a margin. If it were removed earlier, a token could be replayed inside
# its own leeway (TOB-PYPI26-1).
LEEWAY_SECONDS: Final = 30

# CI systems sign for minutes up to a job's time limit, which is hours; Microsoft Entra signs for a
# day and five minutes.
MAX_LIFETIME_SECONDS: Final = 25 * 3600


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
class SignedClaims:
    """Claims that the issuer has signed for this audience and this time.

    ``token_id`` names the identity token among those of all issuers: 32 hex digits.
    """

    issuer: str
    token_id: str
    expires_at: datetime
    claims: Mapping[str, Any]

    @property
    def issued_at(self) -> datetime:
        """Return when the issuer says that it signed the token."""
        return datetime.fromtimestamp(self.claims["iat"], UTC)

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
        if ">" not in claim:  # nearly all of them, and this is asked dozens of times in an exchange
            return self.claims.get(claim)
        value: object = self.claims
        for name in claim.split(">"):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value
