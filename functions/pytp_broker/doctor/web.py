"""Requests to a broker from outside: bounded, without redirects, cookies, proxies or passwords."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any, Final
from urllib.parse import urlsplit

from pytp_broker.names import is_sent_host
from pytp_broker.redaction import printable

# The gateway of AWS gives a function 30 s, and many may start at once.
_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_MAX_LINES: Final = 4
_MAX_BODY_BYTES: Final = 256 * 1024
_PORTS: Final = {"https": 443, "http": 80}


class NoAnswerError(Exception):
    """A request got no answer; the text says what happened instead."""


class BadUrlError(ValueError):
    """The text is not the URL of a broker."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer; ``asked_at`` and ``seen_at`` are this machine's times around it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked_at: datetime
    seen_at: datetime

    @property
    def document(self) -> Mapping[str, Any]:
        """Return the JSON object in the body; an empty one for anything else."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def media_type(self) -> str:
        """Return the whole Content-Type: clients compare it with its parameters."""
        return self.headers.get("content-type", "")

    @property
    def code(self) -> str:
        """Return the code of the one error object, or nothing if this is not one."""
        errors = self.document.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else None
        code = first.get("code") if isinstance(first, dict) else None
        return code if isinstance(code, str) else ""

    def text(self, name: str) -> str:
        """Return a member of the document if it is a text, else an empty one."""
        value = self.document.get(name)
        return value if isinstance(value, str) else ""

    def __str__(self) -> str:
        """Return the answer in a few words."""
        kind = printable(self.media_type.partition(";")[0], 60) or "no Content-Type"
        code = f", `{printable(self.code, 60)}`" if self.code else ""
        return f"{self.status} ({kind}{code})"


@dataclass(frozen=True, slots=True)
class Web:
    """Where a broker is on the web.

    ``host`` is what clients name, and ``prefix`` leads to a registry, if the URL named one.
    ``ca_files`` are trusted, or what `requests` trusts. ``connect`` is the address to connect to,
    if it is not the host's own.
    """

    scheme: str
    host: str
    prefix: str = ""
    ca_files: tuple[str, ...] = ()
    connect: tuple[str, int] | None = None
    # A small server, or one whose functions start first, must not drop what all checks ask at once.
    gate: BoundedSemaphore = field(
        default_factory=lambda: BoundedSemaphore(_MAX_LINES), repr=False, compare=False
    )

    @classmethod
    def parse(cls, url: str, ca_files: tuple[str, ...], connect: tuple[str, int] | None) -> "Web":
        """Return the place of a host's URL, or of a registry's upload or index URL.

        Raises BadUrlError.
        """
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise BadUrlError(url) from None
        host = parts.netloc.lower()
        first = parts.path.strip("/").split("/")[0]
        if parts.scheme not in _PORTS or not is_sent_host(host):
            raise BadUrlError(url)
        prefix = "" if first in {"", "legacy", "simple", "_", "upload"} else f"/{first}"
        return cls(parts.scheme, host, prefix, ca_files, connect)

    @property
    def origin(self) -> str:
        """Return the URL of the host."""
        return f"{self.scheme}://{self.host}"

    @property
    def host_name(self) -> str:
        """Return the host without its port."""
        return urlsplit(self.origin).hostname or ""

    @property
    def port(self) -> int:
        """Return the port that clients use."""
        return urlsplit(self.origin).port or _PORTS[self.scheme]

    @contextmanager
    def line(self) -> Iterator["Line"]:
        """Return a line to the broker, for requests one after the other."""
        line = Line(self)
        with self.gate:
            try:
                yield line
            finally:
                line.close()

    def open_socket(self, port: int | None = None) -> socket.socket:
        """Return a connection without TLS; raise NoAnswerError."""
        address = self.connect or (self.host_name, port or self.port)
        try:
            return socket.create_connection(address, _CONNECT_SECONDS)
        except (OSError, UnicodeError) as error:
            place = f"{address[0]}:{address[1]}"
            raise NoAnswerError(f"{place}: {_reason(error)}") from None

    def context(self) -> ssl.SSLContext:
        """Return what trusts the authorities of clients; raise OSError for a file that has none."""
        files = self.ca_files or (default_authorities(),)
        context = ssl.create_default_context(cafile=files[0])
        for file in files[1:]:
            context.load_verify_locations(file)
        return context


def default_authorities() -> str:
    """Return the file of the public authorities that clients with `requests` trust."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return str(DEFAULT_CA_BUNDLE_PATH)


class Line:
    """A connection to a broker, opened when it is needed and after it was closed."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Seen:
        """Send a request and return its answer; raise NoAnswerError.

        A connection that was kept may just have been closed, so we then try once more.
        """
        is_kept = self._connection is not None
        try:
            return self._ask(method, path, body, headers or {})
        except NoAnswerError:
            if not is_kept:
                raise
        return self._ask(method, path, body, headers or {})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Seen:
        asked_at = datetime.now(UTC)
        try:
            answer = self._send(method, path, body, headers)
            read = answer.read(_MAX_BODY_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise NoAnswerError(f"{method} {printable(path)}: {_reason(error)}") from None
        if answer.will_close or not answer.isclosed():
            self.close()
        pairs = {name.lower(): value for name, value in answer.getheaders()}
        return Seen(answer.status, pairs, read, asked_at, datetime.now(UTC))

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        connection = self._connection = self._connection or self._open()
        sent = {
            "Host": self._web.host,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "pytp-broker-doctor",
            **headers,
        }
        try:
            connection.request(method, path, body, sent)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            if body is None:
                raise
            # A server may refuse a body before it has read all of it.
        return connection.getresponse()

    def _open(self) -> http.client.HTTPConnection:
        web = self._web
        plain = web.open_socket()
        plain.settimeout(_SECONDS)
        connection = http.client.HTTPConnection(web.host_name, web.port, timeout=_SECONDS)
        try:
            connection.sock = (
                web.context().wrap_socket(plain, server_hostname=web.host_name)
                if web.scheme == "https"
                else plain
            )
        except BaseException:
            plain.close()
            raise
        return connection


def _reason(error: Exception) -> str:
    """Return what happened to a connection, in words that are safe to show."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return type(error).__name__
