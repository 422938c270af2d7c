"""Checks of the HTTP API: its routes, its rates, and whether clients can go round its host name."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.doctor import shipped
from pytp_broker.doctor.findings import Finding, Flaw, warning, well
from pytp_broker.doctor.stack import DEPLOY, cloud_of, stack_of
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    from pytp_broker.doctor.cloud import Stack
    from pytp_broker.doctor.visit import Visit

_NAMED: Final = 5
ROUTE_MISSING: Final = Flaw("gateway-route-missing", DEPLOY)
ROUTE_ELSEWHERE: Final = Flaw("gateway-route-elsewhere", DEPLOY)
THROTTLE_MISSING: Final = Flaw("throttle-missing", DEPLOY)
THROTTLE_CHANGED: Final = Flaw("throttle-changed", DEPLOY)
HOST_BYPASSED: Final = warning(
    "host-name-bypassed",
    "deploy with ServeDefaultEndpoint=false once the host name answers: clients can go round what "
    "protects it",
)


def look_at_routes(visit: "Visit") -> Iterator[Finding]:
    """Compare every route of the gateway, and the function behind it, with the template."""
    cloud = cloud_of(visit)
    api = {"ApiId": cloud.physical_id("Api")}
    routes = cloud.ask_all("apigatewayv2", "get_routes", **api)["Items"]
    integrations = cloud.ask_all("apigatewayv2", "get_integrations", **api)["Items"]
    uris = {each["IntegrationId"]: each.get("IntegrationUri", "") for each in integrations}
    targets = {r["RouteKey"]: uris.get(r.get("Target", "").rpartition("/")[2], "") for r in routes}
    bad = [*_compare_routes(targets, stack_of(visit))]
    yield from islice(bad, _NAMED)
    if not bad:
        yield well(f"the gateway has the {len(shipped.route_table())} routes of the template")


def _compare_routes(targets: Mapping[str, str], stack: "Stack") -> Iterator[Finding]:
    for route in shipped.route_table():
        function = stack.physical_id(route.function) or ""
        if route.key not in targets:
            yield ROUTE_MISSING.found(f"the gateway has no route {route.key}")
        elif not function or function not in targets[route.key]:
            yield ROUTE_ELSEWHERE.found(f"{route.key} does not lead to {route.function}")


def look_at_throttles(visit: "Visit") -> Iterator[Finding]:
    """Compare the rates of the gateway's stage with the stack's parameters."""
    cloud = cloud_of(visit)
    stage = cloud.ask(
        "apigatewayv2", "get_stage", ApiId=cloud.physical_id("Api"), StageName="$default"
    )
    settings = {"": stage.get("DefaultRouteSettings", {}), **stage.get("RouteSettings", {})}
    bad = [*_compare_rates(settings, stack_of(visit).parameters)]
    yield from islice(bad, _NAMED)
    if not bad:
        yield well("the gateway passes as many requests a second as the stack's parameters say")


def _compare_rates(
    settings: Mapping[str, Mapping[str, Any]], parameters: Mapping[str, str]
) -> Iterator[Finding]:
    for route, parameter in shipped.throttles().items():
        rate = settings.get(route, {}).get("ThrottlingRateLimit")
        expected = parameters.get(parameter)
        name = route or "every other route"
        if rate is None:
            yield THROTTLE_MISSING.found(f"{name} has no limit, and {parameter} is {expected}")
        elif expected is not None and float(rate) != float(expected):
            yield THROTTLE_CHANGED.found(f"{name} passes {rate}, and {parameter} is {expected}")


def look_at_host_name(visit: "Visit") -> Iterator[Finding]:
    """Ask whether clients can go round the host name."""
    stack = stack_of(visit)
    host, serves = (stack.parameters.get(n, "") for n in ("HostName", "ServeDefaultEndpoint"))
    if host and serves == "true":
        yield HOST_BYPASSED.found(f"the API's own address answers beside {printable(host)}")
    else:
        yield well(f"clients use {printable(stack.outputs.get('Url', ''))} alone")
