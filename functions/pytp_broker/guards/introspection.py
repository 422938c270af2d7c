"""Ask the registry whether a token is good, and for what (RFC 7662).

Nothing here decides: an answer that is not exactly what the protocol says is no answer, and then
the guard refuses with 503.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.errors import InvalidPayload, Unavailable
from pytp_broker.grants import Permission
from pytp_broker.guards.settings import Settings
from pytp_broker.http import paths
from pytp_broker.strict_json import parse_json_object
from pytp_broker.tokens import UploadToken

if TYPE_CHECKING:
    import requests

LOG: Final = logging.getLogger("pytp_broker.guards")

_CONNECT_SECONDS: Final = 5.0
# Between two pieces of an answer, and for the whole of it.
_READ_SECONDS: Final = 10.0
_DEADLINE_SECONDS: Final = 15.0
# A token may be for thousands of projects, each of which has at most 200 characters.
MAX_ANSWER_BYTES: Final = 2 * 1024 * 1024
_PIECE_BYTES: Final = 16 * 1024
# A server ends a connection that it has kept for a while, and then the first request on it fails.
# A question changes nothing that the same question would not find again.
_ATTEMPTS: Final = 2
_NO_ANSWER: Final = "the registry cannot be asked now whether the token is good; try again"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a token is good for at this moment."""

    permission: Permission
    projects: frozenset[str]
    expires: int


class Broker:
    """The registry's introspection, over connections that are kept. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._url = paths.INTROSPECT.url(settings.registry_url)
        self._client_id = settings.client_id
        self._secret = settings.secret

    def ask(self, token: UploadToken, **question: str) -> Standing | None:
        """Return what the token is good for, or None if it is not good for this question.

        Raises Unavailable.
        """
        status, body = self._send({"token": token.reveal(), **question})
        if status != HTTPStatus.OK:
            raise _unavailable(_ADVICE.get(status, f"it answered {status}"))
        try:
            return _read(parse_json_object(body))
        except (InvalidPayload, ValueError):
            raise _unavailable("its answer is not that of an introspection (RFC 7662)") from None

    def _send(self, form: Mapping[str, str]) -> tuple[int, bytes]:
        import requests

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._post(form)
            except requests.exceptions.SSLError:
                raise _unavailable(
                    "its certificate is not trusted: if your own authority has signed it, name "
                    "the file with that authority in REQUESTS_CA_BUNDLE"
                ) from None
            except requests.exceptions.Timeout:
                raise _unavailable("it did not answer in time") from None
            except (requests.RequestException, OSError, ValueError) as error:
                if attempt == _ATTEMPTS:
                    # The error's own text may quote the request.
                    raise _unavailable(f"it cannot be reached ({type(error).__name__})") from None
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def _post(self, form: Mapping[str, str]) -> tuple[int, bytes]:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        with self._session.post(
            self._url,
            data=form,
            auth=(self._client_id, self._secret.reveal()),
            # Redirects are not followed, because the token and the secret go nowhere else.
            allow_redirects=False,
            stream=True,
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
        ) as response:
            return response.status_code, _collect(response.iter_content(_PIECE_BYTES), deadline)

    @cached_property
    def _session(self) -> "requests.Session":
        import requests

        session = requests.Session()
        session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
        session.headers["User-Agent"] = "pytp-broker-guard"
        return session


# What an operator can do about an answer.
_ADVICE: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "it does not know this guard: compare the id and the secret with "
    "`[[registries.introspection_clients]]`",
    HTTPStatus.NOT_FOUND: "there is no such registry at this address",
    HTTPStatus.TOO_MANY_REQUESTS: "it gets too many requests",
}


def _unavailable(cause: str) -> Unavailable:
    """Return the refusal of a guard that has no answer; only the operator reads the cause."""
    return Unavailable(_NO_ANSWER, operator_detail=cause)


def _collect(pieces: Iterable[bytes], deadline: float) -> bytes:
    """Return a whole answer; raise Unavailable for a long or a slow one."""
    body = b""
    for piece in pieces:
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _unavailable("its answer is too long")
        if time.monotonic() > deadline:
            raise _unavailable("its answer is too slow")
    return body


def _read(document: Mapping[str, Any]) -> Standing | None:
    """Return what an answer says; raise ValueError unless it is one of an introspection."""
    active = document.get("active")
    if active is False:
        return None
    projects, expires = document.get("projects"), document.get("exp")
    if active is not True or type(expires) is not int or not isinstance(projects, list):
        raise ValueError("active, exp, projects")
    if not all(isinstance(project, str) for project in projects):
        raise ValueError("projects")
    return Standing(Permission(document.get("scope")), frozenset(projects), expires)
