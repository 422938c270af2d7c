"""GitLab CI/CD: on gitlab.com, and on self-managed instances."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims, TokenForm
from pytp_broker.trust.comparisons import fold, is_same_ignoring_case, starts_with_segment
from pytp_broker.trust.providers.fields import (
    DIGITS,
    choice_field,
    environment_field,
    runner_field,
    switch_field,
)
from pytp_broker.trust.providers.model import (
    Field,
    IssuerForm,
    JobRule,
    Provider,
    Role,
    WiderIdentity,
)
from pytp_broker.trust.providers.refs import is_other_ref, ref_type_field, short_ref_field

# https://docs.gitlab.com/user/reserved_names/: special characters are single and not the last one,
# and no slug ends with `.git` or `.atom`. Old ones may begin with an underscore.
_SLUG: Final = r"(?![^/]{256})_?[A-Za-z0-9]+([._-][A-Za-z0-9]+)*(?<!\.(?i:git))(?<!\.(?i:atom))"

# To cause one of these, somebody needs the rights of a developer, or the project's trigger token.
TRUSTED_SOURCES: Final = ("push", "web", "schedule", "api", "trigger", "pipeline")
# https://docs.gitlab.com/ci/jobs/job_rules/#ci_pipeline_source-predefined-variable
SOURCES: Final = (
    *TRUSTED_SOURCES,
    *("chat", "container_registry_push", "duo_workflow", "external", "external_pull_request_event"),
    *("merge_request_event", "ondemand_dast_scan", "ondemand_dast_validation", "parent_pipeline"),
    *("pipeline_execution_policy_schedule", "security_orchestration_policy", "webide"),
)


def _is_untrusted_source(source: str) -> bool:
    return source not in TRUSTED_SOURCES


def _pipeline_refs(file: str, claims: SignedClaims) -> tuple[str, ...]:
    instance = claims.issuer.partition("://")[2]
    project = f"{instance}/{claims.text('project_path')}"
    points = (claims.text("ref_path"), claims.text("sha"))
    return tuple(f"{project}//{file}@{point}" for point in points if point)


def _is_same_pipeline(expected: str, seen: str) -> bool:
    # A project's path has no case and never a `//`; the file and the ref after it do have case.
    expected_project, _, expected_file = expected.partition("//")
    project, _, file = seen.partition("//")
    return is_same_ignoring_case(expected_project, project) and expected_file == file


def _is_subject(subject: str, claims: SignedClaims) -> bool:
    # Which claims `sub` repeats, and in which order, is the project's own choice
    # (`ci_id_token_sub_claim_components`): the first of them must be this token's.
    name, colon, _ = subject.partition(":")
    return colon != "" and starts_with_segment(
        fold(f"{name}:{claims.text(name) or ''}"), fold(subject)
    )


def _run_page(issuer: str, project: str, pipeline: str) -> str:
    return f"{issuer.rstrip('/')}/{project}/-/pipelines/{pipeline}"


def _advise_workflow(expected: str, _seen: str | None, _claims: SignedClaims) -> str:
    return f"publish from the project's own pipeline file `{expected}`"


_NAMESPACE_ID: Final = Field("namespace_id", "namespace_id", Role.PIN, pattern=DIGITS, example="72")

GITLAB: Final = Provider(
    name="gitlab",
    title="GitLab CI/CD",
    documentation_url="https://docs.gitlab.com/ci/secrets/id_token_authentication/",
    fields=(
        Field(
            "project_path",
            "project_path",
            Role.IDENTITY,
            required=True,
            compare=is_same_ignoring_case,
            pattern=rf"{_SLUG}(/{_SLUG}){{1,20}}",
            example="group/sub/gadgets",
        ),
        _NAMESPACE_ID,
        Field("project_id", "project_id", Role.PIN, pattern=DIGITS, example="20"),
        Field(
            "workflow",
            "ci_config_ref_uri",
            required=True,
            expand=_pipeline_refs,
            compare=_is_same_pipeline,
            pattern=r"(?!/)[^\x00-\x1f\x7f]{0,250}[^\x00-\x1f\x7f/]\.ya?ml",
            example=".gitlab-ci.yml",
            advise=_advise_workflow,
        ),
        # Unlike GitHub, GitLab has `Release` and `release` as two environments.
        environment_field(r"[A-Za-z0-9 _./${}-]{1,255}"),
        short_ref_field("ref", "ref", example="v*"),
        ref_type_field(),
        switch_field("ref_protected"),
        switch_field("environment_protected"),
        choice_field("pipeline_sources", "pipeline_source", SOURCES, example="push", any_of=True),
        runner_field("gitlab-hosted"),
    ),
    issuer="https://gitlab.com",
    issuer_shape="https://HOST/PATH",
    issuer_forms=(IssuerForm.exactly("gitlab.com"),),
    # A token is valid for as long as the job may run; a project sets this time, up to a month.
    token_form=TokenForm(max_lifetime_seconds=31 * 24 * 3600),
    required_claims=("jti", "sub", "project_path", "ref_path", "sha"),
    publishing_claims=("ci_config_ref_uri",),
    agreements={"sub": _is_subject},
    # When a fork's merge request runs in the parent, the two claims differ.
    same_claims={"job_project_id": "project_id"},
    recorded={
        "repository": "project_path",
        "run": "pipeline_id",
        "sha": "sha",
        "ref": "ref_path",
        "workflow": "ci_config_ref_uri",
        "environment": "environment",
        "actor": "user_login",
    },
    run_page=_run_page,
    common_claims=(
        *("ref", "ref_path", "ref_type", "ref_protected"),
        *("environment", "environment_protected", "pipeline_source", "runner_environment"),
    ),
    unchecked_claims=(
        *("ci_config_sha", "deployment_tier", "environment_action", "groups_direct", "job_id"),
        *("job_namespace_id", "job_namespace_path", "job_project_path", "job_source"),
        *("project_visibility", "runner_id", "user_access_level", "user_email"),
        *("user_id", "user_identities"),
    ),
    missing_advice={
        "ci_config_ref_uri": (
            "the configuration of the pipeline is not in the project, or this version of GitLab "
            "leaves the claim out for such a pipeline (a child pipeline, Auto DevOps): keep the "
            "configuration in the project itself, and do not publish from a child pipeline"
        ),
    },
    jobs=(
        JobRule(
            field="pipeline_sources",
            claim="pipeline_source",
            expected=", ".join(TRUSTED_SOURCES),
            is_trusted=TRUSTED_SOURCES.__contains__,
            advice="publish from a pipeline of a branch or a tag; the pipeline of a merge request "
            "may run a stranger's change, and a child pipeline does not show its parent's source, "
            "so the publisher accepts other sources only if its `pipeline_sources` lists them",
        ),
        JobRule(
            field="pipeline_sources",
            claim="ref_path",
            expected="a ref that is not a merge request's",
            is_trusted=is_other_ref,
            advice="publish from a pipeline of a branch or a tag",
            is_named=_is_untrusted_source,
        ),
    ),
    # The claim names the group that holds the project, not those around it. So a group stands for
    # its own projects and not for those of its sub-groups, whose ids would not be its own.
    wider=(
        WiderIdentity(
            (
                Field(
                    "namespace",
                    "namespace_path",
                    Role.IDENTITY,
                    compare=is_same_ignoring_case,
                    pattern=rf"{_SLUG}(/{_SLUG}){{0,20}}",
                    example="group/sub",
                ),
            ),
            (_NAMESPACE_ID,),
        ),
    ),
)
