"""A registry as a client sees it: its audience, its exchange, and the end of a token."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pytp_broker.client.locations import Location
from pytp_broker.client.transport import Answer, Call, Send, UnreachableError
from pytp_broker.redaction import Hidden, legible, printable

# The variable in which a user lists registries whose audience does not name their own address.
TRUSTED_URLS: Final = "PYTP_TRUSTED_URLS"

# The user name that goes with a token, which is the password.
USER_NAME: Final = "__token__"

OK: Final = 200
UNAUTHORIZED: Final = 401

_PAGE: Final = "application/vnd.pypi.simple.v1+json"
_DISCOVERY_TYPE: Final = "application/vnd.pypi.pytp.v1+json"
# A client sends a token in a header, and a keyring prints it as one line. A CI hides it in the log:
# if it were one letter, a hostile index could make the log unreadable.
_TOKEN: Final = re.compile(r"[!-~]{16,4000}")
_MAX_REASON_CHARACTERS: Final = 1000
_ACCEPTED: Final = 202
# PyPI and TestPyPI exchange tokens with clients of their own. An identity token for one of these
# audiences may publish there, so no index gets one from us.
_AUDIENCES_OF_PYPI: Final = frozenset({"pypi", "testpypi"})
# A token lives so long at least (PEP 807), also if the registry does not say how long.
_LEAST_SECONDS: Final = 900


# A registry that answers one of these may exchange the same identity token in a moment.
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class RefusedError(Exception):
    """There is no token; the text says why and what to do, and may be shown to the user.

    ``may_pass`` says that the same exchange may succeed later.
    """

    def __init__(self, text: str, *, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Minted:
    """A token, and when it expires, in seconds since 1970."""

    token: Hidden
    expires: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where a registry exchanges identity tokens, and for which audience they must be."""

    audience: str
    mint_url: str
    burn_url: str


def read_trusted_urls(environment: Mapping[str, str]) -> list[str]:
    """Return the registries whose audience the user trusts, from a job's variables."""
    listed = environment.get(TRUSTED_URLS, "").replace(",", " ").split()
    return [url.rstrip("/") for url in listed]


def discover(location: Location, trusted_urls: Collection[str], send: Send) -> Exchange | None:
    """Return the exchange of a registry, or None if there is no registry; raise RefusedError.

    A registry at one of the ``trusted_urls`` may ask for any audience.
    """
    audience_url, mint_url = _find_endpoints(location, send)
    answer = _ask(Call(audience_url), send)
    if answer is None:
        return None
    audience = answer.text("audience")
    if answer.status != OK or not audience:
        if reason := reason_in(answer):
            raise RefusedError(f"{location.base_url} refuses exchanges: {reason}")
        return None
    if audience in _AUDIENCES_OF_PYPI:
        return None
    _check_audience(location, audience, trusted_urls)
    return Exchange(audience, mint_url, location.burn_url)


def ask_index(location: Location, send: Send, authorization: str = "") -> Answer:
    """Ask a registry's index for nothing but its status; raise UnreachableError.

    It is 200 for everybody in a public registry, and 401 without a good token in a private one.
    """
    page = Call(f"{location.base_url}/simple/", None, "HEAD", _PAGE, authorization)
    answer = send(page)
    # An answer to HEAD has no reason, so we ask again for it.
    is_refused = authorization and answer.status != OK
    return send(replace(page, method="GET")) if is_refused else answer


def mint(exchange: Exchange, identity_token: str, send: Send, now: float) -> Minted:
    """Exchange an identity token; raise RefusedError with the registry's reason."""
    try:
        answer = send(Call(exchange.mint_url, {"token": identity_token}))
    except UnreachableError as error:
        raise RefusedError(f"{exchange.mint_url}: {error}", may_pass=error.may_pass) from None
    token, expires = answer.text("token"), answer.document.get("expires")
    if answer.status == OK and _TOKEN.fullmatch(token):
        least = int(now) + _LEAST_SECONDS
        return Minted(Hidden(token), expires if isinstance(expires, int) else least)
    reason = reason_in(answer) or f"it answered {answer.status} without a token"
    may_pass = answer.status in _TRANSIENT
    raise RefusedError(f"{exchange.mint_url}: {reason}", may_pass=may_pass)


def burn(burn_url: str, token: Hidden, send: Send) -> bool:
    """End a token early, and say whether the registry has accepted that."""
    answer = _ask(Call(burn_url, {"token": token.reveal()}), send)
    return answer is not None and answer.status == _ACCEPTED


def _find_endpoints(location: Location, send: Send) -> tuple[str, str]:
    """Return where to ask for the audience and where to exchange.

    PEP 807 looks up an upload URL. Where it finds nothing, and for an index, of which it does not
    speak, the endpoints are beside the URL.
    """
    beside = f"{location.base_url}/_/oidc/"
    if not location.is_for_upload:
        return f"{beside}audience", f"{beside}mint-read-token"
    query = quote(f"{location.prefix}/legacy/", safe="")
    url = f"{location.origin}/.well-known/pytp?discover={query}"
    answer = _ask(Call(url, accept=_DISCOVERY_TYPE), send)
    if answer is not None and answer.status == OK:
        found = answer.text("audience-endpoint"), answer.text("token-mint-endpoint")
        if all(_is_at(endpoint, location.origin) for endpoint in found):
            return found
    return f"{beside}audience", f"{beside}mint-token"


def _is_at(url: str, origin: str) -> bool:
    """Say whether a URL has this scheme, host and port: a token is sent to no other."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return f"{parts.scheme}://{parts.netloc.lower()}" == origin


def _ask(call: Call, send: Send) -> Answer | None:
    """Return an answer, or None: the program that asks us will find out too, and say so."""
    try:
        return send(call)
    except UnreachableError:
        return None


def _check_audience(location: Location, audience: str, trusted_urls: Collection[str]) -> None:
    """Raise RefusedError if another registry could have this audience."""
    if audience == location.own_audience or location.base_url in trusted_urls:
        return
    raise RefusedError(
        f"{location.base_url} asks for an identity token for the audience `{printable(audience)}`, "
        "which does not name this address. Another registry may have that audience, so this job "
        f"sends none. If you trust this address with it, set {TRUSTED_URLS}={location.base_url}"
    )


def reason_in(answer: Answer) -> str:
    """Return why a registry refuses, made safe to show; nothing if it is not a registry."""
    first, code = _first_error(answer), code_in(answer)
    said = answer.text("detail") or answer.text("message") or first.get("description")
    if not isinstance(said, str) or not code:
        return ""
    return legible(f"{code}: {said}", _MAX_REASON_CHARACTERS)


def code_in(answer: Answer) -> str:
    """Return the code of the error in an answer; nothing if it is not a registry's."""
    code = _first_error(answer).get("code")
    return printable(code) if isinstance(code, str) else ""


def _first_error(answer: Answer) -> Mapping[str, Any]:
    errors: Any = answer.document.get("errors")
    is_one = isinstance(errors, list) and errors and isinstance(errors[0], dict)
    return errors[0] if is_one else {}
