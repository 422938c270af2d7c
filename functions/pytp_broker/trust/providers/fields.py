"""Fields that several providers share, and patterns for what a field's text must look like."""

import re
from collections.abc import Callable
from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.comparisons import is_exact
from pytp_broker.trust.providers.model import Advise, Field

DIGITS: Final = r"[0-9]{1,32}"
ID: Final = r"[A-Za-z0-9._-]{1,64}"
SLUG: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
UUID: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def choice_field(  # noqa: PLR0913 - what distinguishes one such field from another
    name: str,
    claim: str,
    choices: tuple[str, ...],
    *,
    example: str,
    any_of: bool = False,
    advise: Advise | None = None,
) -> Field:
    """Return a field whose text is one of ``choices``."""
    pattern = "|".join(map(re.escape, choices))
    return Field(
        name,
        claim,
        any_of=any_of,
        pattern=pattern,
        example=example,
        choices=choices,
        advise=advise,
    )


def switch_field(name: str) -> Field:
    """Return a field for a claim of the same name that is signed as a text, not as a boolean."""
    return choice_field(name, name, ("true", "false"), example="true")


def runner_field(hosted: str) -> Field:
    """Return the field that says whose machine runs the job: the provider's, or another's."""
    name = "runner_environment"
    choices = (hosted, "self-hosted")
    return choice_field(name, name, choices, example=hosted, advise=_advise_runner)


def environment_field(pattern: str, compare: Callable[[str, str], bool] = is_exact) -> Field:
    """Return the field that names the environment in which the job runs."""
    name = "environment"
    return Field(
        name, name, compare=compare, pattern=pattern, example="release", advise=_advise_environment
    )


def _advise_runner(expected: str, _seen: str | None, _claims: SignedClaims) -> str:
    return f"run the job on a `{expected}` runner"


def _advise_environment(expected: str, seen: str | None, _claims: SignedClaims) -> str:
    if seen is None:
        return f"the job ran without an environment: add `environment: {expected}` to the job"
    return f"run the job in the environment `{expected}`"
