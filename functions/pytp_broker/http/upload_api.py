"""The wire of Upload API 2.0 (PEP 694, the draft of 2026-07-29): types, bodies, times, errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pytp_broker.errors import (
    FileDeleted,
    FileExists,
    InvalidPayload,
    InvalidRelease,
    MalformedRequest,
    NotAcceptable,
    PayloadTooLarge,
    Problem,
    ProjectClosed,
    UnsupportedMediaType,
)
from pytp_broker.http.negotiation import accepts
from pytp_broker.redaction import printable
from pytp_broker.strict_json import parse_json_object

API_VERSION: Final = "2.0"
MEDIA_TYPE: Final = "application/vnd.pypi.upload.v2+json"
# The largest body has a file's name and its digests, which take a few KiB.
MAX_BODY_BYTES: Final = 64 * 1024
META: Final[Mapping[str, str]] = {"api-version": API_VERSION}

_ACCEPTED: Final = frozenset({MEDIA_TYPE, "application/*", "*/*"})
# The legacy API answers 400 to these, because clients know that of PyPI; PEP 694 asks for 409.
CONFLICTS: Final = (FileExists, FileDeleted, InvalidRelease, ProjectClosed)
_CONFLICT: Final = 409


def check_accepted(headers: Mapping[str, str]) -> None:
    """Check that the client takes an answer of this API; raise NotAcceptable."""
    if not accepts(headers.get("accept", "*/*") or "*/*", _ACCEPTED):
        raise NotAcceptable(f"this endpoint answers {MEDIA_TYPE}")


def read_body(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Raises PayloadTooLarge, UnsupportedMediaType or MalformedRequest.
    """
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"this request may have at most {MAX_BODY_BYTES // 1024} KiB")
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != MEDIA_TYPE:
        raise UnsupportedMediaType(
            f"send `Content-Type: {MEDIA_TYPE}`, not `{printable(content_type)}`"
        )
    try:
        document = parse_json_object(body)
    except InvalidPayload as problem:
        raise MalformedRequest(problem.detail) from None
    _check_meta(document.get("meta"))
    return document


def _check_meta(meta: object) -> None:
    version = meta.get("api-version") if isinstance(meta, dict) else None
    if version != API_VERSION:
        raise MalformedRequest(
            f'the member `meta` must be an object with the member `"api-version": "{API_VERSION}"`'
        )


def read_text(document: Mapping[str, Any], name: str) -> str:
    """Return a member that is a non-empty text; raise MalformedRequest."""
    text = document.get(name)
    if not isinstance(text, str) or not text:
        raise MalformedRequest(f"the member `{name}` must be a non-empty string")
    return text


def read_number(document: Mapping[str, Any], name: str) -> int:
    """Return a member that is a whole number; raise MalformedRequest."""
    number = document.get(name)
    if not isinstance(number, int) or isinstance(number, bool):
        raise MalformedRequest(f"the member `{name}` must be a whole number")
    return number


def write_time(time: datetime) -> str:
    """Return a time as PEP 694 writes it: in UTC with a Z, in whole seconds (RFC 3339)."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_problem(problem: Problem, instance: str, type_base: str) -> dict[str, Any]:
    """Return our error object with the members that PEP 694 adds."""
    document = problem.document(instance, type_base)
    errors = [
        {"source": error.get("source", problem.code), "message": error["description"], **error}
        for error in document["errors"]
    ]
    status = status_of(problem)
    return {**document, "status": status, "meta": dict(META), "errors": errors}


def status_of(problem: Problem) -> int:
    """Return the status of a refusal in this API."""
    return _CONFLICT if isinstance(problem, CONFLICTS) else problem.status
