"""CI providers as data: the claims of each one's identity tokens, and how they are compared.

A provider is a kind of CI service; an issuer is a URL that signs. Self-hosted GitLab is another
issuer of the same provider. Adding a provider is one entry here, one captured claim set in the
tests and one page in the documentation; a test holds the three together.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from pytp_broker.oidc.identity import PLAIN, SignedClaims, TokenForm
from pytp_broker.trust.comparisons import (
    REF_GLOB,
    Glob,
    fold,
    is_exact,
    is_led_by,
    is_same_ignoring_case,
)
from pytp_broker.trust.jobs import (
    AZURE_DEVOPS_JOBS,
    BUILDKITE_JOBS,
    CIRCLECI_JOBS,
    GITHUB_EVENTS,
    GITHUB_JOBS,
    GITLAB_JOBS,
    GITLAB_SOURCES,
    SEMAPHORE_JOB_TYPES,
    SEMAPHORE_JOBS,
    JobRule,
)

_ANY_TEXT: Final = r"[^\x00-\x1f\x7f]{1,255}"
_DIGITS: Final = r"[0-9]{1,32}"
_ID: Final = r"[A-Za-z0-9._-]{1,64}"
_SLUG: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_UUID: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_REPOSITORY: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}(?<!\.git)"
# https://docs.gitlab.com/user/reserved_names/: special characters are single and not the last one,
# and no slug ends with `.git` or `.atom`. Old ones may begin with an underscore.
_GITLAB_SLUG: Final = (
    r"(?![^/]{256})_?[A-Za-z0-9]+([._-][A-Za-z0-9]+)*(?<!\.(?i:git))(?<!\.(?i:atom))"
)
_WORKFLOW_FILE: Final = r"[^\x00-\x1f\x7f/]{1,200}\.ya?ml"
# What `git check-ref-format` takes, and `*`: a rule for any other name would match nothing.
_REF_NAME: Final = r"(?!.*(//|\.\.|/\Z))[^\x00-\x20\x7f?\[\\~^]{1,250}"
_GIT_REF: Final = rf"refs/{_REF_NAME}"
# Where the claim is the bare name of a branch or tag, `refs/heads/main` would never match.
_SHORT_REF: Final = rf"(?!refs/){_REF_NAME}"
_BOOLEAN: Final = ("true", "false")
# https://buildkite.com/docs/pipelines/configure/environment-variables#BUILDKITE_SOURCE
_BUILD_SOURCES: Final = ("webhook", "api", "ui", "trigger_job", "schedule")

FieldValue = str | tuple[str, ...]
Fields = Mapping[str, FieldValue]


class Role(Enum):
    """What a field of a publisher is for."""

    IDENTITY = "identity"  # finds the publisher: required, and the key of the one query
    PIN = "pin"  # an immutable id: given, or pinned on first use
    RULE = "rule"  # narrows what is accepted


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a publisher: the claim that it is compared with, and the comparison.

    ``expand`` turns the configured text into the claim values that it stands for. ``claim_beside``
    names another claim to compare with when that other field is set as well. With ``any_of`` the
    configuration lists several texts. ``pattern`` is what a configured text must look like, in
    full, and ``example`` one that does; ``choices`` lists all possible texts, if they can be
    listed. With ``in_list`` the claim is a list of texts, of which one must match.
    """

    name: str
    claim: str
    role: Role = Role.RULE
    required: bool = False
    compare: Callable[[str, str], bool] = is_exact
    expand: Callable[[str, SignedClaims], tuple[str, ...]] | None = None
    claim_beside: Mapping[str, str] = field(default_factory=dict)
    any_of: bool = False
    in_list: bool = False
    pattern: str = _ANY_TEXT
    example: str = ""
    choices: tuple[str, ...] = ()

    @property
    def is_glob(self) -> bool:
        """Say whether ``*`` has a meaning in the configured text."""
        return isinstance(self.compare, Glob)

    def claim_for(self, fields: Fields) -> str:
        """Return the claim to compare with, given the publisher's other fields."""
        for other, claim in self.claim_beside.items():
            if other in fields:
                return claim
        return self.claim

    def is_of_its_type(self, claims: SignedClaims) -> bool:
        """Say whether the claim, if it is there at all, is of the type that the provider signs."""
        values = [claims.value(name) for name in (self.claim, *self.claim_beside.values())]
        return all(isinstance(v, list if self.in_list else str) for v in values if v is not None)

    def is_of_its_form(self, claims: SignedClaims) -> bool:
        """Say whether the claim, if it is there at all, looks like what the provider signs."""
        text = claims.text(self.claim)
        return text is None or re.fullmatch(self.pattern, text) is not None

    def texts(self, claims: SignedClaims, fields: Fields) -> tuple[str, ...]:
        """Return what the claim says: one text, or a list's; nothing if it is of another type."""
        claim = self.claim_for(fields)
        if not self.in_list:
            text = claims.text(claim)
            return () if text is None else (text,)
        # We refuse a string here, because ``in`` would search for a part of it.
        value = claims.value(claim)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return ()
        return tuple(value)

    def matches(self, expected: FieldValue, seen: str, claims: SignedClaims) -> bool:
        """Say whether the claim is one of the values that the configured text stands for."""
        texts = (expected,) if isinstance(expected, str) else expected
        if self.expand is not None:
            texts = tuple(value for text in texts for value in self.expand(text, claims))
        return any(self.compare(text, seen) for text in texts)


