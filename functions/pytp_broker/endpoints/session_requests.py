"""What the endpoints of Upload API 2.0 share: reading a request about a session, and answering."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pytp_broker.access import verify_uploader
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import RequestEvent, SessionEvent
from pytp_broker.endpoints.routing import Context
from pytp_broker.errors import Problem
from pytp_broker.http.messages import Response, json_response
from pytp_broker.http.upload_api import MEDIA_TYPE, check_accepted, read_body
from pytp_broker.index.sessions.entering import Entered, enter
from pytp_broker.services import Index

E = TypeVar("E", bound=RequestEvent)
V = TypeVar("V")


def enter_session(context: Context[Index, E]) -> Entered:
    """Return the session of the path, and the caller's right in it."""
    note_token(context)
    token = context.variables["session"]
    return enter(token, context.caller, context.services, context.event)


def note_token(context: Context[Index, E]) -> None:
    """Record the beginning of the hash of the caller's token."""
    if isinstance(context.event, SessionEvent):
        context.event.token_hash = hash_prefix(context.caller.token.hash)


def read(context: Context[Index, E], parse: Callable[[Mapping[str, Any]], V]) -> V:
    """Return what the body says."""
    request = context.request
    with only_told_to_uploaders(context):
        check_accepted(request.headers)
        return parse(read_body(request.headers, request.body))


@contextmanager
def only_told_to_uploaders(context: Context[Index, E]) -> Iterator[None]:
    """Tell only who may upload here what is wrong with a request."""
    try:
        yield
    except Problem:
        verify_uploader(context.caller, context.services)
        raise


def base_of(context: Context[Index, E]) -> str:
    """Return the URL of the registry, which all links begin with."""
    return root_of(context) + context.destination.base_path


def root_of(context: Context[Index, E]) -> str:
    """Return the URL of the host's root."""
    return f"{context.request.scheme}://{context.destination.host}"


def json_answer(document: Mapping[str, Any], status: int = 200, **headers: str) -> Response:
    """Return a document of Upload API 2.0."""
    response = json_response(document, status=status, content_type=MEDIA_TYPE)
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, response.body, {**response.headers, **more})


def no_content() -> Response:
    """Return an answer that says nothing but that it is done."""
    return Response(204, headers={"Cache-Control": "no-store"})
