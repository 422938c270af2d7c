"""Check rules on claims: what they may compare, and that they say whose job it is."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from pytp_broker.config.values import Text
from pytp_broker.globs import is_open
from pytp_broker.trust.providers import PROVIDERS

# Claims that every token of an issuer has, or that any job can cause.
_COMMON_CLAIMS: Final = {
    *(claim for provider in PROVIDERS.values() for claim in provider.common_claims),
    *("iss", "aud", "azp", "exp", "iat", "nbf", "typ", "jti"),
    # https://openid.net/specs/openid-connect-core-1_0.html#IDToken: how somebody signed in.
    *("acr", "amr", "auth_time", "nonce", "locale", "zoneinfo"),
}
_SWITCH_VALUES: Final = frozenset({"true", "false", "yes", "no", "on", "off"})
# The last words of claims that say what kind of job it is, or which one of many, but not whose job
# it is.
_COMMON_WORDS: Final = frozenset(
    (
        *("action", "event", "kind", "level", "mode", "phase", "plan", "role", "scope", "source"),
        *("stage", "state", "status", "step", "tier", "trg", "trigger", "type", "workflow"),
        *("branch", "commit", "digest", "pr", "ref", "sha", "size", "tag", "ver", "version"),
        *("debug", "flag", "hosted", "private", "protected", "public", "verified", "visibility"),
        *("arch", "class", "confidentiality", "env", "environment", "image", "os", "platform"),
        *("attempt", "count", "date", "expires", "expiry", "number", "time", "timestamp"),
        *("aud", "audience", "exp", "iat", "iss", "issuer", "jti", "nbf"),
    )
)
# `branch_name` says no more than `branch`. The name of a role or a plan may belong to one owner
# alone.
_COMMON_NAMES: Final = frozenset(
    (
        *("branch", "env", "environment", "event", "os", "phase", "platform", "ref", "stage"),
        *("step", "tag", "tier", "trigger", "workflow"),
    )
)
# Jobs of many customers share these, so no claim about them says whose job it is.
_SHARED_MACHINES: Final = frozenset(
    (
        *("agent", "host", "hostname", "instance", "license", "machine"),
        *("node", "pool", "queue", "region", "runner", "zone"),
    )
)
_CLAIM_SEPARATORS: Final = re.compile(r"[>/:]")
_CLAIM_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def _check_claim_name(text: str) -> str:
    if not re.fullmatch(r"[!-~]{1,255}", text):
        raise ValueError("must be the name of a claim")
    return text


def _check_claim_rule(text: str) -> str:
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,255}", text):
        raise ValueError("must be 1 to 255 printable characters")
    if "**" in text or "?*" in text or not text.strip("*/:@#"):
        raise ValueError("must have other characters besides `*`, which stands for any text")
    return text


def _check_any_claim(claims: dict[str, str]) -> dict[str, str]:
    if not claims:
        raise ValueError("is an empty table: name at least one claim, or remove it")
    return claims


def _check_wildcards(claims: dict[str, str]) -> dict[str, str]:
    for name, rule in claims.items():
        if is_open(name, rule):
            raise ValueError(f"`{name}`: a `*` must follow one of / : @ #, or begin the text")
    return claims


def check_identifying(claims: dict[str, str]) -> dict[str, str]:
    """Check that at least one of the rules says whose job it is."""
    if not any(_is_identifying(name, rule) for name, rule in claims.items()):
        names = ", ".join(f"`{name}`" for name in claims) or "no claim"
        raise ValueError(
            f"needs a claim without `*` that says whose job it is, such as `sub`; here is {names}"
        )
    return claims


def _is_identifying(name: str, rule: str) -> bool:
    return "*" not in rule and rule.lower() not in _SWITCH_VALUES and not _is_common(name)


def _is_common(name: str) -> bool:
    """Say whether a stranger's job can have the same value in this claim."""
    if name in _COMMON_CLAIMS:
        return True
    *_, last = _CLAIM_SEPARATORS.split(name)
    words = [word.lower() for word in _CLAIM_WORDS.findall(last)] or [""]
    # A claim that begins with a repository, or a unique id, says whose job it is.
    if words[-1] in {"uuid", "uri"} or words[-2:] == ["workflow", "ref"]:
        return False
    if words[-1] == "name" and words[:-1] and words[-2] in _COMMON_NAMES:
        return True
    return words[-1] in _COMMON_WORDS or not _SHARED_MACHINES.isdisjoint(words)


# Blanks are kept: without them, two names could become one, and one rule would vanish.
ClaimName = Annotated[str, AfterValidator(_check_claim_name)]
ClaimRule = Annotated[Text, AfterValidator(_check_claim_rule)]
Claims = Annotated[
    dict[ClaimName, ClaimRule], AfterValidator(_check_any_claim), AfterValidator(_check_wildcards)
]
