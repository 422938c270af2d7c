"""Checks of the functions and what is around them: logs, the queue, schedules."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pytp_broker.doctor import shipped
from pytp_broker.doctor.findings import Finding, Flaw, warning, well
from pytp_broker.doctor.stack import DEPLOY, cloud_of, stack_of
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    from pytp_broker.doctor.cloud import Stack
    from pytp_broker.doctor.visit import Visit

_NAMED: Final = 5
# A deployment begins at the stack's time, and changes functions in the minutes after.
_DEPLOYMENT: Final = timedelta(hours=2)
_LOGS: Final = "AWS::Logs::LogGroup"
_RULE: Final = "AWS::Events::Rule"
FAILED: Final = Flaw(
    "function-failed",
    "look at the function's state: aws lambda get-function-configuration --function-name "
    "{function}; then " + DEPLOY,
)
CHANGED: Final = Flaw("function-changed", DEPLOY)
REPLACED: Final = warning(
    "function-replaced",
    "if nobody knows why, its code may be another version or somebody else's: " + DEPLOY,
)
LOG_RETENTION_OFF: Final = Flaw(
    "log-retention-off",
    "run aws logs put-retention-policy --log-group-name {group} --retention-in-days 365",
)
QUEUE_NOT_EMPTY: Final = Flaw(
    "dead-letters",
    "read docs/operate.md, Large uploads: let each file be checked again, then delete its message "
    "from {queue}",
)
SCHEDULE_OFF: Final = Flaw("schedule-off", "run aws events enable-rule --name {rule}")


def look_at_functions(visit: "Visit") -> Iterator[Finding]:
    """Compare each function's settings with the template, and its last change with the stack's."""
    cloud, stack = cloud_of(visit), stack_of(visit)
    is_good, count = True, 0
    for function in shipped.functions():
        name = cloud.physical_id(function.logical_id)
        said = cloud.ask("lambda", "get_function_configuration", FunctionName=name)
        count += 1
        for finding in _judge_function(function, said, stack):
            is_good = False
            yield finding
    if is_good:
        yield well(f"{count} functions are as the template says, and as the stack left them")


def _judge_function(
    function: shipped.ShippedFunction, said: Mapping[str, Any], stack: "Stack"
) -> Iterator[Finding]:
    name, place = function.logical_id, str(said.get("FunctionName", ""))
    states = said.get("State", "Active"), said.get("LastUpdateStatus", "Successful")
    if states[0] not in {"Active", "Inactive"} or states[1] == "Failed":
        shown = printable(f"{states[0]}, its last update {states[1]}")
        yield FAILED.found(f"{name} is {shown}", function=place)
    changed = [_told(k, said.get(k), v) for k, v in function.settings.items() if said.get(k) != v]
    variables = {*said.get("Environment", {}).get("Variables", {})}
    if absent := sorted(function.variables - variables):
        changed.append(f"it has no variable {', '.join(absent)}")
    wanted = stack.parameters.get("Architecture")
    built = said.get("Architectures", [wanted])
    if wanted and built != [wanted]:
        changed.append(_told("Architectures", built, wanted))
    if changed:
        yield CHANGED.found(f"{name}: {'; '.join(changed)}")
    modified = _read_time(said.get("LastModified", ""))
    if modified and stack.updated_at and modified > stack.updated_at + _DEPLOYMENT:
        when = f"{modified:%Y-%m-%d %H:%M}Z, and the stack at {stack.updated_at:%Y-%m-%d %H:%M}Z"
        yield REPLACED.found(f"{name} was changed at {when}")


def _read_time(text: str) -> datetime | None:
    """Return a time as Lambda writes it, with milliseconds and without a colon in its zone."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
    except ValueError:
        return None


def _told(name: str, found: object, expected: object) -> str:
    return f"{name} is {printable(str(found))}, not {expected}"


def look_at_log_groups(visit: "Visit") -> Iterator[Finding]:
    """Ask how long each log is kept."""
    cloud, groups = cloud_of(visit), stack_of(visit).of_kind(_LOGS)
    endless = []
    for group in groups:
        asked = cloud.ask("logs", "describe_log_groups", logGroupNamePrefix=group.physical_id).get(
            "logGroups", ()
        )
        kept = [g.get("retentionInDays") for g in asked if g["logGroupName"] == group.physical_id]
        if kept != [days for days in kept if days]:
            endless.append(group)
    for group in endless:
        what = f"{group.logical_id} is kept without an end"
        yield LOG_RETENTION_OFF.found(what, group=group.physical_id)
    if not endless:
        yield well(f"each of {len(groups)} logs is kept for a number of days")


def look_at_queue(visit: "Visit") -> Iterator[Finding]:
    """Ask whether a large upload, or attestations, could not be verified."""
    cloud = cloud_of(visit)
    url = cloud.physical_id("FailedVerifications")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    asked = cloud.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=names)
    count = sum(int(value) for value in asked.get("Attributes", {}).values())
    if count:
        queue = urlsplit(url).path.rpartition("/")[2]
        yield QUEUE_NOT_EMPTY.found(f"{count} verifications have failed three times", queue=queue)
    else:
        yield well("no verification has failed for good")


def look_at_schedules(visit: "Visit") -> Iterator[Finding]:
    """Ask whether the functions that have a schedule still run."""
    cloud, rules = cloud_of(visit), stack_of(visit).of_kind(_RULE)
    for rule in rules:
        name = rule.physical_id.rpartition("/")[2]
        state = cloud.ask("events", "describe_rule", Name=name).get("State", "")
        if state != "ENABLED":
            yield SCHEDULE_OFF.found(f"{rule.logical_id} is {printable(state)}", rule=name)
        else:
            yield well(f"{rule.logical_id} runs its function")
