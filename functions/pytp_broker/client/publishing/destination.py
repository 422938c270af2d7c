"""What is at an upload URL: which API, and which index shows what is published."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from pytp_broker.client.publishing.outcome import PublishError, WrongAddressError
from pytp_broker.client.transport import Answer, Call, Send, UnreachableError
from pytp_broker.client.uploads.answers import check_link, origin_of
from pytp_broker.client.uploads.api import Clock, patiently
from pytp_broker.client.uploads.refusals import TRANSIENT, UploadError
from pytp_broker.names import LOOPBACK_HOSTS, is_sent_host
from pytp_broker.redaction import printable

_DISCOVERY_TYPE: Final = "application/vnd.pypi.pytp.v1+json"
_URL: Final = re.compile(r"[!-\[\]-~]+")
_LEGACY: Final = re.compile(r"/legacy/?\Z")
_INDEX: Final = re.compile(r"/simple(/.*)?\Z")
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Destination:
    """Where files go: by the Upload API if there is one, else by the legacy API.

    ``index_url`` ends in a slash; None if nobody knows where the index is.
    """

    upload_url: str
    origin: str
    api_url: str | None
    index_url: str | None


def find_destination(url: str, index_url: str | None, send: Send, clock: Clock) -> Destination:
    """Ask what is at an upload URL; raise PublishError."""
    _check_url(url)
    origin = origin_of(url)
    query = quote(urlsplit(url).path, safe="")
    call = Call(f"{origin}/.well-known/pytp?discover={query}", accept=_DISCOVERY_TYPE)
    try:
        answer = patiently(lambda: _ask(call, origin, send), clock.wait)
        api_url = answer.text("upload-api") if answer.status == _OK else ""
        checked = check_link(api_url, origin, "the Upload API") if api_url else None
    except UploadError as error:
        raise PublishError(str(error), may_pass=error.may_pass) from None
    return Destination(url, origin, checked, _slashed(index_url) or _index_beside(url))


def _ask(call: Call, origin: str, send: Send) -> Answer:
    try:
        answer = send(call)
    except UnreachableError as error:
        raise UploadError(f"{printable(origin)}: {error}", may_pass=error.may_pass) from None
    if answer.status in TRANSIENT:
        raise UploadError(f"{printable(origin)} answered {answer.status}", may_pass=True)
    return answer


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url) if _URL.fullmatch(url) else urlsplit("")
        is_loopback = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    except ValueError:
        parts, is_loopback = urlsplit(""), False
    if not (parts.scheme == "https" or is_loopback) or not is_sent_host(parts.netloc):
        raise WrongAddressError(
            f"--url: {printable(url)} is not an upload URL; it looks like "
            "https://packages.example.com/acme/legacy/ and has no user and no password in it"
        )
    if _INDEX.search(parts.path):
        meant = _INDEX.sub("/legacy/", url)
        raise WrongAddressError(
            f"--url: this is the URL of an index; uploads go to {printable(meant)}"
        )


def _index_beside(url: str) -> str | None:
    return _LEGACY.sub("/simple/", url) if _LEGACY.search(url) else None


def _slashed(url: str | None) -> str | None:
    return None if url is None else f"{url.rstrip('/')}/"
