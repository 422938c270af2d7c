"""Git refs: the fields that hold one, and how a ref of a pull request is told from others."""

import re
from typing import Final

from pytp_broker.globs import REF_GLOB
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers.fields import choice_field
from pytp_broker.trust.providers.model import Field

# A name that `git check-ref-format` accepts, or one with `*`. A rule for any other name would match
# nothing.
_REF_NAME: Final = r"(?!.*(//|\.\.|/\Z))[^\x00-\x20\x7f?\[\\~^]{1,250}"
GIT_REF: Final = rf"refs/{_REF_NAME}"
# Where the claim is the bare name of a branch or tag, `refs/heads/main` would never match.
_SHORT_REF: Final = rf"(?!refs/){_REF_NAME}"
_PULL_REQUEST_REF: Final = re.compile(r"refs/(pull|pull-requests|merge-requests)/.*", re.DOTALL)


def ref_field(name: str = "ref", claim: str = "ref", *, example: str = "refs/tags/v*") -> Field:
    """Return a field for a claim that holds a whole ref, such as ``refs/heads/main``."""
    return Field(
        name, claim, compare=REF_GLOB, pattern=GIT_REF, example=example, advise=_advise_ref
    )


def short_ref_field(name: str, claim: str, *, example: str) -> Field:
    """Return a field for a claim that holds the bare name of a branch or a tag."""
    return Field(
        name, claim, compare=REF_GLOB, pattern=_SHORT_REF, example=example, advise=_advise_ref
    )


def ref_type_field(*further: str) -> Field:
    """Return the field that says what a ref is: a branch, a tag, or one of ``further``."""
    return choice_field("ref_type", "ref_type", ("branch", "tag", *further), example="tag")


def _advise_ref(expected: str, _seen: str | None, _claims: SignedClaims) -> str:
    return f"publish from a ref like `{expected}`"


def is_pull_request_ref(ref: str) -> bool:
    """Say whether the ref is that of a pull request or a merge request."""
    return _PULL_REQUEST_REF.fullmatch(ref) is not None


def is_other_ref(ref: str) -> bool:
    """Say whether the ref is not that of a pull request or a merge request."""
    return not is_pull_request_ref(ref)