def _choice(
    name: str, claim: str, choices: tuple[str, ...], *, example: str, any_of: bool = False
) -> Field:
    pattern = "|".join(map(re.escape, choices))
    return Field(name, claim, any_of=any_of, pattern=pattern, example=example, choices=choices)


@dataclass(frozen=True, slots=True)
class Provider:
    """A kind of CI service.

    ``issuer`` is the public one, if there is one for all; ``issuer_shape`` shows what the others
    look like. ``required_claims`` must be non-empty strings in every token, ``present_claims``
    strings that may be empty, ``constants`` exactly these values, and each of ``agreements`` must
    agree with the claims beside it. ``same_claims`` are pairs that must be equal where a token has
    both. ``recorded`` are the claims kept with tokens and files: our name to theirs.

    ``jobs`` are the rules that recognise jobs which a stranger can cause. ``blind_spot`` says what
    the claims do not tell.

    ``has_immutable_identity`` says that the identity consists of ids that nobody else can get, so
    that nothing needs to be pinned. ``token_form`` says how its tokens may differ from the plainest
    form.
    """

    name: str
    title: str
    documentation_url: str
    fields: tuple[Field, ...]
    issuer: str | None = None
    issuer_shape: str | None = None
    algorithms: tuple[str, ...] = ("RS256",)
    jwks_hosts: tuple[str, ...] = ()
    required_claims: tuple[str, ...] = ()
    present_claims: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    agreements: Mapping[str, Callable[[str, SignedClaims], bool]] = field(default_factory=dict)
    same_claims: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[JobRule, ...] = ()
    blind_spot: str = ""
    recorded: Mapping[str, str] = field(default_factory=dict)
    has_immutable_identity: bool = False
    token_form: TokenForm = PLAIN

    def __repr__(self) -> str:
        """Return the name alone: an entry is long, and its name says which one it is."""
        return f"Provider({self.name!r})"

    def fields_of(self, role: Role) -> tuple[Field, ...]:
        """Return the fields with this role."""
        return tuple(f for f in self.fields if f.role is role)


def _is_same_workflow(expected: str, seen: str) -> bool:
    # `owner/repo/path@point`: case does not matter in the names of owners and repositories, but
    # elsewhere it does.
    length = _repository_length(expected)
    return (
        length == _repository_length(seen)
        and is_same_ignoring_case(expected[:length], seen[:length])
        and expected[length:] == seen[length:]
    )


def _repository_length(workflow: str) -> int:
    owner, slash, rest = workflow.partition("/")
    return len(owner + slash + rest.partition("/")[0])


def _github_workflow(file: str, claims: SignedClaims) -> tuple[str, ...]:
    # The workflow must be the repository's own, at the token's own ref or sha: a reusable workflow
    # of a stranger, or a crafted branch name, never reads like this.
    repository = claims.text("repository")
    points = (claims.text("ref"), claims.text("sha"))
    return tuple(f"{repository}/.github/workflows/{file}@{point}" for point in points if point)


def _is_reusable_workflow(expected: str, seen: str) -> bool:
    # `org/repo/.github/workflows/x.yml[@ref]`. Without a ref, what follows the first @ must be a
    # branch or a tag: a file may be called `x.yml@evil.yml`.
    path, _, ref = expected.partition("@")
    seen_path, _, seen_ref = seen.partition("@")
    is_same_ref = ref == seen_ref if ref else _is_branch_or_tag(seen_ref)
    return _is_same_workflow(path, seen_path) and is_same_ref


def _is_branch_or_tag(ref: str) -> bool:
    # A stranger chooses what `refs/pull/N/head` holds. A bare commit may be a stranger's too,
    # because GitHub finds the commits of every fork in the parent as well.
    kind, _, name = ref.removeprefix("refs/").partition("/")
    return ref.startswith("refs/") and kind in {"heads", "tags"} and name != ""


