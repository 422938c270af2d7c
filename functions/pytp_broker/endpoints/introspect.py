"""The introspect function: other indexes and proxies ask whether a token is good, and for what.

When a token is not good for a question, the answer to an index only says that the token is
inactive, and gives no reason (RFC 7662).
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from urllib.parse import parse_qsl

from pytp_broker.access import (
    Caller,
    Right,
    check_unused,
    find_reader,
    report,
    use_up,
    verify,
    verify_client,
)
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Introspection
from pytp_broker.endpoints.routing import READING, Context, Route, Routes
from pytp_broker.errors import (
    Forbidden,
    InvalidUpload,
    MalformedRequest,
    MayOnlyRead,
    PayloadTooLarge,
    Unauthorized,
)
from pytp_broker.grants import Permission
from pytp_broker.http import paths
from pytp_broker.http.credentials import read_client
from pytp_broker.http.messages import Response, json_response
from pytp_broker.index.distributions import parse_filename
from pytp_broker.names import normalize
from pytp_broker.redaction import printable
from pytp_broker.services import Services
from pytp_broker.tokens import MalformedTokenError, TokenRecord, UploadToken, file_use

MAX_BODY_BYTES: Final = 64 * 1024
# API Gateway takes 10 KiB for all headers of an answer.
MAX_PROJECTS_CHARACTERS: Final = 8192

_INACTIVE: Final = {"active": False}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ABOUT_UPLOADS: Final = frozenset({"project", "filename", "sha256", "consume"})


@dataclass(frozen=True, slots=True)
class Question:
    """What another index asks about a token: whether it is good for a project and a file.

    Beyond RFC 7662 it may name a permission, a project, a file and the file's hash. Then the token
    is active only if it is good for exactly these. ``consume`` uses a single-use token up for the
    file.
    """

    permission: Permission | None
    project: str | None
    filename: str | None
    sha256: str | None
    consume: bool

    @classmethod
    def read(cls, form: Mapping[str, str]) -> Self:
        """Return the question in a form; raise MalformedRequest."""
        # We refuse any other spelling, or its sender would wrongly believe that the token was used
        # up.
        consume = form.get("consume", "false")
        if consume not in {"true", "false"}:
            raise MalformedRequest("`consume` must be `true` or `false`")
        if consume == "true" and not {"filename", "sha256"} <= form.keys():
            raise MalformedRequest("`consume` needs the `filename` and its `sha256`")
        if "sha256" in form and not _SHA256.fullmatch(form["sha256"]):
            raise MalformedRequest("`sha256` must be 64 hexadecimal digits in lower case")
        permission = _read_permission(form)
        named = form.get("project"), form.get("filename"), form.get("sha256")
        return cls(permission, *named, consume == "true")

    @property
    def is_about_uploads(self) -> bool:
        """Say whether a token that may only read is not good for this question."""
        return self.permission is Permission.UPLOAD or (self.project, self.filename) != (None, None)

    def find_project(self) -> str | None:
        """Return the project that is asked for; raise InvalidUpload or Forbidden."""
        project = None if self.project is None else normalize(self.project)
        if self.filename is None:
            return project
        name = parse_filename(self.filename).project
        if project not in {None, name}:
            raise Forbidden("the file belongs to another project")
        return name

    def use(self, registry: str) -> str | None:
        """Return what a single-use token would be used for; None if no file is named in full."""
        if self.filename is None or self.sha256 is None:
            return None
        return file_use(registry, self.filename, self.sha256)


def _read_permission(form: Mapping[str, str]) -> Permission | None:
    """Return the permission that a form names, if any; raise MalformedRequest."""
    text = form.get("permission")
    if text not in {None, *(each.value for each in Permission)}:
        raise MalformedRequest("`permission` must be `upload` or `read`")
    if text == Permission.READ.value and form.keys() & _ABOUT_UPLOADS:
        raise MalformedRequest(
            "a right to read is for the whole registry: with `permission=read`, leave out "
            "`project`, `filename`, `sha256` and `consume`"
        )
    return None if text is None else Permission(text)


def introspect_token(context: Context[Services, Introspection]) -> Response:
    """Answer ``POST /_/token/introspect`` (RFC 7662)."""
    request, event, registry = context.request, context.event, context.destination.registry
    client_id, secret = read_client(request.headers)
    verify_client(client_id, secret, registry)
    event.client = client_id
    form = _read_form(request.body)
    _record(form, event)
    question = Question.read(form)
    try:
        token = UploadToken.parse(form["token"])
        caller = Caller(token, Permission.UPLOAD, registry, context.configuration)
        answer = _answer(caller, question, context.services)
    except (MalformedTokenError, Unauthorized, Forbidden, InvalidUpload):
        answer = _INACTIVE
    event.active = answer["active"]
    return json_response(answer)


def _read_form(body: bytes) -> Mapping[str, str]:
    """Return the parameters of a form, each given once; raise MalformedRequest."""
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge("the body of an introspection may have at most 64 KiB")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=20
        )
    except ValueError:
        raise MalformedRequest("the body must be a form with the parameter `token`") from None
    form = dict(pairs)
    if len(form) != len(pairs) or "token" not in form:
        raise MalformedRequest("the form must have `token`, and every parameter only once")
    return form


def _record(form: Mapping[str, str], event: Introspection) -> None:
    event.project = printable(form.get("project", ""))
    event.filename = printable(form.get("filename", ""))
    with suppress(MalformedTokenError):
        event.token_hash = hash_prefix(UploadToken.parse(form["token"]).hash)


def _answer(caller: Caller, question: Question, services: Services) -> dict[str, Any]:
    """Return what a token is good for, if it is good for the question.

    A question that names nothing is also about reading.
    """
    if question.permission is Permission.READ:
        return _answer_reader(caller, services)
    try:
        right = _answer_uploader(caller, question, services)
    except MayOnlyRead:
        if question.is_about_uploads:
            raise
        return _answer_reader(caller, services)
    return _describe(caller, right.record, right.projects)


def _answer_uploader(caller: Caller, question: Question, services: Services) -> Right:
    """Return the caller's right, if the token is good for the question; use it up if asked."""
    right = verify(caller, question.find_project(), services)
    if question.is_about_uploads:
        report(right, services)
    use = question.use(caller.registry.name)
    check_unused(right.record, use)
    if question.consume and use is not None:
        use_up(right.record, use, services)
    return right


