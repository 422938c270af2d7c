"""Semaphore: jobs of a project, on semaphoreci.com or on a self-hosted server."""

import re
from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.comparisons import fold, is_same_ignoring_case, starts_with_segment
from pytp_broker.trust.providers.fields import ID, SLUG, choice_field
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    JobRule,
    Provider,
    Role,
    WiderIdentity,
)
from pytp_broker.trust.providers.refs import is_other_ref, ref_field, ref_type_field

_SHAPE: Final = "https://ORGANIZATION.semaphoreci.com"
_PULL_REQUEST: Final = "pull-request"
_TRUSTED_TYPES: Final = ("branch", "tag")
_JOB_TYPES: Final = ("pipeline_job", "debug_job", "project_debug_job")


def _is_pull_request_type(ref_type: str) -> bool:
    return ref_type == _PULL_REQUEST


def _is_other_than_number(text: str) -> bool:
    return re.fullmatch("[0-9]+", text) is None


def _is_subject(subject: str, claims: SignedClaims) -> bool:
    repository = (claims.text("repo_slug") or "").rpartition("/")[2]
    project = f"org:{claims.text('org')}:project:{claims.text('prj_id')}"
    return starts_with_segment(fold(f"{project}:repo:{repository}"), fold(subject))


def _is_organization(organization: str, claims: SignedClaims) -> bool:
    # An organisation's issuer at semaphoreci.com signs only for that organisation. A self-hosted
    # server may sign for several.
    host = claims.issuer.partition("://")[2]
    owner, _, domain = host.partition(".")
    return domain != "semaphoreci.com" or is_same_ignoring_case(owner, organization)


_ORGANIZATION: Final = Field(
    "organization", "org", Role.IDENTITY, required=True, pattern=SLUG, example="acme"
)
_ORGANIZATION_ID: Final = Field(
    "organization_id",
    "org_id",
    Role.PIN,
    pattern=ID,
    example="d7dd33ad-0000-4000-8000-000000000001",
)

SEMAPHORE: Final = Provider(
    name="semaphore",
    title="Semaphore",
    documentation_url="https://docs.semaphoreci.com/reference/openid",
    fields=(
        _ORGANIZATION,
        Field("project", "prj", Role.IDENTITY, required=True, pattern=SLUG, example="widgets"),
        _ORGANIZATION_ID,
        Field(
            "project_id",
            "prj_id",
            Role.PIN,
            pattern=ID,
            example="936a5312-0000-4000-8000-000000000002",
        ),
        Field(
            "repository",
            "repo_slug",
            required=True,
            pattern=r"[^\x00-\x20\x7f/]{1,100}(/[^\x00-\x20\x7f/]{1,100}){1,20}",
            example="acme/widgets",
        ),
        ref_field(),
        ref_type_field(_PULL_REQUEST),
        choice_field("job_type", "job_type", _JOB_TYPES, example="pipeline_job"),
    ),
    issuer_shape=_SHAPE,
    issuer_forms=(
        IssuerForm(r".+\.semaphoreci\.com", "", _SHAPE),
        IssuerForm.nowhere_on("semaphoreci.com", _SHAPE),
    ),
    required_claims=("jti", "sub", "org", "org_id", "prj", "prj_id", "repo_slug"),
    agreements={"org": _is_organization, "sub": _is_subject},
    recorded={
        "repository": "repo_slug",
        "run": "wf_id",
        "ref": "ref",
        "workflow": "prj",
    },
    common_claims=("ref", "ref_type", "branch", "tag", "job_type"),
    unchecked_claims=("branch", "job_id", "ppl_id", "pr_branch", "repo", "tag", "trg"),
    jobs=(
        JobRule(
            field="ref_type",
            claim="ref_type",
            expected=", ".join(_TRUSTED_TYPES),
            is_trusted=_TRUSTED_TYPES.__contains__,
            advice="publish from a job of a branch or a tag; the publisher accepts the job of a "
            "pull request only if its `ref_type` is `pull-request`",
        ),
        JobRule(
            field="ref_type",
            claim="ref",
            expected="a ref that is not a pull request's",
            is_trusted=is_other_ref,
            advice="publish from a job of a branch or a tag",
            is_named=_is_pull_request_type,
        ),
        JobRule(
            field="ref_type",
            claim="pr",
            expected="anything but the number of a pull request",
            is_trusted=_is_other_than_number,
            advice="publish from a job of a branch or a tag",
            is_named=_is_pull_request_type,
        ),
        JobRule(
            field="job_type",
            claim="job_type",
            expected="pipeline_job",
            is_trusted="pipeline_job".__eq__,
            advice="publish from a job of the pipeline: in a debug job, a person has a shell, so "
            "the publisher accepts one only if its `job_type` names it",
        ),
    ),
    wider=(WiderIdentity((_ORGANIZATION,), (_ORGANIZATION_ID,)),),
)
