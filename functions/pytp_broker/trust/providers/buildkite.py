"""Buildkite: jobs of a pipeline, on Buildkite's machines or on others."""

from typing import Final

from pytp_broker.trust.providers.fields import ID, SLUG, choice_field, runner_field
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    JobRule,
    Provider,
    Role,
    WiderIdentity,
)
from pytp_broker.trust.providers.refs import short_ref_field

_ISSUER: Final = "https://agent.buildkite.com"
# https://buildkite.com/docs/pipelines/configure/environment-variables#BUILDKITE_SOURCE
_BUILD_SOURCES: Final = ("webhook", "api", "ui", "trigger_job", "schedule")


def _names_a_fork(branch: str) -> bool:
    # No branch of git has a colon in its name: Buildkite writes a fork's as `OWNER:BRANCH`.
    return ":" in branch


def _names_no_fork(branch: str) -> bool:
    return not _names_a_fork(branch)


_ORGANIZATION_SLUG: Final = Field(
    "organization_slug",
    "organization_slug",
    Role.IDENTITY,
    required=True,
    pattern=SLUG,
    example="acme-inc",
)
# A token has ids only if the job asks for them with `--claim`; the first such token pins them.
_ORGANIZATION_ID: Final = Field(
    "organization_id",
    "organization_id",
    Role.PIN,
    pattern=ID,
    example="0184990a-477b-4fa8-9968-496074483001",
)

BUILDKITE: Final = Provider(
    name="buildkite",
    title="Buildkite",
    documentation_url="https://buildkite.com/docs/agent/cli/reference/oidc",
    fields=(
        _ORGANIZATION_SLUG,
        Field(
            "pipeline_slug",
            "pipeline_slug",
            Role.IDENTITY,
            required=True,
            pattern=SLUG,
            example="widgets-release",
        ),
        _ORGANIZATION_ID,
        Field(
            "pipeline_id",
            "pipeline_id",
            Role.PIN,
            pattern=ID,
            example="0184990a-4782-42b5-afc1-16715b10b002",
        ),
        short_ref_field("branch", "build_branch", example="main"),
        short_ref_field("tag", "build_tag", example="v*"),
        Field("step_key", "step_key", example="publish"),
        choice_field(
            "build_sources", "build_source", _BUILD_SOURCES, example="webhook", any_of=True
        ),
        runner_field("buildkite-hosted"),
    ),
    issuer=_ISSUER,
    issuer_forms=(
        IssuerForm.exactly("agent.buildkite.com"),
        IssuerForm.nowhere_on("buildkite.com", _ISSUER),
    ),
    # Not `sub`, because a job may replace it by another claim (`--subject-claim`). Not `jti`, which
    # Buildkite signs since January 2025 and does not document.
    required_claims=("organization_slug", "pipeline_slug", "job_id"),
    recorded={
        "run": "job_id",
        "sha": "build_commit",
        "ref": "build_branch",
        "workflow": "pipeline_slug",
    },
    common_claims=("build_branch", "build_tag", "build_source", "step_key", "runner_environment"),
    unchecked_claims=(
        *("sub", "agent_id", "build_id", "build_number"),
        # A token has these only if the job asks with `--claim`.
        *("agent_tag:*", "cluster_id", "cluster_name", "queue_id", "queue_key"),
    ),
    jobs=(
        JobRule(
            field="branch",
            claim="build_branch",
            expected="a branch that is not a fork's",
            is_trusted=_names_no_fork,
            advice="publish from a build of the repository's own branch or tag; the publisher "
            "accepts a fork's branch only if its `branch` names it",
            is_named=_names_a_fork,
            marks_fork=True,
        ),
    ),
    wider=(WiderIdentity((_ORGANIZATION_SLUG,), (_ORGANIZATION_ID,)),),
    blind_spot="No claim distinguishes a build of a pull request from a build of a branch, and a "
    "branch of a fork may be called `main`. Do not build forks in a pipeline that publishes, or "
    "let Buildkite prefix the names of their branches.",
)
