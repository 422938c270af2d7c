"""The gateway's routes, read from ``template.yaml``: what runs locally is what is deployed.

API Gateway selects the most specific route: a full match before one with a greedy variable, a
literal segment before a variable, a named method before ANY, and ``$default`` for the rest (AWS,
"Create routes for HTTP APIs", section "Routing API requests"). A greedy variable may be empty after
a last slash; no other route matches a path that ends in a slash.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

_PACKAGE: Final = Path(__file__).resolve().parent
_ROUTE: Final = "AWS::ApiGatewayV2::Route"
_INTEGRATION: Final = "AWS::ApiGatewayV2::Integration"
_FUNCTIONS: Final = ("AWS::Serverless::Function", "AWS::Lambda::Function")

# How specific one segment of a route is.
_GREEDY, _VARIABLE, _LITERAL = range(3)
_PATTERNS: Final = {_GREEDY: r"[\s\S]*", _VARIABLE: "[^/]+"}
Specificity = tuple[bool, tuple[int, ...], bool]


class TemplateError(Exception):
    """The template is missing, or one of its routes leads nowhere."""


def find_template() -> Path:
    """Return the path of ``template.yaml``; raise TemplateError.

    In a wheel it is beside this module, in a checkout beside the source root.
    """
    places = (_PACKAGE / "template.yaml", _PACKAGE.parents[2] / "template.yaml")
    for place in places:
        if place.is_file():
            return place
    raise TemplateError(f"no template.yaml at {' or '.join(map(str, places))}")


def load_template(path: Path) -> dict[str, Any]:
    """Return a CloudFormation template, with short tags in their long form."""
    with path.open(encoding="utf-8") as file:
        document = yaml.load(file, _CloudFormationLoader)  # noqa: S506 - a SafeLoader
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError(f"{path} is not a CloudFormation template")
    return document


class _CloudFormationLoader(yaml.SafeLoader):
    """Reads ``!Ref x`` as ``{"Ref": "x"}`` and any other ``!Name x`` as ``{"Fn::Name": x}``."""


def _read_tag(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    key = name if name in {"Ref", "Condition"} else f"Fn::{name}"
    if isinstance(node, yaml.ScalarNode):
        return {key: loader.construct_scalar(node)}
    if isinstance(node, yaml.MappingNode):
        return {key: loader.construct_mapping(node, deep=True)}
    assert isinstance(node, yaml.SequenceNode)  # noqa: S101 - YAML has no fourth kind
    return {key: loader.construct_sequence(node, deep=True)}


_CloudFormationLoader.add_multi_constructor("!", _read_tag)


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """One route of the gateway: its key and the logical id of the function behind it."""

    key: str
    function: str

    @property
    def method(self) -> str:
        """Return the method, ``ANY``, or an empty text for ``$default``."""
        return self.key.rpartition(" ")[0]

    @property
    def segments(self) -> list[str]:
        """Return the segments of the path."""
        return self.key.rpartition(" ")[2].split("/")

    @property
    def specificity(self) -> Specificity:
        """Return a value that is greater for a more specific route."""
        ranks = tuple(_rank(segment) for segment in self.segments)
        return _GREEDY not in ranks, ranks, self.method != "ANY"

    @property
    def pattern(self) -> str:
        """Return a regular expression that matches the whole of a path of this route."""
        if self.key == "$default":
            return r"[\s\S]*"
        return "/".join(
            _PATTERNS.get(_rank(segment)) or re.escape(segment) for segment in self.segments
        )

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the path's variables, or None if the route does not match."""
        if self.key == "$default":
            return {}
        if self.method not in {method, "ANY"}:
            return None
        return _match(self.segments, path.split("/"))


@dataclass(frozen=True, slots=True)
class Selected:
    """The route that a request takes, and the variables of its path."""

    route: GatewayRoute
    variables: Mapping[str, str]


