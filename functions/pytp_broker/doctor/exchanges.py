"""Checks of what a client asks before and at an exchange: discovery, audiences, a refused mint."""

import base64
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, warning, well
from pytp_broker.doctor.web import Line, Seen, Web
from pytp_broker.errors import StoreUnavailable
from pytp_broker.http import paths
from pytp_broker.oidc.identity import token_id_of
from pytp_broker.redaction import printable
from pytp_broker.registries import default_audience

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Seat, Visit
    from pytp_broker.storage.protocols import TokenStore

_OK: Final = 200
_REFUSED: Final = 422
_TOO_MANY: Final = 429
DISCOVERY_TYPE: Final = "application/vnd.pypi.pytp.v1+json"
PROBLEM_TYPE: Final = "application/problem+json"
# `.invalid` is nobody's (RFC 2606), so nobody can sign for this issuer, and nobody configures it.
FOREIGN_ISSUER: Final = "https://doctor.invalid"
NO_REGISTRY: Final = "no registry is known: give the upload URL of one in --url"

DISCOVERY_MISSING: Final = Flaw(
    "discovery-missing",
    "let {host}/.well-known/ reach the broker; if the registry is unknown, run pytp-broker apply "
    "--config FILE {target}",
)
DISCOVERY_TYPE_CHANGED: Final = Flaw(
    "discovery-media-type",
    f"let the proxy keep Content-Type: clients expect {DISCOVERY_TYPE} without parameters",
)
DISCOVERY_ELSEWHERE: Final = Flaw(
    "discovery-elsewhere",
    "let the proxy send the Host header and the scheme of the client (X-Forwarded-Proto with "
    "--trusted-proxies): clients send no token to another address",
)
AUDIENCE_MISSING: Final = Flaw(
    "audience-missing",
    "let {host}/_/oidc/ and {host}/REGISTRY/_/oidc/ reach the broker; if exchanges are switched "
    "off, remove `enabled = false` and run pytp-broker apply --config FILE {target}",
)
AUDIENCE_WRONG: Final = Flaw(
    "audience-wrong",
    "if the host name is wrong, deploy with HostName={host_name}, or serve with --public-host "
    "{host_name}; if a proxy leads to another registry, let it keep the path",
)
AUDIENCE_STRANGE: Final = warning(
    "audience-strange",
    "if the registry's `audience` is meant, name its URL in PYTP_TRUSTED_URLS of its jobs; if not, "
    "deploy with HostName={host_name}",
)
MINT_OPEN: Final = Flaw(
    "mint-open", "take the broker off the network at once, and report it by SECURITY.md"
)
MINT_REFUSAL: Final = Flaw(
    "mint-refusal",
    "let the proxy pass POST bodies and answers unchanged to and from {host}{path}: clients read "
    "the status, the Content-Type and the code",
)
MINT_WROTE: Final = Flaw(
    "mint-wrote", "take the broker off the network at once, and report it by SECURITY.md"
)


def look_at_discovery(visit: "Visit") -> Iterator[Finding]:
    """Ask for each registry's discovery document (PEP 807)."""
    web = _web(visit)
    with web.line() as line:
        for seat in _seats(visit):
            yield _discovery(seat, web, line)


def _discovery(seat: "Seat", web: Web, line: Line) -> Finding:
    path = f"{paths.WELL_KNOWN}?discover={quote(f'{seat.prefix}{paths.LEGACY}', safe='')}"
    seen = line.ask("GET", path, headers={"Accept": DISCOVERY_TYPE})
    if seen.status != _OK:
        return DISCOVERY_MISSING.found(f"{path} answered {seen}", host=web.host)
    if seen.media_type != DISCOVERY_TYPE:
        shown = printable(seen.media_type) or "missing"
        return DISCOVERY_TYPE_CHANGED.found(f"the Content-Type of {path} is {shown}")
    expected = {
        "audience-endpoint": paths.AUDIENCE.url(web.origin + seat.prefix),
        "token-mint-endpoint": paths.MINT.url(web.origin + seat.prefix),
    }
    for member, url in expected.items():
        if seen.text(member) != url:
            named = printable(seen.text(member)) or "nothing"
            return DISCOVERY_ELSEWHERE.found(f"`{member}` of {path} is {named}, not {url}")
    return well(f"discovery of {seat.prefix}{paths.LEGACY} names this host")


def look_at_audiences(visit: "Visit") -> Iterator[Finding]:
    """Compare audiences with the host name, or with the configuration if we know it."""
    web = _web(visit)
    with web.line() as line:
        yield _root_audience(visit, web, line)
        for seat in visit.seats:
            if seat.prefix:
                yield _audience(seat, web, line)