def _is_owner_of_repository(owner: str, claims: SignedClaims) -> bool:
    return is_same_ignoring_case(owner, (claims.text("repository") or "").partition("/")[0])


GITHUB: Final = Provider(
    name="github",
    title="GitHub Actions",
    documentation_url="https://docs.github.com/en/actions/reference/security/oidc",
    issuer="https://token.actions.githubusercontent.com",
    # GitHub Enterprise Server. Enterprises on github.com may have
    # https://token.actions.githubusercontent.com/ENTERPRISE, those on GHE.com have
    # https://token.actions.SUBDOMAIN.ghe.com.
    issuer_shape="https://HOST/_services/token",
    fields=(
        Field(
            "repository",
            "repository",
            Role.IDENTITY,
            required=True,
            compare=is_same_ignoring_case,
            # An underscore occurs in the owner names of Enterprise Managed Users.
            pattern=_REPOSITORY,
            example="octo-org/widgets",
        ),
        Field(
            "repository_owner_id", "repository_owner_id", Role.PIN, pattern=_DIGITS, example="9919"
        ),
        Field("repository_id", "repository_id", Role.PIN, pattern=_DIGITS, example="70107786"),
        Field(
            "workflow",
            "job_workflow_ref",
            required=True,
            compare=_is_same_workflow,
            expand=_github_workflow,
            claim_beside={"reusable_workflow": "workflow_ref"},
            # An @ may be in a file's name: the whole claim is compared, so it can mislead nobody.
            pattern=_WORKFLOW_FILE,
            example="release.yml",
        ),
        Field(
            "environment",
            "environment",
            compare=is_same_ignoring_case,
            pattern=r"[^\x00-\x1f\x7f'\"`,;\\]{1,255}",
            example="release",
        ),
        Field(
            "reusable_workflow",
            "job_workflow_ref",
            compare=_is_reusable_workflow,
            pattern=rf"{_REPOSITORY}/\.github/workflows/[^\x00-\x1f\x7f/@]+\.ya?ml"
            rf"(@({_GIT_REF}|[0-9a-f]{{40}}|[0-9a-f]{{64}}))?",
            example="octo-org/workflows/.github/workflows/publish.yml@refs/heads/main",
        ),
        Field("ref", "ref", compare=REF_GLOB, pattern=_GIT_REF, example="refs/tags/v*"),
        _choice("ref_type", "ref_type", ("branch", "tag"), example="tag"),
        _choice("events", "event_name", GITHUB_EVENTS, example="push", any_of=True),
        _choice(
            "runner_environment",
            "runner_environment",
            ("github-hosted", "self-hosted"),
            example="github-hosted",
        ),
    ),
    required_claims=(
        "jti",
        "repository",
        "repository_owner",
        "repository_owner_id",
        "job_workflow_ref",
    ),
    # PyPI accepts tokens in which these are empty; a token that lacks them is not GitHub's.
    present_claims=("ref", "sha", "event_name"),
    agreements={"repository_owner": _is_owner_of_repository},
    jobs=GITHUB_JOBS,
    recorded={
        "repository": "repository",
        "run": "run_id",
        "sha": "sha",
        "ref": "ref",
        "workflow": "workflow_ref",
        "environment": "environment",
        "actor": "actor",
    },
)


def _gitlab_pipeline(file: str, claims: SignedClaims) -> tuple[str, ...]:
    instance = claims.issuer.partition("://")[2]
    project = f"{instance}/{claims.text('project_path')}"
    points = (claims.text("ref_path"), claims.text("sha"))
    return tuple(f"{project}//{file}@{point}" for point in points if point)


def _is_gitlab_pipeline(expected: str, seen: str) -> bool:
    # A project's path has no case and never a `//`; the file and the ref after it do have case.
    expected_project, _, expected_file = expected.partition("//")
    project, _, file = seen.partition("//")
    return is_same_ignoring_case(expected_project, project) and expected_file == file


def _is_gitlab_subject(subject: str, claims: SignedClaims) -> bool:
    # Which claims `sub` repeats, and in which order, is the project's own choice
    # (`ci_id_token_sub_claim_components`): the first of them must be this token's.
    name, colon, _ = subject.partition(":")
    return colon != "" and is_led_by(fold(f"{name}:{claims.text(name) or ''}"), fold(subject))


