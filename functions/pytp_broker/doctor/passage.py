"""Checks of the way to a broker: what a proxy does to paths, queries, headers and bodies."""

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pytp_broker.doctor.exchanges import DISCOVERY_TYPE, NO_REGISTRY, PROBLEM_TYPE
from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, well
from pytp_broker.doctor.web import Line, NoAnswerError, Web
from pytp_broker.http import paths
from pytp_broker.redaction import printable
from pytp_broker.tokens import LOOKUP_ID_BYTES, UploadToken

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Seat, Visit

_OK, _UNAUTHORIZED, _NOT_ACCEPTABLE = 200, 401, 406
_TOO_LARGE: Final = 413
# Nearly what the gateway of AWS takes; nginx takes 1 MiB if nobody has said more.
_UPLOAD_BYTES: Final = 4 * 1024 * 1024
# No form has this type, so a broker that reads such a body has no use for it.
_UPLOAD_TYPE: Final = "multipart/form-data; boundary=doctor"

PATH_CHANGED: Final = Flaw(
    "path-changed",
    "let the proxy pass the path unchanged: in nginx, `proxy_pass` without a path at its end",
)
QUERY_LOST: Final = Flaw("query-lost", "let the proxy pass the query string unchanged")
ACCEPT_LOST: Final = Flaw("accept-lost", "let the proxy and the cache pass `Accept` unchanged")
AUTHORIZATION_LOST: Final = Flaw(
    "authorization-lost",
    "let the proxy pass `Authorization` unchanged, and ask for no password of its own at {host}",
)
CHALLENGE_LOST: Final = Flaw(
    "challenge-lost",
    "let the proxy pass `WWW-Authenticate` of a 401: pip and uv send no token without it",
)
BODY_LIMITED: Final = Flaw(
    "body-limited", "allow bodies of 10 MiB at least: in nginx, `client_max_body_size 10m`"
)
PRIVATE_OPEN: Final = Flaw(
    "private-registry-open",
    "let no cache or proxy answer for {path}, and run pytp-broker apply --config FILE {target}",
)
PUBLIC_CLOSED: Final = Flaw(
    "public-registry-closed",
    "let the proxy ask for no password of its own, and run pytp-broker apply --config FILE "
    "{target}",
)


def look_at_paths(visit: "Visit") -> Iterator[Finding]:
    """Compare the path that the broker has seen with the one that was sent."""
    web = _web(visit)
    with web.line() as line:
        for prefix in dict.fromkeys(["", *(seat.prefix for seat in visit.seats)]):
            yield _path(f"{prefix}/_/doctor%20{secrets.token_hex(4)}/", line)


def _path(path: str, line: Line) -> Finding:
    seen = line.ask("GET", path)
    arrived = seen.text("instance")
    if not arrived:
        return PATH_CHANGED.found(f"GET {path} answered {seen}, not the broker's own 404")
    if arrived != path.replace("%20", " "):
        return PATH_CHANGED.found(f"GET {path} arrived as {printable(arrived)}")
    return well(f"{path.partition('/_/')[0] or '/'} arrives as it was sent")


def look_at_questions(visit: "Visit") -> Iterator[Finding]:
    """Ask with a query string, and with an Accept that nobody can answer."""
    web = _web(visit)
    if not visit.seats:
        raise NotCheckedError(NO_REGISTRY)
    seat = visit.seats[0]
    upload = f"{seat.prefix}{paths.LEGACY}"
    asked = f"{paths.WELL_KNOWN}?discover={quote(upload, safe='')}"
    beside = paths.DISCOVER.url(seat.prefix)
    with web.line() as line:
        with_query = line.ask("GET", asked, headers={"Accept": DISCOVERY_TYPE})
        without = line.ask("GET", beside, headers={"Accept": DISCOVERY_TYPE})
        foreign = line.ask("GET", beside, headers={"Accept": "text/x-doctor"})
    if without.status != _OK:
        raise NotCheckedError(f"{beside} answered {without}, so nothing can be compared")
    if with_query.status != _OK:
        yield QUERY_LOST.found(f"{asked} answered {with_query}, and {beside} {without}")
    if foreign.status != _NOT_ACCEPTABLE:
        yield ACCEPT_LOST.found(f"{beside} answered {foreign} to a foreign Accept, not 406")
    if with_query.status == _OK and foreign.status == _NOT_ACCEPTABLE:
        yield well("the query string and `Accept` arrive")


