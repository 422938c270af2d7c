"""Requests to another index: checked redirects, and credentials for that index alone."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from pytp_broker.cli.sources.index_credentials import (
    PASSWORD_VARIABLE,
    USERNAME_VARIABLE,
    Credential,
    origin_of,
    shown,
    without_credentials,
)
from pytp_broker.cli.sources.paced_connections import (
    CONNECT_SECONDS,
    READ_SECONDS,
    PacedAdapter,
)
from pytp_broker.cli.sources.source import SourceError, Stream
from pytp_broker.redaction import printable

MAX_REDIRECTS: Final = 5
# The page of a project with 100,000 files has 40 MB.
MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_SCHEMES: Final = ("http", "https")
_MAY_PASS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it arrived, and the URL that it came from in the end."""

    url: str
    content_type: str
    body: bytes


class _Session(requests.Session):
    """A session that never looks where a redirect leads: it would read the whole body to do so."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the base's
        """Return None: ``Downloads`` follows redirects itself."""
        return


class Downloads:
    """Gets pages and files of one index. Proxies come from the environment, cookies are ignored."""

    def __init__(self, credential: Credential | None, ca_bundle: str | None) -> None:
        self._credential = credential
        self._session = _Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": "pytp-broker", "Accept-Encoding": "identity"})
        self._ca_bundle = ca_bundle
        for scheme in _SCHEMES:
            self._session.mount(f"{scheme}://", PacedAdapter())

    def read_page(self, url: str, accept: str) -> Page:
        """Return a page of at most 64 MiB; raise SourceError.

        It must come from the host that was asked. An index that lacks a project may redirect to
        PyPI, where a stranger may own the name.
        """
        response = self._open(url, accept, stays=True)
        body = bytearray()
        with closing(_pieces(response)) as pieces:
            for piece in pieces:
                body += piece
                if len(body) > MAX_PAGE_BYTES:
                    raise SourceError(f"{shown(url)} is a page of more than 64 MiB")
        return Page(response.url, response.headers.get("Content-Type", ""), bytes(body))

    def stream(self, url: str) -> Stream:
        """Return the content of a file; raise SourceError."""
        response = self._open(url, "*/*", stays=False)
        return Stream(_pieces(response), _read_time(response.headers.get("Last-Modified")))

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _open(self, url: str, accept: str, *, stays: bool) -> requests.Response:
        """Return a 200 answer whose body is not read yet; follow a few redirects.

        ``stays`` says that none of them may lead to another host.
        """
        for _ in range(MAX_REDIRECTS + 1):
            response = self._ask(url, accept)
            target = response.headers.get("Location") if response.is_redirect else None
            if target is None:
                return self._checked(response)
            response.close()
            url = _follow(url, target, stays=stays)
        raise SourceError(f"{shown(url)} redirects more than {MAX_REDIRECTS} times")

    def _ask(self, url: str, accept: str) -> requests.Response:
        try:
            return self._session.get(
                url,
                headers={"Accept": accept},
                auth=self._authorize,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                verify=self._ca_bundle,  # on the session, REQUESTS_CA_BUNDLE would replace it
            )
        # ValueError: a host name that cannot be encoded.
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise _unreachable(url, error) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the credential to a request for its origin; without this, requests reads netrc."""
        credential = self._credential
        if credential is None or origin_of(str(request.url)) != credential.origin:
            return request
        signed: requests.PreparedRequest = HTTPBasicAuth(
            credential.user.encode(), credential.password.reveal().encode()
        )(request)
        return signed

    def _checked(self, response: requests.Response) -> requests.Response:
        if response.status_code == HTTPStatus.OK and not response.headers.get("Content-Encoding"):
            return response
        response.close()
        raise self._refusal(response)

    def _refusal(self, response: requests.Response) -> SourceError:
        status, url = response.status_code, shown(response.url)
        if status == HTTPStatus.OK:
            return SourceError(f"{url} is compressed, and we did not ask for that")
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return SourceError(f"{url} answers {status}: {_advise_on_credentials(response)}")
        return SourceError(
            f"{url} answers {status}",
            may_pass=status in _MAY_PASS,
            wait_seconds=_read_wait(response.headers.get("Retry-After", "")),
        )


def _advise_on_credentials(response: requests.Response) -> str:
    if "Authorization" in response.request.headers:
        return "check the user and the password that you have given, and what they may read"
    host = urlsplit(response.url).hostname
    return (
        f"give a user and a password in {USERNAME_VARIABLE} and {PASSWORD_VARIABLE}, or in your "
        f"netrc file for the machine {host}; they are sent to the host of --from-index alone"
    )


def _follow(url: str, target: str, *, stays: bool) -> str:
    """Return where a redirect leads; raise SourceError if we must not go there."""
    try:
        found = without_credentials(urljoin(url, target))
        scheme, host, _ = origin_of(found)
    except ValueError:
        raise SourceError(f"{shown(url)} redirects to something that is not a URL") from None
    if scheme not in _SCHEMES or not host:
        raise SourceError(f"{shown(url)} redirects to {shown(found)}, which is not http or https")
    if url.startswith("https:") and scheme == "http":
        raise SourceError(f"{shown(url)} redirects from https to {shown(found)}")
    if stays and host != origin_of(url)[1]:
        raise SourceError(
            f"{shown(url)} redirects to another index, {shown(found)}: the source may lack this "
            "project; if that index is yours, name it in --from-index"
        )
    return found


def _pieces(response: requests.Response) -> Generator[bytes]:
    """Yield the body as it is sent; a body that is shorter than announced is an error."""
    with response:
        try:
            yield from response.raw.stream(_PIECE_BYTES, decode_content=False)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise _unreachable(response.url, error) from None


def _unreachable(url: str, error: BaseException) -> SourceError:
    """Return the error of a failed request, with the system's reason and without the URL's query.

    The texts of requests have whole URLs in them, so they are not used.
    """
    cause: BaseException | None = error
    reason = type(error).__name__
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror
        cause = cause.__cause__ or cause.__context__
    text = f"{shown(url)} cannot be reached ({printable(reason)})"
    if isinstance(error, requests.exceptions.SSLError):
        text += "; --ca-bundle names the authorities of an index inside your company"
    return SourceError(text, may_pass=True)


def _read_wait(text: str) -> float:
    """Return the seconds of a `Retry-After`, which may also be a date."""
    if text.isascii() and text.isdigit():
        return float(text[:6])
    moment = _read_time(text)
    return 0 if moment is None else max(0, (moment - datetime.now(UTC)).total_seconds())


def _read_time(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