GITLAB: Final = Provider(
    name="gitlab",
    title="GitLab CI/CD",
    documentation_url="https://docs.gitlab.com/ci/secrets/id_token_authentication/",
    issuer="https://gitlab.com",
    issuer_shape="https://HOST/PATH",
    fields=(
        Field(
            "project_path",
            "project_path",
            Role.IDENTITY,
            required=True,
            compare=is_same_ignoring_case,
            pattern=rf"{_GITLAB_SLUG}(/{_GITLAB_SLUG}){{1,20}}",
            example="group/sub/gadgets",
        ),
        Field("namespace_id", "namespace_id", Role.PIN, pattern=_DIGITS, example="72"),
        Field("project_id", "project_id", Role.PIN, pattern=_DIGITS, example="20"),
        Field(
            "workflow",
            "ci_config_ref_uri",
            required=True,
            expand=_gitlab_pipeline,
            compare=_is_gitlab_pipeline,
            pattern=r"(?!/)[^\x00-\x1f\x7f]{0,250}[^\x00-\x1f\x7f/]\.ya?ml",
            example=".gitlab-ci.yml",
        ),
        # Unlike GitHub, GitLab has `Release` and `release` as two environments.
        Field(
            "environment",
            "environment",
            pattern=r"[A-Za-z0-9 _./${}-]{1,255}",
            example="release",
        ),
        Field("ref", "ref", compare=REF_GLOB, pattern=_SHORT_REF, example="v*"),
        _choice("ref_type", "ref_type", ("branch", "tag"), example="tag"),
        # GitLab signs these two as texts, not as booleans.
        _choice("ref_protected", "ref_protected", _BOOLEAN, example="true"),
        _choice("environment_protected", "environment_protected", _BOOLEAN, example="true"),
        _choice("pipeline_sources", "pipeline_source", GITLAB_SOURCES, example="push", any_of=True),
        _choice(
            "runner_environment",
            "runner_environment",
            ("gitlab-hosted", "self-hosted"),
            example="gitlab-hosted",
        ),
    ),
    required_claims=("jti", "sub", "project_path", "ci_config_ref_uri", "ref_path", "sha"),
    agreements={"sub": _is_gitlab_subject},
    # When a fork's merge request runs in the parent, the two claims differ.
    same_claims={"job_project_id": "project_id"},
    jobs=GITLAB_JOBS,
    recorded={
        "repository": "project_path",
        "run": "pipeline_id",
        "sha": "sha",
        "ref": "ref_path",
        "workflow": "ci_config_ref_uri",
        "environment": "environment",
        "actor": "user_login",
    },
    # Signed for as long as the job may take, which a project sets, up to a month.
    token_form=TokenForm(max_lifetime_seconds=31 * 24 * 3600),
)

GOOGLE: Final = Provider(
    name="google",
    title="Google Cloud",
    documentation_url="https://cloud.google.com/docs/authentication/get-id-token",
    issuer="https://accounts.google.com",
    jwks_hosts=("www.googleapis.com",),
    fields=(
        # The comparison is exact: Google signs the address as it was created, and PyPI compares it
        # exactly.
        Field(
            "email",
            "email",
            Role.IDENTITY,
            required=True,
            pattern=r"[^\x00-\x20\x7f@]{1,64}@[A-Za-z0-9.-]{1,190}",
            example="publisher@acme.iam.gserviceaccount.com",
        ),
        Field("sub", "sub", Role.PIN, pattern=_DIGITS, example="111260650121185072906"),
    ),
    # No `jti`: the hash of the token stands in for it against replay.
    required_claims=("email",),
    constants={"email_verified": True},
    blind_spot="The claims name the account and not the job: whatever runs as the account "
    "publishes, also a build of a stranger's change.",
    recorded={"actor": "email"},
)


def _is_activestate_subject(subject: str, claims: SignedClaims) -> bool:
    organization, project = claims.text("organization"), claims.text("project")
    return is_led_by(f"org:{organization}:project:{project}", subject)


ACTIVESTATE: Final = Provider(
    name="activestate",
    title="ActiveState Platform",
    documentation_url="https://docs.pypi.org/trusted-publishers/adding-a-publisher/",
    issuer="https://platform.activestate.com/api/v1/oauth/oidc",
    fields=(
        Field(
            "organization",
            "organization",
            Role.IDENTITY,
            required=True,
            pattern=_SLUG,
            example="acme-org",
        ),
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
            pattern=_ID,
            example="00000000-0000-1000-8000-000000000002",
        ),
    ),
    required_claims=("sub", "organization", "project", "actor_id"),
    constants={"builder": "pypi-publisher"},
    blind_spot="No claim tells why a build runs: whatever the platform builds for the project "
    "publishes.",
    agreements={"sub": _is_activestate_subject},
    recorded={"repository": "project_path", "run": "artifact_id", "actor": "actor"},
)