def _root_audience(visit: "Visit", web: Web, line: Line) -> Finding:
    found = _ask_audience("", web, line)
    if isinstance(found, Finding):
        return found
    is_sure = visit.setup is not None or visit.cloud is not None
    return _compare(str(paths.AUDIENCE), found, visit.root_audience, web, is_sure=is_sure)


def _audience(seat: "Seat", web: Web, line: Line) -> Finding:
    found = _ask_audience(seat.prefix, web, line)
    if isinstance(found, Finding):
        return found
    host, registry = web.host_name, seat.registry
    own = default_audience(f"{host}/{seat.name}")
    expected = own if registry is None else registry.audience_on(host)
    path = paths.AUDIENCE.url(seat.prefix)
    return _compare(path, found, expected, web, is_sure=registry is not None)


def _compare(path: str, found: str, expected: str, web: Web, *, is_sure: bool) -> Finding:
    if found == expected:
        return well(f"{path} asks for {expected}")
    flaw = AUDIENCE_WRONG if is_sure else AUDIENCE_STRANGE
    seen = f"{path} asks for the audience {printable(found)}, and this address has {expected}"
    return flaw.found(seen, host_name=web.host_name)


def _ask_audience(prefix: str, web: Web, line: Line) -> str | Finding:
    path = paths.AUDIENCE.url(prefix)
    seen = line.ask("GET", path)
    if seen.status == _OK and seen.text("audience"):
        return seen.text("audience")
    return AUDIENCE_MISSING.found(f"{path} answered {seen}", host=web.host)


def look_at_mints(visit: "Visit") -> Iterator[Finding]:
    """Ask for upload tokens with an identity token that nobody has signed."""
    web = _web(visit)
    with web.line() as line:
        for path in _mint_paths(visit):
            yield _mint(path, visit, web, line)


def _mint_paths(visit: "Visit") -> list[str]:
    prefixes = dict.fromkeys(["", *(seat.prefix for seat in visit.seats)])
    return [paths.MINT.url(prefix) for prefix in prefixes]


def _mint(path: str, visit: "Visit", web: Web, line: Line) -> Finding:
    claims = _foreign_claims(visit.root_audience)
    body = json.dumps({"token": unsigned(claims)}).encode()
    seen = line.ask("POST", path, body, {"Content-Type": "application/json"})
    if seen.status == _TOO_MANY:
        raise NotCheckedError(f"{path} answered {seen}: try again in a minute")
    if seen.text("token"):
        return MINT_OPEN.found(f"{path} gave a token for an identity token that nobody signed")
    if not _is_refusal(seen):
        wanted = f"{_REFUSED} ({PROBLEM_TYPE}) with a code was expected"
        return MINT_REFUSAL.found(f"{path} answered {seen}; {wanted}", host=web.host, path=path)
    if _has_written(claims, visit.store):
        return MINT_WROTE.found(f"{path} refused an identity token and stored a token for it")
    proof = "" if visit.store is None else ", and nothing was stored"
    return well(f"{path} refused a foreign identity token: `{seen.code}`{proof}")


def _is_refusal(seen: Seen) -> bool:
    is_whole = bool(seen.code and seen.text("message") and seen.text("detail"))
    return seen.status == _REFUSED and seen.media_type == PROBLEM_TYPE and is_whole


def _has_written(claims: Mapping[str, Any], store: "TokenStore | None") -> bool:
    """Say whether there is a record of a token for these claims; raise NotCheckedError."""
    if store is None:
        return False
    try:
        # The id of an identity token is the lookup id of the upload token for it.
        return store.find_token(token_id_of(claims, b""), None) is not None
    except StoreUnavailable as problem:
        reason = printable(str(problem.operator_detail or problem.detail))
        raise NotCheckedError(f"refused, but whether it wrote is unknown: {reason}") from None


def _foreign_claims(audience: str) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": FOREIGN_ISSUER,
        "aud": audience,
        "sub": "pytp-broker doctor",
        "jti": secrets.token_hex(16),
        "iat": now,
        "nbf": now,
        "exp": now + 300,
    }


def unsigned(claims: Mapping[str, Any]) -> str:
    """Return what has the form of an identity token; its signature is nobody's."""
    header = {"alg": "RS256", "kid": "doctor", "typ": "JWT"}
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), b"signed by nobody"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _seats(visit: "Visit") -> list["Seat"]:
    if not visit.seats:
        raise NotCheckedError(NO_REGISTRY)
    return list(visit.seats)


def _web(visit: "Visit") -> Web:
    assert visit.web is not None  # noqa: S101 - the check needs it
    return visit.web
