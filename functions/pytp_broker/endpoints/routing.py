"""Find the endpoint of a request, return its answer and leave its audit record."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pytp_broker.access import Caller, verify_reader
from pytp_broker.audit.requests import Other, RegistryEvent, RequestEvent
from pytp_broker.destinations import Destination, locate, root_of
from pytp_broker.endpoints.addresses import advise
from pytp_broker.endpoints.problem_pages import refusal
from pytp_broker.errors import MethodNotAllowed, NotFound, Problem, Unauthorized, Unexpected
from pytp_broker.grants import Permission
from pytp_broker.http.credentials import read_token
from pytp_broker.http.messages import Request, Response
from pytp_broker.http.paths import Path, below_prefix
from pytp_broker.redaction import printable
from pytp_broker.registries import Configuration
from pytp_broker.services import Services

S = TypeVar("S", bound=Services)
E = TypeVar("E", bound=RequestEvent)

READING: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Context(Generic[S, E]):
    """A request at its endpoint, with all that the handler works with.

    ``variables`` are those of the route's path. ``configuration`` is one snapshot for the whole
    request: the destination and every check come from it. The handler adds to the ``event`` what it
    learns.
    """

    request: Request
    variables: Mapping[str, str]
    destination: Destination
    configuration: Configuration
    services: S
    event: E
    holder: Caller | None

    @property
    def caller(self) -> Caller:
        """Return who calls; only the endpoints that need a permission know."""
        assert self.holder is not None  # noqa: S101 - the dispatcher has authenticated
        return self.holder


@dataclass(frozen=True, slots=True)
class Route(Generic[S, E]):
    """An endpoint: its path, its methods and its handler.

    ``event`` is the audit event that every request causes. It is None for an endpoint that only
    reads: a request leaves a record there only if we fail to answer it.

    ``needs`` is the permission that a caller must have. The dispatcher refuses a request without a
    well-formed token before the handler runs. For reading it also verifies the token, unless the
    registry is public. For uploads the handler verifies the token with ``access``, because only the
    handler knows the project: it is in the form.

    A probe is for monitors. It answers at the root of every host without the configuration, and it
    leaves no record even when we fail to answer, because monitors ask every few seconds.
    """

    path: Path
    methods: tuple[str, ...]
    handler: Callable[[Context[S, E]], Response]
    event: type[E] | None = None
    needs: Permission | None = None
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class _Match(Generic[S]):
    """A route whose path matches, the variables of the path, and the methods that it takes.

    If no route of the path takes the method of the request, it is the first route of the path.
    """

    route: Route[S, Any]
    variables: Mapping[str, str]
    allowed: tuple[str, ...]


class Routes(Generic[S]):
    """The endpoints of a function, among which ``find`` looks for that of a request.

    A path without variables goes before those with variables, and these are tried in their order.
    """

    def __init__(self, *routes: Route[S, Any]) -> None:
        self._routes = routes
        groups: dict[Path, tuple[Route[S, Any], ...]] = {}
        for route in routes:
            groups[route.path] = (*groups.get(route.path, ()), route)
        self._plain = {f"{path}": group for path, group in groups.items() if not path.has_variables}
        self._others = [(path, group) for path, group in groups.items() if path.has_variables]

    def __iter__(self) -> Iterator[Route[S, Any]]:
        """Yield each route."""
        return iter(self._routes)

    def find(self, method: str, path: str) -> _Match[S] | None:
        """Return the route of a path, for this method if there is one."""
        # A path that ends in a slash also matches without it.
        plain = self._plain.get(path) or self._plain.get(f"{path}/")
        if plain is not None:
            return _match(method, plain, {})
        for known, group in self._others:
            variables = known.match(path)
            if variables is not None:
                return _match(method, group, variables)
        return None


def _match(
    method: str, group: tuple[Route[S, Any], ...], variables: Mapping[str, str]
) -> _Match[S]:
    chosen = next((each for each in group if method in each.methods), group[0])
    return _Match(chosen, variables, tuple(m for each in group for m in each.methods))


@dataclass(frozen=True, slots=True)
class _Selection(Generic[S]):
    """The endpoint that a path leads to at the root of a host, and the one below a prefix.

    Only the configuration tells whether the first segment of the path is a registry's prefix.
    """

    at_root: _Match[S] | None
    below_prefix: _Match[S] | None

    @property
    def is_probe(self) -> bool:
        """Say whether the path leads to a probe."""
        return self.at_root is not None and self.at_root.route.is_probe

    def event(self, method: str) -> type[RequestEvent] | None:
        """Return the event that a request causes; None if the endpoint only reads.

        This does not need the configuration, so requests are recorded even when the store is down.
        A path that leads to an endpoint at a root is not below a prefix, because no registry has
        one of ``RESERVED_NAMES``.
        """
        found = self.at_root or self.below_prefix
        if found is not None and found.route.event is not None:
            event: type[RequestEvent] = found.route.event
            return event
        return None if method in READING else Other

    def at(self, destination: Destination) -> _Match[S] | None:
        """Return the endpoint at the destination of the request."""
        return self.below_prefix if destination.base_path else self.at_root


def respond(request: Request, routes: Routes[S], services: S) -> Response:
    """Return the answer to a request; every Problem becomes its error object.

    Every request that does more than read leaves one audit record, whether accepted or refused. A
    request that only reads leaves one only if we fail to answer it.
    """
    selection = _select(request, routes)
    kind = selection.event(request.method)
    event = (kind or Other)(host=request.host, path=request.path, source_ip=request.source_ip)
    outcome: Problem | None = Unexpected()  # until we know better
    try:
        response = _answer(request, selection, services, event)
        outcome = None
    except Problem as problem:
        response = refusal(problem, request, services.error_type_base)
        outcome = problem
    finally:
        is_failure = outcome is not None and not outcome.is_callers
        if (kind is not None or is_failure) and not selection.is_probe:
            services.audit(event.refused(outcome) if outcome else event.accepted())
    return response


def _select(request: Request, routes: Routes[S]) -> _Selection[S]:
    method, path = request.method, request.path
    return _Selection(routes.find(method, path), routes.find(method, below_prefix(path)))


def _answer(
    request: Request, selection: _Selection[S], services: S, event: RequestEvent
) -> Response:
    configuration, destination = _locate(request, selection, services)
    try:
        found = _choose(request, selection, destination, services)
        if isinstance(event, RegistryEvent):
            event.registry = destination.registry.name
        caller = _authenticate(request, found.route, destination, configuration, services)
        return found.route.handler(
            Context(request, found.variables, destination, configuration, services, event, caller)
        )
    except (NotFound, MethodNotAllowed) as problem:
        problem.advise(advise(request, destination))
        raise
    except Unauthorized as problem:
        problem.ask_for(destination.registry.name)
        raise


def _locate(
    request: Request, selection: _Selection[S], services: S
) -> tuple[Configuration, Destination]:
    if selection.is_probe:
        return Configuration(), root_of(request.host, request.path)
    configuration = services.configurations.current()
    host, path = request.host, request.path
    return configuration, locate(configuration, host, path, services.shared_host)


def _choose(
    request: Request, selection: _Selection[S], destination: Destination, services: S
) -> _Match[S]:
    """Return the endpoint; raise NotFound or MethodNotAllowed."""
    found = selection.at(destination)
    if found is None:
        nothing_here = NotFound("there is nothing at this address")
        raise services.turn_away(request.source_ip, destination, nothing_here)
    if request.method not in found.allowed:
        wrong_method = MethodNotAllowed(printable(request.method, 20), found.allowed)
        raise services.turn_away(request.source_ip, destination, wrong_method)
    return found


def _authenticate(
    request: Request,
    route: Route[S, Any],
    destination: Destination,
    configuration: Configuration,
    services: S,
) -> Caller | None:
    """Return the caller, if the endpoint needs a permission here.

    Raises NotFound, Unauthorized or Forbidden. In a public registry reading needs no permission, so
    we ignore the token that a client may send: it may be one for another use, or an old one.
    """
    if route.needs is None:
        return None
    registry, is_reading = destination.registry, route.needs is Permission.READ
    if is_reading and registry.is_public:
        return None
    caller = Caller(read_token(request.headers), route.needs, registry, configuration)
    if is_reading:
        verify_reader(caller, services)
    return caller