def _is_circleci_organization(organization_id: str, claims: SignedClaims) -> bool:
    # An organisation's own issuer ends with its id and signs only for that organisation.
    _, is_own, owner = claims.issuer.rpartition("/org/")
    return not is_own or owner == organization_id


CIRCLECI: Final = Provider(
    name="circleci",
    title="CircleCI",
    documentation_url="https://circleci.com/docs/guides/permissions-authentication/openid-connect-tokens/",
    # The root issuer, which `circleci run oidc get --root-issuer` asks for, as uv and twine do.
    # CircleCI's page on the token format knows only the organisations' own issuers.
    issuer="https://oidc.circleci.com",
    issuer_shape="https://oidc.circleci.com/org/ORGANIZATION_ID",
    fields=(
        Field(
            "organization_id",
            "oidc.circleci.com/org-id",
            Role.IDENTITY,
            required=True,
            pattern=_ID,
            example="11111111-0000-4000-8000-000000000001",
        ),
        Field(
            "project_id",
            "oidc.circleci.com/project-id",
            Role.IDENTITY,
            required=True,
            pattern=_ID,
            example="22222222-0000-4000-8000-000000000002",
        ),
        Field(
            "pipeline_definition_id",
            "oidc.circleci.com/pipeline-definition-id",
            required=True,
            pattern=_ID,
            example="33333333-0000-4000-8000-000000000003",
        ),
        Field(
            "context_ids",
            "oidc.circleci.com/context-ids",
            any_of=True,
            in_list=True,
            pattern=_ID,
            example="44444444-0000-4000-8000-000000000004",
        ),
        Field(
            "vcs_ref",
            "oidc.circleci.com/vcs-ref",
            compare=REF_GLOB,
            pattern=_GIT_REF,
            example="refs/heads/main",
        ),
        Field("vcs_origin", "oidc.circleci.com/vcs-origin", example="github.com/acme/widgets"),
    ),
    required_claims=(
        "oidc.circleci.com/org-id",
        "oidc.circleci.com/project-id",
        "oidc.circleci.com/pipeline-definition-id",
    ),
    # A person who re-runs a job with SSH has a shell in it.
    constants={"oidc.circleci.com/ssh-rerun": False},
    agreements={"oidc.circleci.com/org-id": _is_circleci_organization},
    jobs=CIRCLECI_JOBS,
    blind_spot="Only `vcs_origin` tells a fork's pipeline from the project's own: where CircleCI "
    "hands secrets to pull requests of forks, set `vcs_origin` in the publisher.",
    recorded={
        "repository": "oidc.circleci.com/vcs-origin",
        "run": "oidc.circleci.com/pipeline-id",
        "ref": "oidc.circleci.com/vcs-ref",
        "workflow": "oidc.circleci.com/pipeline-definition-id",
    },
    has_immutable_identity=True,
)

BUILDKITE: Final = Provider(
    name="buildkite",
    title="Buildkite",
    documentation_url="https://buildkite.com/docs/agent/cli/reference/oidc",
    issuer="https://agent.buildkite.com",
    fields=(
        Field(
            "organization_slug",
            "organization_slug",
            Role.IDENTITY,
            required=True,
            pattern=_SLUG,
            example="acme-inc",
        ),
        Field(
            "pipeline_slug",
            "pipeline_slug",
            Role.IDENTITY,
            required=True,
            pattern=_SLUG,
            example="widgets-release",
        ),
        # Only in tokens that were asked for with `--claim`; pinned from the first that has them.
        Field(
            "organization_id",
            "organization_id",
            Role.PIN,
            pattern=_ID,
            example="0184990a-477b-4fa8-9968-496074483001",
        ),
        Field(
            "pipeline_id",
            "pipeline_id",
            Role.PIN,
            pattern=_ID,
            example="0184990a-4782-42b5-afc1-16715b10b002",
        ),
        Field("branch", "build_branch", compare=REF_GLOB, pattern=_SHORT_REF, example="main"),
        Field("tag", "build_tag", compare=REF_GLOB, pattern=_SHORT_REF, example="v*"),
        Field("step_key", "step_key", example="publish"),
        _choice("build_sources", "build_source", _BUILD_SOURCES, example="webhook", any_of=True),
        _choice(
            "runner_environment",
            "runner_environment",
            ("buildkite-hosted", "self-hosted"),
            example="buildkite-hosted",
        ),
    ),
    # `sub` may be another claim's value (`--subject-claim`), so nothing is asked of it. Buildkite
    # signs a `jti` since January 2025 though its page on claims has none; it is not required.
    required_claims=("organization_slug", "pipeline_slug", "job_id"),
    jobs=BUILDKITE_JOBS,
    blind_spot="No claim tells a build of a pull request from one of a branch, and a fork's branch "
    "may be called `main`: do not build forks in a pipeline that publishes, or let Buildkite "
    "prefix the names of their branches.",
    recorded={
        "run": "job_id",
        "sha": "build_commit",
        "ref": "build_branch",
        "workflow": "pipeline_slug",
    },
)


