"""Bitbucket Pipelines: steps of a repository; its UUID identifies it."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims, TokenForm
from pytp_broker.trust.comparisons import starts_with_segment
from pytp_broker.trust.providers.fields import UUID
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    Provider,
    Role,
    WiderIdentity,
)
from pytp_broker.trust.providers.refs import short_ref_field

_SHAPE: Final = "https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc"


def _is_subject(subject: str, claims: SignedClaims) -> bool:
    # The environment, if there is one, and the step follow.
    return starts_with_segment(claims.text("repositoryUuid") or "", subject)


# The issuer's URL contains the workspace's name, which others may get after a rename.
_WORKSPACE_UUID: Final = Field(
    "workspace_uuid",
    "workspaceUuid",
    Role.PIN,
    pattern=rf"\{{{UUID}\}}",
    example="{5e7c3f1a-0000-4000-8000-000000000002}",
)

BITBUCKET: Final = Provider(
    name="bitbucket",
    title="Bitbucket Pipelines",
    documentation_url="https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/",
    fields=(
        Field(
            "repository_uuid",
            "repositoryUuid",
            Role.IDENTITY,
            required=True,
            pattern=rf"\{{{UUID}\}}",
            example="{5e7c3f1a-0000-4000-8000-000000000001}",
        ),
        _WORKSPACE_UUID,
        Field(
            "deployment_environment_uuid",
            "deploymentEnvironmentUuid",
            pattern=rf"\{{{UUID}\}}",
            example="{5e7c3f1a-0000-4000-8000-000000000003}",
        ),
        # Sources disagree on whether every token names its branch; no source mentions tags. A
        # publisher that sets a branch refuses a token that names none.
        short_ref_field("branch", "branchName", example="main"),
    ),
    issuer_shape=_SHAPE,
    issuer_forms=(
        IssuerForm(
            r"api\.bitbucket\.org",
            r"/2\.0/workspaces/[^/]+/pipelines-config/identity/oidc",
            _SHAPE,
        ),
        IssuerForm.nowhere_on("bitbucket.org", _SHAPE),
    ),
    # Audiences are configured as a list, and no source shows how Bitbucket signs a list of one.
    token_form=TokenForm(may_list_audience=True),
    required_claims=("sub", "repositoryUuid", "workspaceUuid", "pipelineUuid", "stepUuid"),
    agreements={"sub": _is_subject},
    recorded={
        "repository": "repositoryUuid",
        "run": "pipelineUuid",
        "ref": "branchName",
        "environment": "deploymentEnvironmentUuid",
    },
    common_claims=("branchName",),
    unchecked_claims=("accountUuid",),
    wider=(WiderIdentity((_WORKSPACE_UUID,), is_immutable=True),),
    blind_spot="No claim distinguishes the pipeline of a pull request from the pipeline of a "
    "branch. Bitbucket runs the pipelines of a fork in the fork, so their tokens name another "
    "repository.",
)
