"""Bitbucket Pipelines: steps of a repository, known by its unique id."""

from typing import Final

from pytp_broker.oidc.identity import SignedClaims, TokenForm
from pytp_broker.trust.comparisons import is_led_by
from pytp_broker.trust.providers.fields import UUID
from pytp_broker.trust.providers.model import Field, IssuerForm, Provider, Role
from pytp_broker.trust.providers.refs import short_ref_field

_SHAPE: Final = "https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc"


def _is_subject(subject: str, claims: SignedClaims) -> bool:
    # The environment, if there is one, and the step follow.
    return is_led_by(claims.text("repositoryUuid") or "", subject)


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
        # The issuer's URL contains the workspace's name, which others may get after a rename.
        Field(
            "workspace_uuid",
            "workspaceUuid",
            Role.PIN,
            pattern=rf"\{{{UUID}\}}",
            example="{5e7c3f1a-0000-4000-8000-000000000002}",
        ),
        Field(
            "deployment_environment_uuid",
            "deploymentEnvironmentUuid",
            pattern=rf"\{{{UUID}\}}",
            example="{5e7c3f1a-0000-4000-8000-000000000003}",
        ),
        # Sources disagree on whether every token names its branch; one that does not is refused
        # by a publisher that asks for a branch. Tags are in no source.
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
    # Audiences are configured as a list; no source shows what becomes of a list of one.
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
    blind_spot="No claim tells a pull request's pipeline from a branch's. Bitbucket runs a fork's "
    "pipelines in the fork, so that they speak for another repository.",
)