def _is_bitbucket_subject(subject: str, claims: SignedClaims) -> bool:
    # The environment, if there is one, and the step follow.
    return is_led_by(claims.text("repositoryUuid") or "", subject)


BITBUCKET: Final = Provider(
    name="bitbucket",
    title="Bitbucket Pipelines",
    documentation_url="https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/",
    issuer_shape="https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc",
    fields=(
        Field(
            "repository_uuid",
            "repositoryUuid",
            Role.IDENTITY,
            required=True,
            pattern=rf"\{{{_UUID}\}}",
            example="{5e7c3f1a-0000-4000-8000-000000000001}",
        ),
        # The issuer's URL contains the workspace's name, which others may get after a rename.
        Field(
            "workspace_uuid",
            "workspaceUuid",
            Role.PIN,
            pattern=rf"\{{{_UUID}\}}",
            example="{5e7c3f1a-0000-4000-8000-000000000002}",
        ),
        Field(
            "deployment_environment_uuid",
            "deploymentEnvironmentUuid",
            pattern=rf"\{{{_UUID}\}}",
            example="{5e7c3f1a-0000-4000-8000-000000000003}",
        ),
        # Sources disagree on whether every token names its branch; one that does not is refused
        # by a publisher that asks for a branch. Tags are in no source.
        Field("branch", "branchName", compare=REF_GLOB, pattern=_SHORT_REF, example="main"),
    ),
    required_claims=("sub", "repositoryUuid", "workspaceUuid", "pipelineUuid", "stepUuid"),
    agreements={"sub": _is_bitbucket_subject},
    blind_spot="No claim tells a pull request's pipeline from a branch's. Bitbucket runs a fork's "
    "pipelines in the fork, so that they speak for another repository.",
    recorded={
        "repository": "repositoryUuid",
        "run": "pipelineUuid",
        "ref": "branchName",
        "environment": "deploymentEnvironmentUuid",
    },
    # Audiences are configured as a list; no source shows what becomes of a list of one.
    token_form=TokenForm(may_list_audience=True),
)


def _is_azure_organization(organization_id: str, claims: SignedClaims) -> bool:
    # Every organisation has its own issuer, which signs only for that organisation.
    return is_same_ignoring_case(organization_id, claims.issuer.rstrip("/").rpartition("/")[2])


AZURE_DEVOPS: Final = Provider(
    name="azure-devops",
    title="Azure DevOps Pipelines",
    documentation_url="https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create",
    # Microsoft documents the call and not the claims; these are the ones that Sigstore's and
    # Teleport's users observed.
    issuer_shape="https://vstoken.dev.azure.com/ORGANIZATION_ID",
    fields=(
        Field(
            "organization_id",
            "org_id",
            Role.IDENTITY,
            required=True,
            pattern=_ID,
            example="7c5d0a11-0000-4000-8000-000000000001",
        ),
        Field(
            "project_id",
            "prj_id",
            Role.IDENTITY,
            required=True,
            pattern=_ID,
            example="7c5d0a11-0000-4000-8000-000000000002",
        ),
        Field(
            "definition_id",
            "def_id",
            Role.IDENTITY,
            required=True,
            pattern=_ID,
            example="42",
        ),
        # A uuid for a repository in Azure, `owner/name` for one at GitHub.
        Field("repository_id", "rpo_id", example="7c5d0a11-0000-4000-8000-000000000003"),
        Field(
            "repository_uri",
            "rpo_uri",
            example="https://dev.azure.com/acme/widgets/_git/widgets",
        ),
        Field("ref", "rpo_ref", compare=REF_GLOB, pattern=_GIT_REF, example="refs/tags/v*"),
    ),
    required_claims=("jti", "sub", "org_id", "prj_id", "def_id"),
    agreements={"org_id": _is_azure_organization},
    jobs=AZURE_DEVOPS_JOBS,
    blind_spot="No claim tells who started a run or why: a build of a fork is known by its ref "
    "alone, so do not give forks the pipeline's secrets.",
    recorded={
        "repository": "rpo_uri",
        "run": "run_id",
        "sha": "rpo_ver",
        "ref": "rpo_ref",
        "workflow": "sub",
    },
    has_immutable_identity=True,
)


