"""From a request to the handler of its endpoint, and to its answer and its audit record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeAlias, TypeVar

from pytp_broker.audit import Trail
from pytp_broker.display import printable
from pytp_broker.errors import MethodNotAllowed, NotFound, Problem
from pytp_broker.messages import Request, Response, problem_response
from pytp_broker.registries import Destination
from pytp_broker.services import Services

S = TypeVar("S", bound=Services)

READING: Final = ("GET", "HEAD")
NO_EVENT: Final = ""
# What a request is called that was meant to change something and has reached no endpoint.
ASTRAY: Final = "request"


@dataclass(frozen=True, slots=True)
class Read(Generic[S]):
    """An endpoint that shows what is there. Reading leaves no audit record."""

    methods: tuple[str, ...]
    handler: Callable[[Request, Destination, S], Response]
    event: ClassVar[str] = NO_EVENT

    def answer(
        self, request: Request, destination: Destination, services: S, _trail: Trail
    ) -> Response:
        """Return the handler's answer."""
        return self.handler(request, destination, services)


@dataclass(frozen=True, slots=True)
class Act(Generic[S]):
    """An endpoint that does something, or says what may be done: one audit record a request."""

    event: str
    methods: tuple[str, ...]
    handler: Callable[[Request, Destination, S, Trail], Response]

    def answer(
        self, request: Request, destination: Destination, services: S, trail: Trail
    ) -> Response:
        """Return the handler's answer; what becomes known on the way is added to the trail."""
        return self.handler(request, destination, services, trail)


Route: TypeAlias = Read[S] | Act[S]
Routes: TypeAlias = Mapping[str, Route[S]]


def respond(request: Request, routes: Routes[S], services: S) -> Response:
    """Return the answer to a request; every Problem becomes its error object.

    Whatever is no reading leaves one audit record, accepted or refused.
    """
    trail = Trail(NO_EVENT if request.method in READING else ASTRAY)
    trail.add(host=request.host, path=request.path, source_ip=request.source_ip)
    try:
        response = _answer(request, routes, services, trail)
    except Problem as problem:
        if trail.event:
            services.audit(trail.refused(problem))
        return problem_response(problem, instance=request.path)
    if trail.event:
        services.audit(trail.accepted())
    return response


def _answer(request: Request, routes: Routes[S], services: S, trail: Trail) -> Response:
    destination = services.locate(request.host, request.path)
    route = _find_route(destination.path, routes)
    trail.event = route.event or trail.event
    if request.method not in route.methods:
        raise MethodNotAllowed(printable(request.method, 20), route.methods)
    return route.answer(request, destination, services, trail)


def _find_route(path: str, routes: Routes[S]) -> Route[S]:
    """Return the route of the longest matching path; one that ends in ``*`` takes all below it."""
    if path in routes:
        return routes[path]
    for pattern, route in routes.items():
        if pattern.endswith("*") and path.startswith(pattern[:-1]):
            return route
    raise NotFound("there is nothing at this address")