def _answer_reader(caller: Caller, services: Services) -> dict[str, Any]:
    reader = replace(caller, permission=Permission.READ)
    return _describe(reader, find_reader(reader, services), ())


def _describe(caller: Caller, record: TokenRecord, projects: Sequence[str]) -> dict[str, Any]:
    return {
        "active": True,
        "scope": caller.permission.value,
        "aud": caller.registry.name,
        "iat": int(record.issued_at.timestamp()),
        "exp": int(record.expires_at.timestamp()),
        "projects": list(projects),
        "features": list(record.features),
        **_describe_origin(record),
    }


def _describe_origin(record: TokenRecord) -> dict[str, Any]:
    """Return the job that got the token, or the operator who made it, under another name."""
    if record.made_by is not None:
        return {"made_by": record.made_by.document()}
    return {"publisher": {"issuer": record.issuer, **record.identity}}


def verify_token(context: Context[Services, Introspection]) -> Response:
    """Answer ``GET /_/token/verify[/{project}]`` from the headers alone, for forward-auth proxies.

    The answer is 200 with the token's rights in ``X-Pytp-…`` headers, else 401 or 403. The proxy
    must still check the file against the project, because this endpoint has not seen the form.
    """
    caller, event = context.caller, context.event
    project = normalize(context.variables.get("project", ""))
    event.project, event.token_hash = printable(project), hash_prefix(caller.token.hash)
    right = verify(caller, project or None, context.services)
    report(right, context.services)
    if right.record.is_single_use:  # a proxy cannot say when it is used
        raise Forbidden(
            "a single-use token needs an index that asks with `consume`: nothing here uses it up"
        )
    headers = {
        "Cache-Control": "no-store",
        "X-Pytp-Registry": caller.registry.name,
        "X-Pytp-Projects": _name_all(right.projects),
        **_name_origin(right.record),
    }
    event.active = True
    return Response(200, headers=headers)


def _name_origin(record: TokenRecord) -> dict[str, str]:
    # An operator's name may have letters that no header can have.
    return {"X-Pytp-Made-By": "operator"} if record.made_by else {"X-Pytp-Issuer": record.issuer}


def verify_reading(context: Context[Services, Introspection]) -> Response:
    """Answer ``GET /_/token/verify-reader``, for proxies in front of another index.

    The dispatcher has checked that the caller may read: 200 means yes. In a public registry it is
    yes for everybody.
    """
    event, registry = context.event, context.destination.registry
    if context.holder is not None:
        event.token_hash = hash_prefix(context.holder.token.hash)
    event.active = True
    headers = {"Cache-Control": "no-store", "X-Pytp-Registry": registry.name}
    return Response(200, headers=headers)


def _name_all(projects: Sequence[str]) -> str:
    named = ", ".join(projects)
    if len(named) > MAX_PROJECTS_CHARACTERS:
        raise Forbidden(
            f"the upload token is for {len(projects)} projects, too many for a header: ask for one"
        )
    return named


ROUTES: Final[Routes[Services]] = Routes(
    Route(paths.INTROSPECT, ("POST",), introspect_token, event=Introspection),
    Route(paths.VERIFY, READING, verify_token, event=Introspection, needs=Permission.UPLOAD),
    Route(
        paths.VERIFY_PROJECT, READING, verify_token, event=Introspection, needs=Permission.UPLOAD
    ),
    Route(paths.VERIFY_READER, READING, verify_reading, event=Introspection, needs=Permission.READ),
)
