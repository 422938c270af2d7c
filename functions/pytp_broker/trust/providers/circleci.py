"""CircleCI: jobs of a project; ids of the organisation and the project identify it."""

import re
from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.providers.fields import ID
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    JobRule,
    Provider,
    Role,
    WiderIdentity,
)
from pytp_broker.trust.providers.refs import is_pull_request_ref, ref_field

_ISSUER: Final = "https://oidc.circleci.com"
_OWN_SHAPE: Final = f"{_ISSUER}/org/ORGANIZATION_ID"
# CircleCI calls the branch of a pull request from a fork `pull/N`.
_PULL_REQUEST_BRANCH: Final = re.compile(r"(refs/heads/)?pull/[0-9]+(/.*)?", re.DOTALL)


def _is_own_ref(ref: str) -> bool:
    return not is_pull_request_ref(ref) and _PULL_REQUEST_BRANCH.fullmatch(ref) is None


def _names_pull_requests(ref: str) -> bool:
    return ref.startswith(("refs/pull/", "refs/heads/pull/"))


def _is_organization(organization_id: str, claims: SignedClaims) -> bool:
    # An organisation's own issuer ends with its id and signs only for that organisation.
    _, is_own, owner = claims.issuer.rpartition("/org/")
    return not is_own or owner == organization_id


_ORGANIZATION_ID: Final = Field(
    "organization_id",
    "oidc.circleci.com/org-id",
    Role.IDENTITY,
    required=True,
    pattern=ID,
    example="11111111-0000-4000-8000-000000000001",
)

CIRCLECI: Final = Provider(
    name="circleci",
    title="CircleCI",
    documentation_url="https://circleci.com/docs/guides/permissions-authentication/openid-connect-tokens/",
    fields=(
        _ORGANIZATION_ID,
        Field(
            "project_id",
            "oidc.circleci.com/project-id",
            Role.IDENTITY,
            required=True,
            pattern=ID,
            example="22222222-0000-4000-8000-000000000002",
        ),
        Field(
            "pipeline_definition_id",
            "oidc.circleci.com/pipeline-definition-id",
            required=True,
            pattern=ID,
            example="33333333-0000-4000-8000-000000000003",
        ),
        Field(
            "context_ids",
            "oidc.circleci.com/context-ids",
            any_of=True,
            in_list=True,
            pattern=ID,
            example="44444444-0000-4000-8000-000000000004",
        ),
        ref_field("vcs_ref", "oidc.circleci.com/vcs-ref", example="refs/heads/main"),
        Field("vcs_origin", "oidc.circleci.com/vcs-origin", example="github.com/acme/widgets"),
    ),
    # The root issuer, which `circleci run oidc get --root-issuer` asks for, as uv and twine do.
    # CircleCI's page on the token format knows only the organisations' own issuers.
    issuer=_ISSUER,
    issuer_shape=_OWN_SHAPE,
    issuer_forms=(
        IssuerForm(r"oidc\.circleci\.com", r"(/org/[^/]+)?", f"{_ISSUER} or {_OWN_SHAPE}"),
        IssuerForm.nowhere_on("circleci.com", _ISSUER),
    ),
    required_claims=(
        "oidc.circleci.com/org-id",
        "oidc.circleci.com/project-id",
        "oidc.circleci.com/pipeline-definition-id",
    ),
    # In a job that was run again with SSH, a person has a shell.
    constants={"oidc.circleci.com/ssh-rerun": False},
    agreements={"oidc.circleci.com/org-id": _is_organization},
    recorded={
        "repository": "oidc.circleci.com/vcs-origin",
        "project_id": "oidc.circleci.com/project-id",
        "run": "oidc.circleci.com/pipeline-id",
        "ref": "oidc.circleci.com/vcs-ref",
        "workflow": "oidc.circleci.com/pipeline-definition-id",
    },
    common_claims=("oidc.circleci.com/vcs-ref",),
    unchecked_claims=("sub", "oidc.circleci.com/job-id", "oidc.circleci.com/workflow-id"),
    jobs=(
        JobRule(
            field="vcs_ref",
            claim="oidc.circleci.com/vcs-ref",
            expected="a ref that is not a pull request's",
            is_trusted=_is_own_ref,
            advice="publish from a pipeline of a branch or a tag; the publisher accepts the ref of "
            "a pull request only if its `vcs_ref` names it",
            is_named=_names_pull_requests,
            # CircleCI builds a pull request of the project's own as its branch.
            marks_fork=True,
        ),
    ),
    wider=(WiderIdentity((_ORGANIZATION_ID,), is_immutable=True),),
    blind_spot="Only `vcs_origin` distinguishes the pipeline of a fork from one of the project "
    "itself. If CircleCI passes secrets to pull requests of forks, set `vcs_origin` in the "
    "publisher.",
    has_immutable_identity=True,
)