def _rank(segment: str) -> int:
    if segment.endswith("+}"):
        return _GREEDY
    return _VARIABLE if segment.startswith("{") else _LITERAL


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    variables = {}
    if _rank(pattern[-1]) == _GREEDY and len(segments) >= len(pattern):
        rest = "/".join(segments[len(pattern) - 1 :])
        segments = [*segments[: len(pattern) - 1], rest]
    if len(pattern) != len(segments):
        return None
    for expected, seen in zip(pattern, segments, strict=True):
        rank = _rank(expected)
        if (rank == _LITERAL and expected != seen) or (rank == _VARIABLE and not seen):
            return None
        if rank != _LITERAL and seen:
            variables[expected.strip("{+}")] = seen
    return variables


class RouteTable:
    """All routes of the gateway."""

    def __init__(self, routes: Iterable[GatewayRoute]) -> None:
        found = tuple(routes)
        default = [route for route in found if route.key == "$default"]
        specific = [route for route in found if route.key != "$default"]
        self._routes = sorted(specific, key=lambda r: r.specificity, reverse=True) + default
        methods = {route.method for route in specific} | {"ANY"}
        self._selectors = {method: _Selector(self._routes, method) for method in methods}

    @classmethod
    def from_template(cls, template: Mapping[str, Any]) -> Self:
        """Return the routes of a template; raise TemplateError for one that leads nowhere."""
        return cls(_read_routes(template["Resources"]))

    @property
    def functions(self) -> frozenset[str]:
        """Return the logical ids of all functions that a route leads to."""
        return frozenset(route.function for route in self._routes)

    @property
    def routes(self) -> tuple[GatewayRoute, ...]:
        """Return all routes, the most specific first."""
        return tuple(self._routes)

    def select(self, method: str, path: str) -> Selected | None:
        """Return the most specific matching route and the path's variables, if there is one."""
        selector = self._selectors.get(method) or self._selectors["ANY"]
        route = selector.find(path)
        return None if route is None else Selected(route, route.match(method, path) or {})


class _Selector:
    """The routes that take a method, as one regular expression: it is quicker than to try each."""

    def __init__(self, routes: Iterable[GatewayRoute], method: str) -> None:
        self._routes = [route for route in routes if route.method in {method, "ANY", ""}]
        self._pattern = re.compile("|".join(f"({route.pattern})" for route in self._routes))

    def find(self, path: str) -> GatewayRoute | None:
        """Return the first route that matches."""
        found = self._pattern.fullmatch(path)
        return self._routes[found.lastindex - 1] if found and found.lastindex else None


def _read_routes(resources: Mapping[str, Any]) -> Iterator[GatewayRoute]:
    for name, resource in resources.items():
        if resource.get("Type") == _ROUTE:
            properties = resource["Properties"]
            integration = _find_reference(properties["Target"], resources, (_INTEGRATION,))
            if integration is None:
                raise TemplateError(f"the Target of {name} is not an integration of the template")
            uri = resources[integration]["Properties"].get("IntegrationUri")
            function = _find_reference(uri, resources, _FUNCTIONS)
            if function is None:
                raise TemplateError(f"the IntegrationUri of {integration} does not name a function")
            yield GatewayRoute(properties["RouteKey"], function)


def _find_reference(
    value: object, resources: Mapping[str, Any], types: tuple[str, ...]
) -> str | None:
    """Return the first resource of one of the types that the value refers to."""
    for name in _references(value):
        if resources.get(name, {}).get("Type") in types:
            return name
    return None


def _references(value: object) -> list[str]:
    """Return the logical ids in a value: of Ref, GetAtt and Sub, at any depth."""
    if isinstance(value, str):
        # `${Name.Attribute}` of a Sub, and `Name.Attribute` or `Name` of the others.
        return [part.partition("}")[0].partition(".")[0] for part in value.split("${")]
    if isinstance(value, Mapping):
        value = list(value.values())
    return (
        [name for inner in value for name in _references(inner)] if isinstance(value, list) else []
    )
