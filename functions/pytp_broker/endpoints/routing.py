"""Find the handler of a request, return its answer and leave its audit record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar

from pytp_broker.addresses import advise
from pytp_broker.audit.requests import Other, RequestEvent
from pytp_broker.destinations import Destination
from pytp_broker.errors import MethodNotAllowed, NotFound, Problem, Unexpected
from pytp_broker.http.messages import Request, Response, problem_response
from pytp_broker.redaction import printable
from pytp_broker.services import Services

S = TypeVar("S", bound=Services)
E = TypeVar("E", bound=RequestEvent)

READING: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Read(Generic[S]):
    """An endpoint that shows what is there. Reading leaves no audit record, if we can answer."""

    methods: tuple[str, ...]
    handler: Callable[[Request, Destination, S], Response]
    event: ClassVar[None] = None

    def answer(
        self, request: Request, destination: Destination, services: S, _event: RequestEvent
    ) -> Response:
        """Return the handler's answer."""
        return self.handler(request, destination, services)


@dataclass(frozen=True, slots=True)
class Act(Generic[S, E]):
    """An endpoint that changes or permits something: every request leaves one audit record."""

    event: type[E]
    methods: tuple[str, ...]
    handler: Callable[[Request, Destination, S, E], Response]

    def answer(self, request: Request, destination: Destination, services: S, event: E) -> Response:
        """Return the handler's answer; the handler adds what it learns to the event."""
        return self.handler(request, destination, services, event)


@dataclass(frozen=True, slots=True)
class Probe(Generic[S]):
    """An endpoint for monitors, at the root of every host, whatever is configured there.

    It leaves no audit record, even when we fail to answer, because monitors ask every few seconds.
    """

    methods: tuple[str, ...]
    handler: Callable[[Request, S], Response]
    event: ClassVar[None] = None

    def answer(
        self, _request: Request, _destination: Destination, _services: S, _event: RequestEvent
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


Route: TypeAlias = Read[S] | Act[S, Any] | Probe[S]
Routes: TypeAlias = Mapping[str, Route[S]]


def respond(request: Request, routes: Routes[S], services: S) -> Response:
    """Return the answer to a request; every Problem becomes its error object.

    Every request that is not a reading leaves one audit record, accepted or refused. A reading
    leaves one only if we fail to answer it.
    """
    probe = routes.get(request.path)
    if isinstance(probe, Probe):
        return probe.respond(request, services)
    kind = _event(request, routes)
    event = (kind or Other)(host=request.host, path=request.path, source_ip=request.source_ip)
    outcome: Problem | None = Unexpected()  # until we know better
    try:
        response = _answer(request, routes, services, event)
        outcome = None
    except Problem as problem:
        response = problem_response(problem, request.path, services.error_type_base)
        outcome = problem
    finally:
        is_failure = outcome is not None and not outcome.is_callers
        if kind is not None or is_failure:
            services.audit(event.refused(outcome) if outcome else event.accepted())
    return response


def _event(request: Request, routes: Routes[S]) -> type[RequestEvent] | None:
    """Return the event of a request's audit record; None for a reading.

    We decide this before we know whether the first segment of the path is a registry, so that
    requests are recorded even when the store is down.
    """
    below = "/" + request.path.removeprefix("/").partition("/")[2]
    found = _find_route(request.path, routes) or _find_route(below, routes)
    if found is not None and found.event is not None:
        return found.event
    return None if request.method in READING else Other


def _answer(request: Request, routes: Routes[S], services: S, event: RequestEvent) -> Response:
    destination = services.locate(request.host, request.path)
    try:
        return _answer_at(destination, request, routes, services, event)
    except (NotFound, MethodNotAllowed) as problem:
        problem.advise(advise(request, destination))
        raise


def _answer_at(
    destination: Destination, request: Request, routes: Routes[S], services: S, event: RequestEvent
) -> Response:
    route = _find_route(destination.path, routes)
    if route is None:
        nothing_here = NotFound("there is nothing at this address")
        raise services.turn_away(request, destination, nothing_here)
    if request.method not in route.methods:
        wrong_method = MethodNotAllowed(printable(request.method, 20), route.methods)
        raise services.turn_away(request, destination, wrong_method)
    return route.answer(request, destination, services, event)


def _find_route(path: str, routes: Routes[S]) -> Route[S] | None:
    """Return the route of the longest matching path; one that ends in ``*`` takes all below it."""
    if path in routes:
        return routes[path]
    for pattern, route in routes.items():
        if pattern.endswith("*") and path.startswith(pattern[:-1]):
            return route
    return None