def look_at_credentials(visit: "Visit") -> Iterator[Finding]:
    """Ask with a token that nobody has, and without one: the refusals must differ."""
    web = _web(visit)
    if not visit.seats:
        raise NotCheckedError(NO_REGISTRY)
    path = paths.VERIFY_READER.url(visit.seats[0].prefix)
    unknown = UploadToken.mint(secrets.token_hex(LOOKUP_ID_BYTES)).reveal()
    with web.line() as line:
        without = line.ask("GET", path)
        given = line.ask("GET", path, headers={"Authorization": f"Bearer {unknown}"})
    if (without.status, given.status) != (_UNAUTHORIZED, _UNAUTHORIZED) or not given.code:
        yield AUTHORIZATION_LOST.found(
            f"{path} answered {without} without a token and {given} with an unknown one, not 401",
            host=web.host,
        )
    elif without.text("detail") == given.text("detail"):
        yield AUTHORIZATION_LOST.found(
            f"{path} says the same with an unknown token as without one", host=web.host
        )
    elif "basic" not in without.headers.get("www-authenticate", "").lower():
        yield CHALLENGE_LOST.found(f"the 401 of {path} does not ask for a password")
    else:
        yield well("`Authorization` arrives, and a 401 asks for a password")


def look_at_strangers(visit: "Visit") -> Iterator[Finding]:
    """Ask for each registry's list of projects without a token."""
    web = _web(visit)
    if not visit.seats:
        raise NotCheckedError(NO_REGISTRY)
    with web.line() as line:
        for seat in visit.seats:
            yield _stranger(seat, line)


def _stranger(seat: "Seat", line: Line) -> Finding:
    path = paths.PROJECTS.url(seat.prefix)
    seen = line.ask("GET", path)
    if seen.status not in {_OK, _UNAUTHORIZED}:
        raise NotCheckedError(f"{path} answered {seen}")
    is_open, registry = seen.status == _OK, seat.registry
    if registry is None:
        return well(f"{path} is {'open to everybody' if is_open else 'closed to strangers'}")
    if is_open and not registry.is_public:
        return PRIVATE_OPEN.found(f"{path} is private and answered a stranger", path=path)
    if not is_open and registry.is_public:
        return PUBLIC_CLOSED.found(f"{path} is public and asked for a token")
    return well(f"{path} is {registry.access}, and answers a stranger so")


def look_at_bodies(visit: "Visit") -> Iterator[Finding]:
    """Send an upload without a token: the broker must refuse it, and nobody before it."""
    web = _web(visit)
    if not visit.seats:
        raise NotCheckedError(NO_REGISTRY)
    path = paths.LEGACY.url(visit.seats[0].prefix)
    with web.line() as line:
        try:
            seen = line.ask("POST", path, bytes(_UPLOAD_BYTES), {"Content-Type": _UPLOAD_TYPE})
        except NoAnswerError as error:
            # A server that refuses early may close before the answer has arrived.
            raise NotCheckedError(str(error)) from None
    size = f"{_UPLOAD_BYTES // 1024**2} MiB"
    if seen.status == _UNAUTHORIZED and seen.media_type == PROBLEM_TYPE:
        yield well(f"{path} takes {size}, and refused them for want of a token")
    else:
        yield BODY_LIMITED.found(f"{path} answered {seen} to {size} without a token, not 401")


def _web(visit: "Visit") -> Web:
    assert visit.web is not None  # noqa: S101 - the check needs it
    return visit.web
