"""What GitHub Actions and Forgejo Actions share: repositories, workflow files and events."""

from collections.abc import Callable
from typing import Final

from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.trust.comparisons import is_same_ignoring_case
from pytp_broker.trust.providers.fields import DIGITS, choice_field
from pytp_broker.trust.providers.model import Advise, Field, JobRule, Role, WiderIdentity

# Events that only people with write access to the repository can cause.
TRUSTED_EVENTS: Final = (
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
EVENTS: Final = (
    *TRUSTED_EVENTS,
    *("branch_protection_rule", "check_run", "check_suite", "delete", "deployment_status"),
    *("discussion", "discussion_comment", "dynamic", "fork", "gollum", "image_version"),
    *("issue_comment", "issues", "label", "milestone", "page_build", "project", "project_card"),
    *("project_column", "public", "pull_request", "pull_request_comment", "pull_request_review"),
    *("pull_request_review_comment", "pull_request_target", "registry_package", "status", "watch"),
    "workflow_run",
)
EVENT_RULE: Final = JobRule(
    field="events",
    claim="event_name",
    expected=", ".join(TRUSTED_EVENTS),
    is_trusted=TRUSTED_EVENTS.__contains__,
    advice="publish from an event such as `push`, `release` or `workflow_dispatch`; a stranger "
    "can cause others, so the publisher accepts others only if its `events` lists them",
    is_required=True,
)
_WORKFLOW_FILE: Final = r"[^\x00-\x1f\x7f/]{1,200}\.ya?ml"


def repository_field(pattern: str, example: str) -> Field:
    """Return the field for a repository's whole name, ``OWNER/NAME``."""
    return Field(
        "repository",
        "repository",
        Role.IDENTITY,
        required=True,
        compare=is_same_ignoring_case,
        pattern=pattern,
        example=example,
    )


def id_fields(owner_id: str, repository_id: str) -> tuple[Field, Field]:
    """Return the fields for the immutable ids of owner and repository, with these examples."""
    return (
        Field(
            "repository_owner_id",
            "repository_owner_id",
            Role.PIN,
            pattern=DIGITS,
            example=owner_id,
        ),
        Field("repository_id", "repository_id", Role.PIN, pattern=DIGITS, example=repository_id),
    )


def owner_identity(pattern: str, example: str, owner_id: str) -> WiderIdentity:
    """Return the identity of an owner: all its repositories, with the owner's immutable id."""
    owner = Field(
        "owner",
        "repository_owner",
        Role.IDENTITY,
        compare=is_same_ignoring_case,
        pattern=pattern,
        example=example,
    )
    return WiderIdentity((owner,), id_fields(owner_id, "")[:1])


def workflow_field(
    claim: str,
    expand: Callable[[str, SignedClaims], tuple[str, ...]],
    *,
    claim_beside: dict[str, str] | None = None,
    advise: Advise | None = None,
) -> Field:
    """Return the field for the name of the workflow's file; ``expand`` returns its whole refs."""
    return Field(
        "workflow",
        claim,
        required=True,
        compare=is_same_workflow,
        expand=expand,
        claim_beside=claim_beside or {},
        # An @ may be in a file's name: the whole claim is compared, so it can mislead nobody.
        pattern=_WORKFLOW_FILE,
        example="release.yml",
        advise=advise,
    )


def events_field() -> Field:
    """Return the field that lists the events whose jobs the publisher accepts."""
    return choice_field(
        "events", "event_name", EVENTS, example="push", any_of=True, advise=_advise_event
    )


def _advise_event(expected: str, _seen: str | None, _claims: SignedClaims) -> str:
    return f"publish from one of the events that the publisher lists: `{expected}`"


def is_same_workflow(expected: str, seen: str) -> bool:
    """Say whether both are the same ``OWNER/REPOSITORY/PATH@POINT``.

    Case does not matter in the names of owners and repositories, but elsewhere it does.
    """
    if expected == seen:
        return True
    length = _repository_length(expected)
    return (
        length == _repository_length(seen)
        and is_same_ignoring_case(expected[:length], seen[:length])
        and expected[length:] == seen[length:]
    )


def _repository_length(workflow: str) -> int:
    owner, slash, rest = workflow.partition("/")
    return len(owner + slash + rest.partition("/")[0])


def is_owner_of_repository(owner: str, claims: SignedClaims) -> bool:
    """Say whether the token's ``repository`` is this owner's."""
    return is_same_ignoring_case(owner, (claims.text("repository") or "").partition("/")[0])
