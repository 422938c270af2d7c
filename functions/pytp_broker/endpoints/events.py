"""Convert between API Gateway's HTTP API events (payload format 2.0) and our messages."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from pytp_broker.content import Content, Held, Lent
from pytp_broker.endpoints.routing import Routes, S, respond
from pytp_broker.errors import MalformedRequest, Problem
from pytp_broker.http.messages import Request, Response, problem_response

Event = Mapping[str, Any]

# A browser sends the credentials that it keeps for us also when another site embeds an address of
# ours. With this header, that site does not learn whether there was anything to load.
_SAME_SITE_ONLY: Final[Mapping[str, str]] = {"Cross-Origin-Resource-Policy": "same-origin"}


def handle(event: Event, routes: Routes[S], services: S) -> dict[str, Any]:
    """Return the gateway's result for an event: what every function of the deployment does."""
    return write_result(answer(event, routes, services))


def handle_here(event: Event, routes: Routes[S], services: S) -> dict[str, Any]:
    """Return the result for the local gateway, which takes the bytes as they are."""
    response = answer(event, routes, services)
    content = response.content or Lent(Held(response.body), bytes)
    return {**_head_of(response), "content": content}


def answer(event: Event, routes: Routes[S], services: S) -> Response:
    """Return the answer to an event; every Problem becomes its error object."""
    try:
        return respond(read_event(event), routes, services)
    except Problem as problem:
        return problem_response(problem, event["rawPath"], services.error_type_base)


def read_event(event: Event) -> Request:
    """Return the request in an event; raise MalformedRequest for an undecodable body.

    The host is the one that the gateway routed by; ``X-Forwarded-Host`` counts for nothing.
    """
    context = event["requestContext"]
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    return Request(
        method=context["http"]["method"],
        host=headers.get("host", context["domainName"]),
        path=event["rawPath"],
        query=event.get("queryStringParameters") or {},
        headers=headers,
        content=_read_content(event),
        source_ip=context["http"].get("sourceIp", ""),
    )


def _read_content(event: Event) -> Content:
    """Return the body: the local gateway leaves a large one where it is, as ``content``."""
    content: Content | None = event.get("content")
    return Held(_read_body(event)) if content is None else content


def _read_body(event: Event) -> bytes:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode(errors="surrogatepass")
    try:
        # base64.b64decode does the same, and copies the text first.
        return binascii.a2b_base64(body, strict_mode=True)
    except ValueError:
        raise MalformedRequest("the body is marked as base64, but it is not base64") from None


def write_result(response: Response) -> dict[str, Any]:
    """Return the response as the gateway expects it: text as it is, and other bytes as base64.

    Only the local gateway gets ``content``, which it sends piece by piece.
    """
    text = _read_text(response)
    result = {
        **_head_of(response),
        "body": base64.b64encode(response.body).decode() if text is None else text,
        "isBase64Encoded": text is None,
    }
    return result if response.content is None else {**result, "content": response.content}


def _head_of(response: Response) -> dict[str, Any]:
    return {
        "statusCode": response.status,
        "headers": {**_SAME_SITE_ONLY, **response.headers},
    }


def _read_text(response: Response) -> str | None:
    """Return the body as text, or None if it is not text."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    content_type = headers.get("content-type", "").partition(";")[0]
    is_text = content_type.startswith("text/") or content_type.endswith(("/json", "+json", "+html"))
    if not is_text or "content-encoding" in headers:
        return None if response.body else ""
    try:
        return response.body.decode()
    except UnicodeDecodeError:
        return None
