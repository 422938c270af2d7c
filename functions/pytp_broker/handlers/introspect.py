"""The introspect function: other indexes and proxies ask whether a token is good."""

from typing import Final

from packaging.utils import canonicalize_name

from pytp_broker.audit import Trail
from pytp_broker.errors import Problem, Unauthorized
from pytp_broker.handlers.dispatch import Route, Routes
from pytp_broker.identity import printable
from pytp_broker.introspection import introspect, read_question, verify_client
from pytp_broker.messages import Request, Response, json_response
from pytp_broker.registries import Destination
from pytp_broker.rights import read_token, verify_any_right, verify_right
from pytp_broker.services import Services

INTROSPECT_PATH: Final = "/_/token/introspect"
VERIFY_PATH: Final = "/_/token/verify"


def introspect_token(request: Request, destination: Destination, services: Services) -> Response:
    """Answer ``POST /_/token/introspect`` (RFC 7662); audit the question."""
    registry = destination.registry
    trail = Trail("introspection")
    trail.add(registry=registry.name, source_ip=request.source_ip)
    try:
        trail.add(client=verify_client(request.headers, registry))
        question = read_question(request.body)
        answer = introspect(question, registry, services)
    except Problem as problem:
        services.audit(trail.refused(problem))
        raise
    asked = {name: printable(question.get(name, "")) for name in ("project", "filename")}
    trail.add(active=answer["active"], **asked)
    services.audit(trail.accepted())
    return json_response(answer)


def verify(request: Request, destination: Destination, services: Services) -> Response:
    """Answer ``GET /_/token/verify[/{project}]`` from the headers alone, for forward-auth proxies.

    200 with what the token is good for in ``X-Pytp-…`` headers, else 401 or 403. A proxy must go on
    to hold the file against the project: it has not seen the form.
    """
    registry = destination.registry.name
    project = destination.path.removeprefix(VERIFY_PATH).removeprefix("/")
    token = read_token(request.headers)
    if project:
        name: str = canonicalize_name(project)
        record, projects = verify_right(token, registry, name, services).record, [name]
    else:
        record, projects = verify_any_right(token, registry, services)
    if record.used_for is not None:
        raise Unauthorized("the upload token was for a single upload, and has been used")
    headers = {
        "Cache-Control": "no-store",
        "X-Pytp-Registry": registry,
        "X-Pytp-Projects": ", ".join(projects),
        "X-Pytp-Issuer": record.issuer,
    }
    return Response(200, headers=headers)


ROUTES: Final[Routes[Services]] = {
    INTROSPECT_PATH: Route(("POST",), introspect_token),
    VERIFY_PATH: Route(("GET", "HEAD"), verify),
    f"{VERIFY_PATH}/*": Route(("GET", "HEAD"), verify),
}
