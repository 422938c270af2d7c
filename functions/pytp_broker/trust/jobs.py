"""Recognise jobs that a stranger can cause, by the claim with which each kind of CI marks them.

A stranger opens a pull request, an issue or a discussion, and a workflow may run because of it with
the repository's own identity. Such a job publishes nothing unless the publisher names it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

# Events that only people with write access to the repository can cause.
GITHUB_TRUSTED_EVENTS: Final = (
    "push",
    "release",
    "workflow_dispatch",
    "schedule",
    "create",
    "deployment",
    "merge_group",
    "repository_dispatch",
)
# https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows
GITHUB_EVENTS: Final = (
    *GITHUB_TRUSTED_EVENTS,
    *("branch_protection_rule", "check_run", "check_suite", "delete", "deployment_status"),
    *("discussion", "discussion_comment", "dynamic", "fork", "gollum", "image_version"),
    *("issue_comment", "issues", "label", "milestone", "page_build", "project", "project_card"),
    *("project_column", "public", "pull_request", "pull_request_comment", "pull_request_review"),
    *("pull_request_review_comment", "pull_request_target", "registry_package", "status", "watch"),
    "workflow_run",
)

# Each needs the rights of a developer in the project, or a trigger token of it.
GITLAB_TRUSTED_SOURCES: Final = ("push", "web", "schedule", "api", "trigger", "pipeline")
# https://docs.gitlab.com/ci/jobs/job_rules/#ci_pipeline_source-predefined-variable
GITLAB_SOURCES: Final = (
    *GITLAB_TRUSTED_SOURCES,
    *("chat", "container_registry_push", "duo_workflow", "external", "external_pull_request_event"),
    *("merge_request_event", "ondemand_dast_scan", "ondemand_dast_validation", "parent_pipeline"),
    *("pipeline_execution_policy_schedule", "security_orchestration_policy", "webide"),
)

SEMAPHORE_TRUSTED_TYPES: Final = ("branch", "tag")
SEMAPHORE_JOB_TYPES: Final = ("pipeline_job", "debug_job", "project_debug_job")

_PULL_REQUEST_REF: Final = re.compile(r"refs/(pull|pull-requests|merge-requests)/.*", re.DOTALL)
# CircleCI calls the branch of a pull request from a fork `pull/N`.
_PULL_REQUEST_BRANCH: Final = re.compile(r"(refs/heads/)?pull/[0-9]+(/.*)?", re.DOTALL)

Fields = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class JobRule:
    """What a claim must say when the publisher's own fields do not decide it.

    ``field`` is the publisher's field that may decide it, and ``is_named`` says whether a text of
    that field does; by default every text does. ``expected`` says in words what ``is_trusted``
    accepts. Not every version of a provider signs the claim; then nothing marks the job.
    """

    field: str
    claim: str
    expected: str
    is_trusted: Callable[[str], bool]
    advice: str
    is_named: Callable[[str], bool] = bool
    is_required: bool = False

    def is_decided_by(self, fields: Fields) -> bool:
        """Say whether the publisher itself names the jobs that this rule is about."""
        value = fields.get(self.field, ())
        texts = (value,) if isinstance(value, str) else value
        return any(map(self.is_named, texts))


def is_pull_request_ref(ref: str) -> bool:
    """Say whether the ref is that of a pull request or a merge request."""
    return _PULL_REQUEST_REF.fullmatch(ref) is not None


def _is_other_than_pull_request(ref: str) -> bool:
    return not is_pull_request_ref(ref)


def _is_no_pull_request_at_circleci(ref: str) -> bool:
    return not is_pull_request_ref(ref) and _PULL_REQUEST_BRANCH.fullmatch(ref) is None


def _names_pull_requests_at_circleci(ref: str) -> bool:
    return ref.startswith(("refs/pull/", "refs/heads/pull/"))


def _is_untrusted_source(source: str) -> bool:
    return source not in GITLAB_TRUSTED_SOURCES


def _is_pull_request_type(ref_type: str) -> bool:
    return ref_type == "pull-request"


def _names_a_fork(branch: str) -> bool:
    # No branch of git has a colon in its name: Buildkite writes a fork's as `OWNER:BRANCH`.
    return ":" in branch


def _names_no_fork(branch: str) -> bool:
    return not _names_a_fork(branch)


def _is_no_number(text: str) -> bool:
    return re.fullmatch("[0-9]+", text) is None


GITHUB_JOBS: Final = (
    JobRule(
        field="events",
        claim="event_name",
        expected=", ".join(GITHUB_TRUSTED_EVENTS),
        is_trusted=GITHUB_TRUSTED_EVENTS.__contains__,
        advice="publish from an event such as `push`, `release` or `workflow_dispatch`; a stranger "
        "can cause others, so the publisher takes others only if its `events` lists them",
        is_required=True,
    ),
)
GITLAB_JOBS: Final = (
    JobRule(
        field="pipeline_sources",
        claim="pipeline_source",
        expected=", ".join(GITLAB_TRUSTED_SOURCES),
        is_trusted=GITLAB_TRUSTED_SOURCES.__contains__,
        advice="publish from a pipeline of a branch or a tag; a merge request's may be a "
        "stranger's, and a child pipeline's source hides its parent's, so the publisher takes "
        "others only if its `pipeline_sources` lists them",
    ),
    JobRule(
        field="pipeline_sources",
        claim="ref_path",
        expected="any but a merge request's",
        is_trusted=_is_other_than_pull_request,
        advice="publish from a pipeline of a branch or a tag",
        is_named=_is_untrusted_source,
    ),
)
CIRCLECI_JOBS: Final = (
    JobRule(
        field="vcs_ref",
        claim="oidc.circleci.com/vcs-ref",
        expected="any but a pull request's",
        is_trusted=_is_no_pull_request_at_circleci,
        advice="publish from a pipeline of a branch or a tag; the publisher takes a pull request's "
        "only if its `vcs_ref` names it",
        is_named=_names_pull_requests_at_circleci,
    ),
)
BUILDKITE_JOBS: Final = (
    JobRule(
        field="branch",
        claim="build_branch",
        expected="any but a fork's",
        is_trusted=_names_no_fork,
        advice="publish from a build of the repository's own branch or tag; the publisher takes a "
        "fork's only if its `branch` names it",
        is_named=_names_a_fork,
    ),
)
AZURE_DEVOPS_JOBS: Final = (
    JobRule(
        field="ref",
        claim="rpo_ref",
        expected="any but a pull request's",
        is_trusted=_is_other_than_pull_request,
        advice="publish from a run of a branch or a tag; the publisher takes a pull request's only "
        "if its `ref` names it",
        is_named=is_pull_request_ref,
    ),
)
SEMAPHORE_JOBS: Final = (
    JobRule(
        field="ref_type",
        claim="ref_type",
        expected=", ".join(SEMAPHORE_TRUSTED_TYPES),
        is_trusted=SEMAPHORE_TRUSTED_TYPES.__contains__,
        advice="publish from a job of a branch or a tag; the publisher takes a pull request's only "
        "if its `ref_type` is `pull-request`",
    ),
    JobRule(
        field="ref_type",
        claim="ref",
        expected="any but a pull request's",
        is_trusted=_is_other_than_pull_request,
        advice="publish from a job of a branch or a tag",
        is_named=_is_pull_request_type,
    ),
    JobRule(
        field="ref_type",
        claim="pr",
        expected="no number of a pull request",
        is_trusted=_is_no_number,
        advice="publish from a job of a branch or a tag",
        is_named=_is_pull_request_type,
    ),
    JobRule(
        field="job_type",
        claim="job_type",
        expected="pipeline_job",
        is_trusted="pipeline_job".__eq__,
        advice="publish from a job of the pipeline: a debug job has somebody's shell in it, so "
        "the publisher takes one only if its `job_type` names it",
    ),
)
