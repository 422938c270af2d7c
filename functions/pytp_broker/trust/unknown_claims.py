"""Find claims that this version does not know: a provider has begun to sign something new.

Such a claim may be worth a rule, so an operator sees it in ``explain``. The exchange ignores it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers.model import Provider

# What ``oidc.registered_claims`` checks in the tokens of every provider.
_VERIFIED: Final = ("iss", "aud", "exp", "iat", "nbf", "jti")
_INSIDE: Final = ">"


def find_unknown(claims: SignedClaims, provider: Provider) -> list[str]:
    """Return the names of the claims that are neither compared, recorded nor left unchecked.

    A generic issuer's claims are its own, so none of them is unknown.
    """
    if provider.is_generic:
        return []
    return list(_find_unknown(claims.claims, known_claims(provider)))


def known_claims(provider: Provider) -> frozenset[str]:
    """Return the claims that the provider's entry names, and those of every token.

    A name that ends with ``*`` stands for every claim that begins like it, and an object's name for
    all that is inside.
    """
    return frozenset(
        (
            *_VERIFIED,
            *(claim for field in provider.fields for claim in field.claims),
            *(rule.claim for rule in provider.jobs),
            *(*provider.required_claims, *provider.publishing_claims, *provider.present_claims),
            *(f.claim for wider in provider.wider for f in (*wider.fields, *wider.pins)),
            *(*provider.constants, *provider.agreements),
            *(*provider.same_claims.keys(), *provider.same_claims.values()),
            *(*provider.recorded.values(), *provider.unchecked_claims),
        )
    )


def _find_unknown(
    members: Mapping[str, Any], known: frozenset[str], outer: str = ""
) -> Iterator[str]:
    for name, value in members.items():
        path = outer + name
        if _is_known(path, known):
            continue
        inside = path + _INSIDE
        if isinstance(value, Mapping) and any(claim.startswith(inside) for claim in known):
            yield from _find_unknown(value, known, inside)
        else:
            yield path


def _is_known(path: str, known: frozenset[str]) -> bool:
    prefixes = (claim.removesuffix("*") for claim in known if claim.endswith("*"))
    return path in known or path.startswith(tuple(prefixes))
