"""Azure DevOps Pipelines: runs of a pipeline; the ids of what it belongs to identify it."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.comparisons import is_same_ignoring_case
from pytp_broker.trust.providers.fields import ID
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    JobRule,
    Provider,
    Role,
    WiderIdentity,
)
from pytp_broker.trust.providers.refs import is_other_ref, is_pull_request_ref, ref_field

_SHAPE: Final = "https://vstoken.dev.azure.com/ORGANIZATION_ID"


def _is_organization(organization_id: str, claims: SignedClaims) -> bool:
    # Every organisation has its own issuer, which signs only for that organisation.
    return is_same_ignoring_case(organization_id, claims.issuer.rstrip("/").rpartition("/")[2])


_ORGANIZATION_ID: Final = Field(
    "organization_id",
    "org_id",
    Role.IDENTITY,
    required=True,
    pattern=ID,
    example="7c5d0a11-0000-4000-8000-000000000001",
)
_PROJECT_ID: Final = Field(
    "project_id",
    "prj_id",
    Role.IDENTITY,
    required=True,
    pattern=ID,
    example="7c5d0a11-0000-4000-8000-000000000002",
)

AZURE_DEVOPS: Final = Provider(
    name="azure-devops",
    title="Azure DevOps Pipelines",
    # Microsoft documents the call and not the claims. Users of Sigstore and of Teleport observed
    # the claims below.
    documentation_url="https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create",
    fields=(
        _ORGANIZATION_ID,
        _PROJECT_ID,
        Field("definition_id", "def_id", Role.IDENTITY, required=True, pattern=ID, example="42"),
        # A uuid for a repository in Azure, `owner/name` for one at GitHub.
        Field("repository_id", "rpo_id", example="7c5d0a11-0000-4000-8000-000000000003"),
        Field(
            "repository_uri",
            "rpo_uri",
            example="https://dev.azure.com/acme/widgets/_git/widgets",
        ),
        ref_field("ref", "rpo_ref"),
    ),
    issuer_shape=_SHAPE,
    issuer_forms=(
        IssuerForm(r"vstoken\.dev\.azure\.com", r"/[^/]+", _SHAPE),
        IssuerForm.nowhere_on("dev.azure.com", _SHAPE),
    ),
    required_claims=("jti", "sub", "org_id", "prj_id", "def_id"),
    agreements={"org_id": _is_organization},
    recorded={
        "repository": "rpo_uri",
        "run": "run_id",
        "sha": "rpo_ver",
        "ref": "rpo_ref",
        "workflow": "sub",
    },
    common_claims=("rpo_ref",),
    jobs=(
        JobRule(
            field="ref",
            claim="rpo_ref",
            expected="a ref that is not a pull request's",
            is_trusted=is_other_ref,
            advice="publish from a run of a branch or a tag; the publisher accepts the ref of a "
            "pull request only if its `ref` names it",
            is_named=is_pull_request_ref,
        ),
    ),
    blind_spot="No claim says who started a run or why. Only the ref shows that a run builds a "
    "fork, so do not give forks the secrets of the pipeline.",
    has_immutable_identity=True,
    wider=(
        WiderIdentity((_ORGANIZATION_ID, _PROJECT_ID), is_immutable=True),
        WiderIdentity((_ORGANIZATION_ID,), is_immutable=True),
    ),
)
