"""Find the handler of a request, return its answer and leave its audit record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeAlias, TypeVar

from pytp_broker.addresses import advise
from pytp_broker.audit import Trail
from pytp_broker.destinations import Destination
from pytp_broker.errors import MethodNotAllowed, NotFound, Problem, Unexpected
from pytp_broker.http.messages import Request, Response, problem_response
from pytp_broker.redaction import printable
from pytp_broker.services import Services

S = TypeVar("S", bound=Services)

READING: Final = ("GET", "HEAD")
# The audit event of a request that has reached no act.
OTHER: Final = "request"


@dataclass(frozen=True, slots=True)
class Read(Generic[S]):
    """An endpoint that shows what is there. Reading leaves no audit record, if we can answer."""

    methods: tuple[str, ...]
    handler: Callable[[Request, Destination, S], Response]
    event: ClassVar[None] = None

    def answer(
        self, request: Request, destination: Destination, services: S, _trail: Trail
    ) -> Response:
        """Return the handler's answer."""
        return self.handler(request, destination, services)


@dataclass(frozen=True, slots=True)
class Act(Generic[S]):
    """An endpoint that changes or permits something: every request leaves one audit record."""

    event: str
    methods: tuple[str, ...]
    handler: Callable[[Request, Destination, S, Trail], Response]

    def answer(
        self, request: Request, destination: Destination, services: S, trail: Trail
    ) -> Response:
        """Return the handler's answer; what becomes known on the way is added to the trail."""
        return self.handler(request, destination, services, trail)


@dataclass(frozen=True, slots=True)
class Probe(Generic[S]):
    """An endpoint for monitors, at the root of every host, whatever is configured there.

    It leaves no audit record, even when we fail to answer, because monitors ask every few seconds.
    """

    methods: tuple[str, ...]
    handler: Callable[[Request, S], Response]
    event: ClassVar[None] = None

    def answer(
        self, _request: Request, _destination: Destination, _services: S, _trail: Trail
    ) -> Response:
        """Raise NotFound: below a prefix there is none."""
        raise NotFound("there is nothing at this address")

    def respond(self, request: Request, services: S) -> Response:
        """Return the handler's answer, or the error object."""
        try:
            if request.method not in self.methods:
                raise MethodNotAllowed(printable(request.method, 20), self.methods)
            return self.handler(request, services)
        except Problem as problem:
            return problem_response(problem, request.path, services.error_type_base)


Route: TypeAlias = Read[S] | Act[S] | Probe[S]
Routes: TypeAlias = Mapping[str, Route[S]]


def respond(request: Request, routes: Routes[S], services: S) -> Response:
    """Return the answer to a request; every Problem becomes its error object.

    Every request that is not a reading leaves one audit record, accepted or refused. A reading
    leaves one only if we fail to answer it.
    """
    probe = routes.get(request.path)
    if isinstance(probe, Probe):
        return probe.respond(request, services)
    event = _event(request, routes)
    trail = Trail(event or OTHER)
    trail.add(host=request.host, path=request.path, source_ip=request.source_ip)
    outcome: Problem | None = Unexpected()  # until we know better
    try:
        response = _answer(request, routes, services, trail)
        outcome = None
    except Problem as problem:
        response = problem_response(problem, request.path, services.error_type_base)
        outcome = problem
    finally:
        is_failure = outcome is not None and not outcome.is_callers
        if event is not None or is_failure:
            services.audit(trail.refused(outcome) if outcome else trail.accepted())
    return response


def _event(request: Request, routes: Routes[S]) -> str | None:
    """Return the event of a request's audit record; None for a reading.

    We decide this before we know whether the first segment of the path is a registry, so that
    requests are recorded even when the store is down.
    """
    below = "/" + request.path.removeprefix("/").partition("/")[2]
    found = _find_route(request.path, routes) or _find_route(below, routes)
    if found is not None and found.event is not None:
        return found.event
    return None if request.method in READING else OTHER


def _answer(request: Request, routes: Routes[S], services: S, trail: Trail) -> Response:
    destination = services.locate(request.host, request.path)
    try:
        return _answer_at(destination, request, routes, services, trail)
    except (NotFound, MethodNotAllowed) as problem:
        problem.advise(advise(request, destination))
        raise


def _answer_at(
    destination: Destination, request: Request, routes: Routes[S], services: S, trail: Trail
) -> Response:
    route = _find_route(destination.path, routes)
    if route is None:
        nothing_here = NotFound("there is nothing at this address")
        raise services.turn_away(request, destination, nothing_here)
    if request.method not in route.methods:
        wrong_method = MethodNotAllowed(printable(request.method, 20), route.methods)
        raise services.turn_away(request, destination, wrong_method)
    return route.answer(request, destination, services, trail)


def _find_route(path: str, routes: Routes[S]) -> Route[S] | None:
    """Return the route of the longest matching path; one that ends in ``*`` takes all below it."""
    if path in routes:
        return routes[path]
    for pattern, route in routes.items():
        if pattern.endswith("*") and path.startswith(pattern[:-1]):
            return route
    return None
