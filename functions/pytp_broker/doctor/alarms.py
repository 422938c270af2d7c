"""Check of the alarms: each one of infra/alarms.yaml is deployed, and somebody hears it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.doctor import shipped
from pytp_broker.doctor.findings import Finding, Flaw, warning, well
from pytp_broker.doctor.stack import cloud_of, stack_of
from pytp_broker.redaction import and_more, printable

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Visit

_NAMED: Final = 5
MISSING: Final = Flaw(
    "alarm-missing", "deploy infra/alarms.yaml of this version as a stack of its own"
)
SILENT: Final = Flaw(
    "alarm-without-topic",
    "deploy infra/alarms.yaml with a Topic that somebody reads, and enable the alarm's actions",
)
RINGS: Final = warning("alarm-rings", "look at what {alarm} says in CloudWatch")


def look_at_alarms(visit: "Visit") -> Iterator[Finding]:
    """Look for every alarm of infra/alarms.yaml, and for the topic that each notifies."""
    asked = cloud_of(visit).ask_all("cloudwatch", "describe_alarms", AlarmTypes=["MetricAlarm"])
    deployed: Sequence[Mapping[str, Any]] = asked.get("MetricAlarms", ())
    wanted = [*shipped.alarms(stack_of(visit).outputs)]
    missing, silent = [], []
    for alarm in wanted:
        found = [each for each in deployed if alarm.matches(each)]
        if not found:
            missing.append(alarm.logical_id)
        elif not any(each.get("AlarmActions") and _acts(each) for each in found):
            silent.append(alarm.logical_id)
        for each in found:
            if each.get("StateValue") == "ALARM":
                name = printable(each["AlarmName"])
                yield RINGS.found(f"{alarm.logical_id} is in alarm", alarm=name)
    if missing:
        yield MISSING.found(f"nothing watches {and_more(missing[:_NAMED], len(missing))}")
    if silent:
        yield SILENT.found(f"{and_more(silent[:_NAMED], len(silent))} notifies nobody")
    if not missing and not silent:
        yield well(f"{len(wanted)} alarms are deployed, each with a topic")


def _acts(alarm: Mapping[str, Any]) -> bool:
    return bool(alarm.get("ActionsEnabled", True))
