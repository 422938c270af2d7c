"""The credentials of a Lambda function: its environment has them, or says where they are.

With SnapStart, Lambda serves them on the loopback interface, because an environment is the same in
every copy of a snapshot.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from pytp_broker.aws.api.connections import Connections, Limits
from pytp_broker.aws.api.endpoints import Endpoint
from pytp_broker.aws.api.messages import Request, write_message

# The hosts from which AWS serves credentials by http: Lambda, ECS and EKS, as in botocore. A token
# must not go to another one.
_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1", "169.254.170.2", "169.254.170.23"})
_SECONDS: Final = 2
# So long before they expire, credentials are fetched again.
_MARGIN: Final = timedelta(minutes=5)
# Within the margin, an attempt to fetch them is made so seldom. It may take `_SECONDS`, and what is
# served may expire soon, too.
_PAUSE: Final = timedelta(seconds=10)


class CredentialsError(Exception):
    """There are no credentials."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs requests; its text shows no secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


class CredentialSource(Protocol):
    """Where credentials come from; threads may share it. Its methods raise CredentialsError."""

    def current(self) -> Credentials:
        """Return credentials that have not expired, as far as we know."""

    def renew(self) -> None:
        """Forget the current ones, because a service takes them no more."""


class EnvironmentCredentials:
    """The credentials in the variables of an environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._read: Credentials | None = None

    def current(self) -> Credentials:
        """Return what the variables have said when they were read."""
        if self._read is None:
            self._read = self._find()
        return self._read

    def renew(self) -> None:
        """Read the variables again at the next call."""
        self._read = None

    def _find(self) -> Credentials:
        try:
            return Credentials(
                self._environ["AWS_ACCESS_KEY_ID"],
                self._environ["AWS_SECRET_ACCESS_KEY"],
                self._environ.get("AWS_SESSION_TOKEN", ""),
            )
        except KeyError as error:
            raise CredentialsError(f"the environment has no {error.args[0]}") from None


class ServedCredentials:
    """The credentials that the environment's container serves, each for some hours."""

    def __init__(self, environ: Mapping[str, str], now: Callable[[], datetime]) -> None:
        self._environ = environ
        self._now = now
        self._held: tuple[Credentials, datetime] | None = None
        self._next_attempt = datetime.min.replace(tzinfo=UTC)

    def current(self) -> Credentials:
        """Return the credentials that we hold, or new ones if those expire soon.

        If there are no new ones, we use those that we hold until they expire.
        """
        held, now = self._held, self._now()
        if held is None or now >= held[1]:
            return self._replace()
        if now >= held[1] - _MARGIN and now >= self._next_attempt:
            # Meanwhile, other threads use those that we hold.
            self._next_attempt = now + _PAUSE
            with suppress(CredentialsError):
                return self._replace()
        return held[0]

    def renew(self) -> None:
        """Fetch others at the next call."""
        self._held = None

    def _replace(self) -> Credentials:
        found = self._held = self._fetch()
        return found[0]

    def _fetch(self) -> tuple[Credentials, datetime]:
        try:
            document = json.loads(self._ask())
            credentials = Credentials(
                document["AccessKeyId"], document["SecretAccessKey"], document["Token"]
            )
            return credentials, datetime.fromisoformat(document["Expiration"])
        except (OSError, LookupError, TypeError, ValueError) as error:
            kind = type(error).__name__
        raise CredentialsError(f"the container serves no credentials: {kind}")

    def _ask(self) -> bytes:
        url = urlsplit(self._environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
        if url.scheme != "http" or url.hostname not in _HOSTS:
            raise ValueError(url.hostname)
        endpoint = Endpoint("credentials", "local", url.hostname, url.port or 80, is_tls=False)
        request = Request("GET", url.path or "/", query=parse_qsl(url.query))
        message = write_message(request, endpoint.authority, self._headers())
        connections = Connections(endpoint, Limits())
        try:
            answer = connections.exchange(message, time.monotonic() + _SECONDS)
        finally:
            connections.close()
        if answer.status != HTTPStatus.OK:
            raise ValueError(answer.status)
        return answer.body

    def _headers(self) -> dict[str, str]:
        path = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        if path is not None:
            return {"authorization": Path(path).read_text().strip()}
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        return {} if token is None else {"authorization": token}


def find_credentials(environ: Mapping[str, str], now: Callable[[], datetime]) -> CredentialSource:
    """Return where a function with this environment has its credentials."""
    if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in environ:
        return ServedCredentials(environ, now)
    return EnvironmentCredentials(environ)
