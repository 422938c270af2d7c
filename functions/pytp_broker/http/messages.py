"""HTTP messages between a transport and the handlers: what came in, what goes out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pytp_broker.content import NOTHING, Content, Lent, read_all
from pytp_broker.errors import DEFAULT_TYPE_BASE, Problem
from pytp_broker.http.paths import is_upload_api
from pytp_broker.http.upload_api import write_problem

_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, as the gateway hands it over.

    ``path`` is decoded once, and ``headers`` have lower-case names. ``content`` is the body, which
    may be large; ``body`` has all of it in memory, for endpoints whose bodies are small.
    """

    method: str
    host: str
    path: str
    # Members that may hold a secret are hidden from repr, in case a request is ever shown.
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: Content = field(default=NOTHING, repr=False)
    source_ip: str = ""

    @property
    def body(self) -> bytes:
        """Return all bytes of the body."""
        return read_all(self.content)

    @property
    def scheme(self) -> str:
        """Return the scheme of the client's URL; the gateway always sets this header itself."""
        return "http" if self.headers.get("x-forwarded-proto") == "http" else "https"


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response.

    ``content`` is a body that is not in memory, and the code that sends it closes it. On AWS no
    response has any, because files there have URLs of their own.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Lent | None = field(default=None, repr=False)


def json_response(
    document: Mapping[str, object] | Sequence[object],
    *,
    status: int = 200,
    content_type: str = "application/json",
) -> Response:
    """Return a JSON response that no cache keeps.

    The content type carries no charset parameter: uv compares it for equality.
    """
    body = _COMPACT.encode(document).encode()
    return Response(status, body, {"Content-Type": content_type, "Cache-Control": "no-store"})


def problem_response(
    problem: Problem, instance: str, type_base: str = DEFAULT_TYPE_BASE
) -> Response:
    """Return the error object of a refusal (RFC 9457).

    ``instance`` is the path of the request. The paths of Upload API 2.0 have further members.
    """
    if is_upload_api(instance):
        document = write_problem(problem, instance, type_base)
    else:
        document = problem.document(instance, type_base)
    response = json_response(
        document, status=document["status"], content_type="application/problem+json"
    )
    return Response(response.status, response.body, {**response.headers, **problem.headers})
