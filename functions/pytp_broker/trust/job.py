"""The CI job that asks for a token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pytp_broker.grants import Permission
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.redaction import Legible, printable
from pytp_broker.trust.providers.model import Provider


@dataclass(frozen=True, slots=True)
class Job:
    """A CI job: its signed claims, its provider, and what we record of the claims.

    ``permission`` is what the job asks for, and ``provider`` is the entry for those who may have
    it. ``identity`` holds the claims that will tell who published: short, printable, under our own
    names.
    """

    claims: SignedClaims
    provider: Provider
    identity: Mapping[str, Legible]
    permission: Permission

    @classmethod
    def of(
        cls, claims: SignedClaims, provider: Provider, permission: Permission = Permission.UPLOAD
    ) -> Self:
        """Return the job that these claims of the provider describe."""
        seen = {name: claims.text(claim) for name, claim in provider.recorded.items()}
        shown = {name: printable(text) for name, text in seen.items() if text is not None}
        return cls(claims, provider, shown, permission)
