"""Checks of a stack as a whole: its status, its version, and what was changed by hand."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pytp_broker import __version__
from pytp_broker.doctor import shipped
from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, warning, well
from pytp_broker.redaction import and_more, printable

if TYPE_CHECKING:
    from pytp_broker.doctor.cloud import Cloud, Stack
    from pytp_broker.doctor.visit import Visit

DEPLOY: Final = "run sam deploy of this version for the stack {stack}, which sets it again"
_NAMED: Final = 5
_GOOD: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")

STACK_STATUS: Final = Flaw(
    "stack-status",
    "look at the stack's events: aws cloudformation describe-stack-events --stack-name {stack}; "
    "then continue its rollback or run sam deploy again",
)
STACK_ROLLED_BACK: Final = warning(
    "stack-rolled-back",
    "the last deployment failed and the one before runs: look at its events, and run sam deploy "
    "again",
)
RESOURCE_MISSING: Final = Flaw("resource-missing", DEPLOY)
VERSION_OLDER: Final = Flaw(
    "version-older", "run make install build and sam deploy of this version, then pytp-broker apply"
)
VERSION_NEWER: Final = Flaw(
    "version-newer", "use the pytp-broker of the stack's version for every command"
)
DRIFTED: Final = Flaw(
    "stack-drifted",
    "look with aws cloudformation describe-stack-resource-drifts --stack-name {stack}; then "
    + DEPLOY,
)


def look_at_stack(visit: "Visit") -> Iterator[Finding]:
    """Ask for the stack's status, and for resources that the template has and the stack has not."""
    stack = stack_of(visit)
    missing = [name for name in shipped.unconditional() if not _has(stack, name)]
    if stack.status not in _GOOD:
        yield STACK_STATUS.found(f"the stack is {printable(stack.status)}")
    elif stack.status == "UPDATE_ROLLBACK_COMPLETE":
        yield STACK_ROLLED_BACK.found(f"the stack is {stack.status}")
    if missing:
        shown = and_more(missing[:_NAMED], len(missing))
        yield RESOURCE_MISSING.found(f"the stack has no {shown}")
    elif stack.status in _GOOD[:-1]:
        yield well(f"the stack is {stack.status}, with all resources of the template")


def _has(stack: "Stack", name: str) -> bool:
    # SAM adds the hash of its content to the name of a layer.
    return any(each == name or each.startswith(name) for each in stack.resources)


def look_at_version(visit: "Visit") -> Iterator[Finding]:
    """Compare the stack's version with this command's."""
    from packaging.version import InvalidVersion, Version

    deployed = stack_of(visit).outputs.get("Version", "")
    try:
        is_older = not deployed or Version(deployed) < Version(__version__)
    except InvalidVersion:
        raise NotCheckedError(f"the stack's version is {printable(deployed)}") from None
    shown = deployed or "older than 0.2.0"
    if deployed == __version__:
        yield well(f"the stack and this command are {__version__}")
    elif is_older:
        yield VERSION_OLDER.found(f"the stack is {shown}, and this command is {__version__}")
    else:
        yield VERSION_NEWER.found(f"the stack is {shown}, and this command is {__version__}")


def look_at_drift(visit: "Visit") -> Iterator[Finding]:
    """Ask what AWS's last detection of drift has found; we start none, for it takes minutes."""
    stack = stack_of(visit)
    status = stack.drift.get("StackDriftStatus", "NOT_CHECKED")
    if status == "IN_SYNC":
        yield well(f"CloudFormation found no drift at {stack.drift.get('LastCheckTimestamp', '')}")
        return
    if status != "DRIFTED":
        raise NotCheckedError(
            "nobody has looked for drift: aws cloudformation detect-stack-drift --stack-name "
            f"{stack.name}, and doctor again some minutes later"
        )
    wanted = ["MODIFIED", "DELETED"]
    asked = cloud_of(visit).ask(
        "cloudformation",
        "describe_stack_resource_drifts",
        StackName=stack.name,
        StackResourceDriftStatusFilters=wanted,
    )
    names = [printable(each["LogicalResourceId"]) for each in asked["StackResourceDrifts"]]
    yield DRIFTED.found(f"changed by hand: {and_more(names[:_NAMED], len(names))}")


def cloud_of(visit: "Visit") -> "Cloud":
    """Return the broker on AWS that a check needs."""
    assert visit.cloud is not None  # noqa: S101 - the check needs it
    return visit.cloud


def stack_of(visit: "Visit") -> "Stack":
    """Return the stack that a check needs."""
    stack = cloud_of(visit).stack
    assert stack is not None  # noqa: S101 - the check needs it
    return stack