def _forgejo_workflow(file: str, claims: SignedClaims) -> tuple[str, ...]:
    # Forgejo looks for workflows in these folders.
    repository = claims.text("repository")
    return tuple(
        f"{repository}/{folder}/workflows/{file}@{point}"
        for folder in (".forgejo", ".gitea", ".github")
        for point in (claims.text("ref"), claims.text("sha"))
        if point
    )


FORGEJO: Final = Provider(
    name="forgejo",
    title="Forgejo Actions (Codeberg)",
    documentation_url="https://forgejo.org/docs/latest/user/actions/security-openid-connect/",
    issuer="https://codeberg.org/api/actions",
    issuer_shape="https://HOST/api/actions",
    fields=(
        Field(
            "repository",
            "repository",
            Role.IDENTITY,
            required=True,
            compare=is_same_ignoring_case,
            pattern=r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/[A-Za-z0-9._-]{1,100}",
            example="acme/widgets",
        ),
        # In newer versions only (its page on claims lacks them still): pinned when first seen.
        Field(
            "repository_owner_id", "repository_owner_id", Role.PIN, pattern=_DIGITS, example="1234"
        ),
        Field("repository_id", "repository_id", Role.PIN, pattern=_DIGITS, example="5678"),
        Field(
            "workflow",
            "workflow_ref",
            required=True,
            compare=_is_same_workflow,
            expand=_forgejo_workflow,
            pattern=_WORKFLOW_FILE,
            example="release.yml",
        ),
        Field("ref", "ref", compare=REF_GLOB, pattern=_GIT_REF, example="refs/tags/v*"),
        _choice("ref_type", "ref_type", ("branch", "tag"), example="tag"),
        _choice("ref_protected", "ref_protected", _BOOLEAN, example="true"),
        _choice("events", "event_name", GITHUB_EVENTS, example="push", any_of=True),
    ),
    required_claims=(
        "sub",
        "repository",
        "repository_owner",
        "workflow_ref",
        "event_name",
        "ref",
        "sha",
    ),
    agreements={"repository_owner": _is_owner_of_repository},
    jobs=GITHUB_JOBS,
    recorded={
        "repository": "repository",
        "run": "run_id",
        "sha": "sha",
        "ref": "ref",
        "workflow": "workflow_ref",
        "actor": "actor",
    },
)


def _is_semaphore_subject(subject: str, claims: SignedClaims) -> bool:
    repository = (claims.text("repo_slug") or "").rpartition("/")[2]
    project = f"org:{claims.text('org')}:project:{claims.text('prj_id')}"
    return is_led_by(fold(f"{project}:repo:{repository}"), fold(subject))


def _is_semaphore_organization(organization: str, claims: SignedClaims) -> bool:
    # An organisation's own issuer signs only for it; a self-hosted Semaphore's may sign for others.
    host = claims.issuer.partition("://")[2]
    owner, _, domain = host.partition(".")
    return domain != "semaphoreci.com" or is_same_ignoring_case(owner, organization)


SEMAPHORE: Final = Provider(
    name="semaphore",
    title="Semaphore",
    documentation_url="https://docs.semaphoreci.com/reference/openid",
    issuer_shape="https://ORGANIZATION.semaphoreci.com",
    fields=(
        Field("organization", "org", Role.IDENTITY, required=True, pattern=_SLUG, example="acme"),
        Field("project", "prj", Role.IDENTITY, required=True, pattern=_SLUG, example="widgets"),
        Field(
            "organization_id",
            "org_id",
            Role.PIN,
            pattern=_ID,
            example="d7dd33ad-0000-4000-8000-000000000001",
        ),
        Field(
            "project_id",
            "prj_id",
            Role.PIN,
            pattern=_ID,
            example="936a5312-0000-4000-8000-000000000002",
        ),
        Field(
            "repository",
            "repo_slug",
            required=True,
            pattern=r"[^\x00-\x20\x7f/]{1,100}(/[^\x00-\x20\x7f/]{1,100}){1,20}",
            example="acme/widgets",
        ),
        Field("ref", "ref", compare=REF_GLOB, pattern=_GIT_REF, example="refs/tags/v*"),
        _choice("ref_type", "ref_type", ("branch", "tag", "pull-request"), example="tag"),
        _choice("job_type", "job_type", SEMAPHORE_JOB_TYPES, example="pipeline_job"),
    ),
    required_claims=("jti", "sub", "org", "org_id", "prj", "prj_id", "repo_slug"),
    agreements={"org": _is_semaphore_organization, "sub": _is_semaphore_subject},
    jobs=SEMAPHORE_JOBS,
    recorded={
        "repository": "repo_slug",
        "run": "wf_id",
        "ref": "ref",
        "workflow": "prj",
    },
)


