"""ActiveState Platform: builds of a project that the platform publishes."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.comparisons import starts_with_segment
from pytp_broker.trust.providers.fields import ID, SLUG
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    Provider,
    Role,
    WiderIdentity,
)


def _is_subject(subject: str, claims: SignedClaims) -> bool:
    organization, project = claims.text("organization"), claims.text("project")
    return starts_with_segment(f"org:{organization}:project:{project}", subject)


_ORGANIZATION: Final = Field(
    "organization",
    "organization",
    Role.IDENTITY,
    required=True,
    pattern=SLUG,
    example="acme-org",
)

ACTIVESTATE: Final = Provider(
    name="activestate",
    title="ActiveState Platform",
    documentation_url="https://docs.pypi.org/trusted-publishers/adding-a-publisher/",
    fields=(
        _ORGANIZATION,
        Field(
            "project",
            "project",
            Role.IDENTITY,
            required=True,
            pattern=r"(?!.{41}|.*--)[A-Za-z0-9][A-Za-z0-9._-]+[A-Za-z0-9]",
            example="widgets",
        ),
        Field(
            "actor_id",
            "actor_id",
            Role.PIN,
            pattern=ID,
            example="00000000-0000-1000-8000-000000000002",
        ),
    ),
    issuer="https://platform.activestate.com/api/v1/oauth/oidc",
    issuer_forms=(IssuerForm.exactly("platform.activestate.com", "/api/v1/oauth/oidc"),),
    required_claims=("sub", "organization", "project", "actor_id"),
    constants={"builder": "pypi-publisher"},
    agreements={"sub": _is_subject},
    recorded={"repository": "project_path", "run": "artifact_id", "actor": "actor"},
    unchecked_claims=("ingredient", "project_id", "project_visibility"),
    wider=(
        WiderIdentity(
            (_ORGANIZATION,),
            (
                Field(
                    "organization_id",
                    "organization_id",
                    Role.PIN,
                    pattern=ID,
                    example="5e7c3f1a-0000-4000-8000-000000000004",
                ),
            ),
        ),
    ),
    blind_spot="No claim says why a build runs. Every build that the platform makes for the "
    "project can publish.",
)
