"""What this version ships: its template and its alarms, with which a deployment is compared.

The checks read both files, so that a route, a function or an alarm that is added there is checked
from then on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pytp_broker.local.routes import (
    GatewayRoute,
    RouteTable,
    TemplateError,
    find_template,
    load_template,
)

ALARMS: Final = "alarms.yaml"
_FUNCTION: Final = "AWS::Serverless::Function"


@cache
def template() -> Mapping[str, Any]:
    """Return the template of this version."""
    return load_template(find_template())


@cache
def alarms_template() -> Mapping[str, Any]:
    """Return the template of the alarms: beside ours in a wheel, in `infra` in a checkout."""
    beside = find_template().parent
    places = (beside / ALARMS, beside / "infra" / ALARMS)
    for place in places:
        if place.is_file():
            return load_template(place)
    raise TemplateError(f"no {ALARMS} at {' or '.join(map(str, places))}")


def properties_of(logical_id: str) -> Mapping[str, Any]:
    """Return the properties of a resource of the template."""
    found: Mapping[str, Any] = template()["Resources"][logical_id]["Properties"]
    return found


def unconditional() -> Sequence[str]:
    """Return the names of the resources that every stack has, whatever its parameters."""
    resources = template()["Resources"]
    return [name for name, resource in resources.items() if "Condition" not in resource]


def route_table() -> Sequence[GatewayRoute]:
    """Return every route of the gateway."""
    return RouteTable.from_template(template()).routes


def throttles() -> Mapping[str, str]:
    """Return the parameter with the rate of each route that has one; of the rest under ``""``."""
    stage = properties_of("Stage")
    rates = {"": stage["DefaultRouteSettings"], **stage["RouteSettings"]}
    return {route: settings["ThrottlingRateLimit"]["Ref"] for route, settings in rates.items()}


@dataclass(frozen=True, slots=True)
class ShippedFunction:
    """A function of the template, and those of its settings that are written out there."""

    logical_id: str
    settings: Mapping[str, Any]
    variables: frozenset[str]


def functions() -> Iterator[ShippedFunction]:
    """Yield every function, with what all of them have."""
    shared = template()["Globals"]["Function"]
    for logical_id, resource in template()["Resources"].items():
        if resource["Type"] == _FUNCTION:
            own = {**shared, **resource["Properties"]}
            names = ("Handler", "Runtime", "Timeout", "MemorySize")
            variables = {**_variables(shared), **_variables(resource["Properties"])}
            settings = {name: own[name] for name in names}
            yield ShippedFunction(logical_id, settings, frozenset(variables))


def _variables(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = properties.get("Environment", {}).get("Variables", {})
    return found


@dataclass(frozen=True, slots=True)
class ShippedAlarm:
    """An alarm of the template: the metric that it watches, or what it says if it computes.

    ``dimensions`` has None for a value that we do not know.
    """

    logical_id: str
    description: str
    metric: tuple[str, str] | None
    dimensions: Mapping[str, str | None]

    def matches(self, alarm: Mapping[str, Any]) -> bool:
        """Say whether an alarm that is deployed watches the same."""
        if self.metric is None:
            return alarm.get("AlarmDescription") == self.description
        found = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", ())}
        return (
            (alarm.get("Namespace"), alarm.get("MetricName")) == self.metric
            and found.keys() == self.dimensions.keys()
            and all(value in {None, found[name]} for name, value in self.dimensions.items())
        )


def alarms(outputs: Mapping[str, str]) -> Iterator[ShippedAlarm]:
    """Yield every alarm; the parameters of the template are called like outputs of the stack."""
    for logical_id, resource in alarms_template()["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            yield _read_alarm(logical_id, resource["Properties"], outputs)


def _read_alarm(
    logical_id: str, written: Mapping[str, Any], outputs: Mapping[str, str]
) -> ShippedAlarm:
    listed = written.get("Dimensions", ())
    return ShippedAlarm(
        logical_id,
        written["AlarmDescription"],
        (written["Namespace"], written["MetricName"]) if "MetricName" in written else None,
        {each["Name"]: _value_of(each["Value"], outputs) for each in listed},
    )


def _value_of(value: object, outputs: Mapping[str, str]) -> str | None:
    if isinstance(value, str):
        return value
    name = value.get("Ref") if isinstance(value, Mapping) else None
    return outputs.get(str(name))
