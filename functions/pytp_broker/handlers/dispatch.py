"""From a request to the handler of its endpoint, and from a problem to its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pytp_broker.display import printable
from pytp_broker.errors import MethodNotAllowed, NotFound, Problem
from pytp_broker.messages import Request, Response, problem_response
from pytp_broker.registries import Destination
from pytp_broker.services import Services

S = TypeVar("S", bound=Services)
Handler = Callable[[Request, Destination, S], Response]


@dataclass(frozen=True, slots=True)
class Route(Generic[S]):
    """The methods and the handler of one endpoint."""

    methods: tuple[str, ...]
    handler: Handler[S]


Routes = Mapping[str, Route[S]]


def respond(request: Request, routes: Routes[S], services: S) -> Response:
    """Return the answer to a request; every Problem becomes its error object."""
    try:
        destination = services.locate(request.host, request.path)
        route = _find_route(destination.path, routes)
        if request.method not in route.methods:
            raise MethodNotAllowed(printable(request.method, 20), route.methods)
        return route.handler(request, destination, services)
    except Problem as problem:
        return problem_response(problem, instance=request.path)


def _find_route(path: str, routes: Routes[S]) -> Route[S]:
    """Return the route of the longest matching path; one that ends in ``*`` takes all below it."""
    if path in routes:
        return routes[path]
    for pattern, route in routes.items():
        if pattern.endswith("*") and path.startswith(pattern[:-1]):
            return route
    raise NotFound("there is nothing at this address")
