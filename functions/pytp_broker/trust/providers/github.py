"""GitHub Actions: on github.com, on GHE.com, and on GitHub Enterprise Server."""

from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.comparisons import is_same_ignoring_case
from pytp_broker.trust.providers.actions import (
    EVENT_RULE,
    events_field,
    id_fields,
    is_owner_of_repository,
    is_same_workflow,
    owner_identity,
    repository_field,
    workflow_field,
)
from pytp_broker.trust.providers.fields import environment_field, runner_field
from pytp_broker.trust.providers.model import Field, IssuerForm, Provider
from pytp_broker.trust.providers.refs import GIT_REF, ref_field, ref_type_field

_ISSUER: Final = "https://token.actions.githubusercontent.com"
_GHE_SHAPE: Final = "https://token.actions.SUBDOMAIN.ghe.com"
# An underscore occurs in the owner names of Enterprise Managed Users.
_OWNER: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_REPOSITORY: Final = rf"{_OWNER}/(?!\.{{1,2}}\Z)[A-Za-z0-9._-]{{1,100}}(?<!\.git)"


def _workflow_refs(file: str, claims: SignedClaims) -> tuple[str, ...]:
    # The workflow must be the repository's own file at the token's own ref or sha. A stranger's
    # reusable workflow, or a branch with a crafted name, never equals one of these texts.
    repository = claims.text("repository")
    points = (claims.text("ref"), claims.text("sha"))
    return tuple(f"{repository}/.github/workflows/{file}@{point}" for point in points if point)


def _is_reusable_workflow(expected: str, seen: str) -> bool:
    # `org/repo/.github/workflows/x.yml[@ref]`. Without a ref, the text after the first @ must be
    # a branch or a tag, because a file may be called `x.yml@evil.yml`.
    path, _, ref = expected.partition("@")
    seen_path, _, seen_ref = seen.partition("@")
    is_same_ref = ref == seen_ref if ref else _is_branch_or_tag(seen_ref)
    return is_same_workflow(path, seen_path) and is_same_ref


def _is_branch_or_tag(ref: str) -> bool:
    # A stranger chooses what `refs/pull/N/head` holds. A bare commit may be a stranger's too,
    # because GitHub finds the commits of every fork in the parent as well.
    kind, _, name = ref.removeprefix("refs/").partition("/")
    return ref.startswith("refs/") and kind in {"heads", "tags"} and name != ""


def _run_page(issuer: str, repository: str, run: str) -> str:
    # The issuer of github.com and those of GHE.com are hosts of their own; a server signs itself.
    host = issuer.partition("://")[2].partition("/")[0].removeprefix("token.actions.")
    web = "github.com" if host == "githubusercontent.com" else host
    return f"https://{web}/{repository}/actions/runs/{run}"


def _advise_workflow(expected: str, seen: str | None, claims: SignedClaims) -> str:
    called, caller = claims.text("job_workflow_ref"), claims.text("workflow_ref")
    if caller is not None and seen == called != caller:
        return (
            "the job runs in a reusable workflow: publish from a job of the calling workflow, or "
            "let the operator set `reusable_workflow` and name the caller as `workflow`"
        )
    return f"publish from the repository's own workflow file `{expected}`"


def _advise_reusable_workflow(expected: str, _seen: str | None, _claims: SignedClaims) -> str:
    if "@" in expected:
        return f"call the reusable workflow `{expected}` from the job"
    return (
        f"call the reusable workflow `{expected}` from the job, at one of its branches or tags; "
        "another ref or a commit matches only if the publisher names it after an `@`"
    )


GITHUB: Final = Provider(
    name="github",
    title="GitHub Actions",
    documentation_url="https://docs.github.com/en/actions/reference/security/oidc",
    fields=(
        repository_field(_REPOSITORY, example="octo-org/widgets"),
        *id_fields("9919", "70107786"),
        workflow_field(
            "job_workflow_ref",
            _workflow_refs,
            claim_beside={"reusable_workflow": "workflow_ref"},
            advise=_advise_workflow,
        ),
        environment_field(r"[^\x00-\x1f\x7f'\"`,;\\]{1,255}", is_same_ignoring_case),
        Field(
            "reusable_workflow",
            "job_workflow_ref",
            compare=_is_reusable_workflow,
            pattern=rf"{_REPOSITORY}/\.github/workflows/[^\x00-\x1f\x7f/@]+\.ya?ml"
            rf"(@({GIT_REF}|[0-9a-f]{{40}}|[0-9a-f]{{64}}))?",
            example="octo-org/workflows/.github/workflows/publish.yml@refs/heads/main",
            advise=_advise_reusable_workflow,
        ),
        ref_field(),
        ref_type_field(),
        events_field(),
        runner_field("github-hosted"),
    ),
    issuer=_ISSUER,
    issuer_shape="https://HOST/_services/token",
    issuer_forms=(
        IssuerForm(
            r"token\.actions\.githubusercontent\.com",
            r"(/[A-Za-z0-9_-]+)?",
            f"{_ISSUER} or {_ISSUER}/ENTERPRISE",
        ),
        IssuerForm(r"token\.actions\.[^.]+\.ghe\.com", "", _GHE_SHAPE),
        IssuerForm(r"(.+\.)?ghe\.com", "(?!)", _GHE_SHAPE),
        IssuerForm.nowhere_on("github.com", _ISSUER),
        IssuerForm.nowhere_on("api.github.com", _ISSUER),
    ),
    usual_path="/_services/token",
    required_claims=(
        "jti",
        "repository",
        "repository_owner",
        "repository_owner_id",
        "job_workflow_ref",
    ),
    # PyPI accepts tokens in which these are empty; a token that lacks them is not GitHub's.
    present_claims=("ref", "sha", "event_name"),
    agreements={"repository_owner": is_owner_of_repository},
    recorded={
        "repository": "repository",
        "run": "run_id",
        "sha": "sha",
        "ref": "ref",
        "workflow": "workflow_ref",
        "environment": "environment",
        "actor": "actor",
    },
    run_page=_run_page,
    common_claims=(
        *("ref", "base_ref", "head_ref", "ref_type", "ref_protected"),
        *("environment", "event_name", "runner_environment"),
    ),
    unchecked_claims=(
        # `sub` has two default forms, and owners can change it.
        *("sub", "actor_id", "base_ref", "check_run_id", "enterprise", "enterprise_id"),
        *("environment_node_id", "head_ref", "issuer_scope", "job_workflow_sha", "ref_protected"),
        *("repository_visibility", "run_attempt", "run_number", "workflow", "workflow_sha"),
        # An organisation's custom properties of the repository.
        "repo_property_*",
    ),
    jobs=(EVENT_RULE,),
    wider=(owner_identity(_OWNER, "octo-org", "9919"),),
)
