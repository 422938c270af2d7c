"""The introspect function: other indexes and proxies ask whether a token is good."""

from contextlib import suppress
from typing import Final

from pytp_broker.access import Caller, verify_any_right, verify_right
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Introspection
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.errors import Forbidden
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.credentials import read_client
from pytp_broker.http.messages import Response, json_response
from pytp_broker.introspection import introspect, read_question, verify_client
from pytp_broker.names import normalize
from pytp_broker.redaction import printable
from pytp_broker.services import Services
from pytp_broker.tokens import MalformedTokenError, TokenRecord, UploadToken

# API Gateway takes 10 KiB for all headers of an answer.
MAX_PROJECTS_CHARACTERS: Final = 8192


def introspect_token(context: Context[Services, Introspection]) -> Response:
    """Answer ``POST /_/token/introspect`` (RFC 7662)."""
    request, event = context.request, context.event
    registry = context.destination.registry
    client_id, secret = read_client(request.headers)
    verify_client(client_id, secret, registry)
    event.client = client_id
    question = read_question(request.body)
    event.project = printable(question.get("project", ""))
    event.filename = printable(question.get("filename", ""))
    with suppress(MalformedTokenError):
        event.token_hash = hash_prefix(UploadToken.parse(question["token"]).hash)
    answer = introspect(question, registry, context.configuration, context.services)
    event.active = answer["active"]
    return json_response(answer)


def verify(context: Context[Services, Introspection]) -> Response:
    """Answer ``GET /_/token/verify[/{project}]`` from the headers alone, for forward-auth proxies.

    The answer is 200 with the token's rights in ``X-Pytp-…`` headers, else 401 or 403. The proxy
    must still check the file against the project, because this endpoint has not seen the form.
    """
    caller, event = context.caller, context.event
    project = normalize(context.variables.get("project", ""))
    event.project, event.token_hash = printable(project), hash_prefix(caller.token.hash)
    record, projects = _verify(caller, project, context.services)
    headers = {
        "Cache-Control": "no-store",
        "X-Pytp-Registry": caller.registry.name,
        "X-Pytp-Projects": _name_all(projects),
        "X-Pytp-Issuer": record.issuer,
    }
    event.active = True
    return Response(200, headers=headers)


def _verify(caller: Caller, project: str, services: Services) -> tuple[TokenRecord, list[str]]:
    if project:
        record, projects = verify_right(caller, project, services).record, [project]
    else:
        record, projects = verify_any_right(caller, services)
    if record.is_single_use:  # a proxy cannot say when it is used
        raise Forbidden("a single-use token is good where the index itself uses it up, not here")
    return record, projects


def _name_all(projects: list[str]) -> str:
    named = ", ".join(projects)
    if len(named) > MAX_PROJECTS_CHARACTERS:
        raise Forbidden(f"the upload token is for {len(projects)} projects: ask for one of them")
    return named


ROUTES: Final[Routes[Services]] = (
    Route(paths.INTROSPECT, ("POST",), introspect_token, event=Introspection),
    Route(paths.VERIFY, READING, verify, event=Introspection, needs=Permission.UPLOAD),
    Route(paths.VERIFY_PROJECT, READING, verify, event=Introspection, needs=Permission.UPLOAD),
)
