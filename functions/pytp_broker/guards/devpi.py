"""A plug-in of devpi-server: jobs publish to its indexes, and installers read, with tokens.

    PYTP_GUARD_REGISTRY=https://packages.example.com/acme/ PYTP_GUARD_CLIENT=devpi
    PYTP_GUARD_SECRET_FILE=FILE PYTP_GUARD_INDEXES=root/prod devpi-server

devpi's own hooks see who asks, but not what is uploaded, and its pages of projects ask for no
permission. So a tween judges each request that brings a token, before devpi opens a transaction,
and a view deriver guards every page. ``devpiserver_auth_request`` is not implemented on purpose:
with it, `/+login` would turn a token of 15 minutes into a session of 10 hours.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from pluggy import HookimplMarker

from pytp_broker.errors import Problem
from pytp_broker.guards.answers import refuse
from pytp_broker.guards.devpi_requests import Desk, TokenIdentity
from pytp_broker.guards.introspection import Broker
from pytp_broker.guards.judging import Guard
from pytp_broker.guards.settings import Settings, SettingsError, read_indexes
from pytp_broker.http.credentials import USER_NAME

hookimpl: Final = HookimplMarker("devpiserver")

_TWEEN: Final = "pytp_broker.guards.devpi.tween"
_LOGGING: Final = "devpi_server.views.tween_request_logging"
_TRANSACTION: Final = "devpi_server.views.tween_keyfs_transaction"
# Pyramid's name for the outermost of what it wraps around a view.
_INGRESS: Final = "INGRESS"
# Pyramid's name for everybody, with a token or without one.
_EVERYONE: Final = "system.Everyone"

Handler = Callable[[Any], Any]
View = Callable[[Any, Any], Any]


@cache
def desk() -> Desk:
    """Return what judges the requests of this process; raise SettingsError."""
    settings = Settings.read(os.environ)
    guard = Guard(Broker(settings), max_file_bytes=settings.max_file_bytes)
    return Desk(guard, settings.is_public, read_indexes(os.environ))


@hookimpl
def devpiserver_pyramid_configure(pyramid_config: Any) -> None:  # noqa: ANN401 - of devpi
    """Put the guard into devpi; a server whose guard has no settings does not start."""
    try:
        desk()
    except SettingsError as error:
        raise SystemExit(f"pytp-broker guards this devpi-server: {error}") from None
    pyramid_config.add_tween(_TWEEN, under=_LOGGING, over=_TRANSACTION)
    pyramid_config.add_view_deriver(guard_view, "pytp_guard", under=_INGRESS)


def tween(handler: Handler, _registry: object) -> Handler:
    """Return a handler that judges a request first, and writes refusals."""

    def judged(request: Any) -> Any:  # noqa: ANN401 - of Pyramid
        try:
            desk().judge(request)
            return handler(request)
        except Problem as problem:
            return _write(request, problem)

    return judged


def _write(request: Any, problem: Problem) -> Any:  # noqa: ANN401 - of Pyramid
    refusal = refuse(problem, request.environ.get("PATH_INFO", "/"))
    response = request.response
    response.status = refusal.status
    response.body = refusal.body
    response.headerlist = refusal.headers
    return response


def guard_view(view: View, _info: object) -> View:
    """Return a view that only those see who may read."""

    def guarded(context: Any, request: Any) -> Any:  # noqa: ANN401 - of Pyramid
        desk().check_view(request)
        return view(context, request)

    return guarded


@hookimpl(tryfirst=True)
def devpiserver_get_credentials(request: Any) -> tuple[str, str] | None:  # noqa: ANN401 - of Pyramid
    """Return the user of a token, so that devpi takes no other credentials of the request.

    The token itself stays where it is: other plug-ins get what this returns.
    """
    return (USER_NAME, "") if desk().find_token(request) else None


@hookimpl(tryfirst=True)
def devpiserver_get_identity(
    request: Any,  # noqa: ANN401 - of Pyramid
    credentials: tuple[str, str] | None,
) -> TokenIdentity | None:
    """Return who brings the token of a request."""
    if credentials is None or credentials[0] != USER_NAME:
        return None
    return desk().identify(request)


@hookimpl
def devpiserver_auth_denials(
    request: Any,  # noqa: ANN401 - of Pyramid
    acl: tuple[tuple[str, str, str], ...],
    stage: Any,  # noqa: ANN401 - of devpi
) -> set[tuple[str, str]] | None:
    """Deny a token everything that devpi would allow, but reading and this upload."""
    identity = request.identity
    if not isinstance(identity, TokenIdentity):
        return None
    allowed = desk().allowed(identity, stage)
    return {(_EVERYONE, permission) for _, _, permission in acl if permission not in allowed}


@hookimpl
def devpiserver_stage_get_principals_for_pkg_read() -> list[str] | None:
    """Let devpi itself, and `/+authcheck`, give files to nobody without an identity."""
    return None if desk().is_public else [":AUTHENTICATED:"]
