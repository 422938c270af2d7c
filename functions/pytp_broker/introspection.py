"""Introspection: another index asks whether an upload token is good, and for what (RFC 7662).

The registry must know the index that asks. When a token is not good for the question, the answer
only says that it is inactive, and gives no reason.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from pytp_broker.access import Caller, verify_any_right, verify_right
from pytp_broker.errors import (
    Forbidden,
    InvalidUpload,
    MalformedRequest,
    PayloadTooLarge,
    Unauthorized,
)
from pytp_broker.grants import Permission
from pytp_broker.index.distributions import parse_filename
from pytp_broker.names import normalize
from pytp_broker.registries import Configuration, Registry
from pytp_broker.services import Services
from pytp_broker.tokens import MalformedTokenError, TokenRecord, UploadToken, file_use

MAX_BODY_BYTES: Final = 64 * 1024
INACTIVE: Final[Mapping[str, Any]] = {"active": False}

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_UNKNOWN_CLIENT: Final = "the registry knows no introspection client with this id and secret"
_NO_SECRET_HASH: Final = "0" * 64

Question = Mapping[str, str]


def verify_client(client_id: str, secret: str, registry: Registry) -> None:
    """Check that the registry knows the index that asks; raise Unauthorized."""
    expected = registry.introspection_clients.get(client_id, _NO_SECRET_HASH)
    if not hmac.compare_digest(hashlib.sha256(secret.encode()).hexdigest(), expected):
        raise Unauthorized(_UNKNOWN_CLIENT)


def read_question(body: bytes) -> Question:
    """Return the parameters of a form body, each given once; raise MalformedRequest."""
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge("an introspection takes at most 64 KiB")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=20
        )
    except ValueError:
        raise MalformedRequest("the body must be a form with the parameter `token`") from None
    question = dict(pairs)
    if len(question) != len(pairs) or "token" not in question:
        raise MalformedRequest("the form must have `token`, and every parameter only once")
    return question


def introspect(
    question: Question, registry: Registry, configuration: Configuration, services: Services
) -> Mapping[str, Any]:
    """Return what the token is good for, or that it is not active.

    Beyond RFC 7662 the question may name a `project`, a `filename` and its `sha256`. Then the token
    is active only if it is good for exactly these, which takes one round trip. With `consume=true`
    a single-use token is used up for the file. Raises MalformedRequest.
    """
    consume = _read_consume(question)
    try:
        token = UploadToken.parse(question["token"])
        caller = Caller(token, Permission.UPLOAD, registry, configuration)
        project = _project_asked_for(question)
        if project is None:
            record, projects = verify_any_right(caller, services)
        else:
            record = verify_right(caller, project, services).record
            projects = [project]
        _check_use(question, record, registry, services, consume=consume)
    except (MalformedTokenError, Unauthorized, Forbidden, InvalidUpload):
        return INACTIVE
    return _describe(record, projects, registry)


def _read_consume(question: Question) -> bool:
    # We refuse any other spelling, or its sender would wrongly believe that the token was used up.
    consume = question.get("consume", "false")
    if consume not in {"true", "false"}:
        raise MalformedRequest("`consume` must be `true` or `false`")
    if consume == "true" and not {"filename", "sha256"} <= question.keys():
        raise MalformedRequest("`consume` needs the `filename` and its `sha256`")
    if "sha256" in question and not _SHA256.fullmatch(question["sha256"]):
        raise MalformedRequest("`sha256` must be 64 hexadecimal digits in lower case")
    return consume == "true"


def _project_asked_for(question: Question) -> str | None:
    project = normalize(question["project"]) if "project" in question else None
    if "filename" not in question:
        return project
    name = parse_filename(question["filename"]).project
    if project not in {None, name}:
        raise Forbidden("the file is of another project")
    return name


def _check_use(
    question: Question,
    record: TokenRecord,
    registry: Registry,
    services: Services,
    *,
    consume: bool,
) -> None:
    file = file_use(registry.name, question.get("filename", ""), question.get("sha256", ""))
    if not record.may_be_used_for(file):
        raise Forbidden("the token has been used for another file")
    if not (consume and record.is_single_use):
        return
    if not services.store.use_token(record, file):
        raise Forbidden("the token has been used for another file")


def _describe(record: TokenRecord, projects: list[str], registry: Registry) -> dict[str, Any]:
    return {
        "active": True,
        "scope": "upload",
        "aud": registry.name,
        "iat": int(record.issued_at.timestamp()),
        "exp": int(record.expires_at.timestamp()),
        "projects": projects,
        "features": list(record.features),
        "publisher": {"issuer": record.issuer, **record.identity},
    }