def _is_service_account_subject(subject: str, claims: SignedClaims) -> bool:
    namespace = claims.text("kubernetes.io>namespace")
    name = claims.text("kubernetes.io>serviceaccount>name")
    return subject == f"system:serviceaccount:{namespace}:{name}"


KUBERNETES: Final = Provider(
    name="kubernetes",
    title="Kubernetes service accounts",
    documentation_url="https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/",
    # EKS. GKE: https://container.googleapis.com/v1/projects/P/locations/L/clusters/C. AKS:
    # https://REGION.oic.prod-aks.azure.com/TENANT_ID/CLUSTER_ID/ with the last slash.
    issuer_shape="https://oidc.eks.REGION.amazonaws.com/id/CLUSTER_ID",
    fields=(
        Field(
            "namespace",
            "kubernetes.io>namespace",
            Role.IDENTITY,
            required=True,
            pattern=r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            example="ci",
        ),
        Field(
            "service_account",
            "kubernetes.io>serviceaccount>name",
            Role.IDENTITY,
            required=True,
            pattern=r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
            example="release",
        ),
        Field(
            "service_account_uid",
            "kubernetes.io>serviceaccount>uid",
            Role.PIN,
            pattern=_ID,
            example="14ee3fa4-0000-4000-8000-000000000001",
        ),
    ),
    required_claims=(
        "sub",
        "kubernetes.io>namespace",
        "kubernetes.io>serviceaccount>name",
        "kubernetes.io>serviceaccount>uid",
    ),
    agreements={"sub": _is_service_account_subject},
    blind_spot="The claims name the service account and not what the pod does: never run a "
    "stranger's change under an account that publishes.",
    recorded={
        "run": "kubernetes.io>pod>name",
        "actor": "sub",
    },
    token_form=TokenForm(may_list_audience=True),
)


def _is_account_of_arn(account: str, claims: SignedClaims) -> bool:
    return (claims.text("sub") or "").split(":")[4:5] == [account]


AWS: Final = Provider(
    name="aws",
    title="AWS IAM roles",
    documentation_url="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html",
    issuer_shape="https://ACCOUNT_UUID.tokens.sts.global.api.aws",
    algorithms=("ES384", "RS256"),
    fields=(
        Field(
            "role_arn",
            "sub",
            Role.IDENTITY,
            required=True,
            pattern=r"arn:aws[a-z-]{0,16}:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]{1,576}",
            example="arn:aws:iam::123456789012:role/release",
        ),
        Field(
            "account_id",
            "https://sts.amazonaws.com/>aws_account",
            Role.PIN,
            pattern=r"[0-9]{12}",
            example="123456789012",
        ),
        Field(
            "organization_id",
            "https://sts.amazonaws.com/>org_id",
            pattern=r"o-[a-z0-9]{10,32}",
            example="o-abc1234567",
        ),
    ),
    required_claims=("jti", "sub", "https://sts.amazonaws.com/>aws_account"),
    agreements={"https://sts.amazonaws.com/>aws_account": _is_account_of_arn},
    blind_spot="The claims name the role and not the job: whatever assumes the role publishes, "
    "also a build of a stranger's change.",
    recorded={"actor": "sub"},
)

GENERIC: Final = Provider(
    name="generic",
    title="Any other OpenID Connect issuer",
    documentation_url="https://openid.net/specs/openid-connect-core-1_0.html#IDToken",
    issuer_shape="any https URL",
    # There are no fields, because a publisher states all that it expects in its `claims`.
    fields=(),
    required_claims=("sub",),
    blind_spot="No claim is known to tell a job that a stranger can cause: ask in `claims` for one "
    "that does, such as a protected branch.",
    recorded={"actor": "sub"},
    # Some libraries that sign write a list of one by default (golang-jwt).
    token_form=TokenForm(may_list_audience=True),
)

PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        GITHUB,
        GITLAB,
        GOOGLE,
        ACTIVESTATE,
        CIRCLECI,
        BUILDKITE,
        BITBUCKET,
        AZURE_DEVOPS,
        FORGEJO,
        SEMAPHORE,
        KUBERNETES,
        AWS,
        GENERIC,
    )
}
