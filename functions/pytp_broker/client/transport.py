"""Send a request to a registry or to the CI service, within hard limits.

``requests`` is imported for the first request: a program that asks for the password of another
address never needs it.
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

# A function that starts cold, and asks the issuer for its keys, answers within 5 s.
DEADLINE_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 * 1024
# Where each of our callers is told which authorities to trust; `requests` reads the others itself.
_CA_FILES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT")
_NOT_TRUSTED: Final = (
    "it offers no TLS connection that can be trusted: if your own authority has signed its "
    "certificate, name the file with that authority in REQUESTS_CA_BUNDLE"
)
# OpenSSL's name of what is wrong, which `requests` keeps in the text alone.
_BAD_CERTIFICATE: Final = "CERTIFICATE_VERIFY_FAILED"
_CHUNK_BYTES: Final = 8 * 1024


class UnreachableError(Exception):
    """There is no answer, or one that is too long; the text says which.

    ``may_pass`` says that the same request may be answered later.
    """

    def __init__(self, text: str, *, may_pass: bool = True) -> None:
        super().__init__(text)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and the JSON object that came with it; an empty one for anything else."""

    status: int
    document: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a member of the document if it is a string, else an empty one."""
        value = self.document.get(name)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request: what is sent to where. A ``body`` is sent as JSON, by POST."""

    url: str
    body: Mapping[str, Any] | None = None
    method: str = "GET"
    accept: str = "application/json"
    authorization: str = ""


# A function that sends a request, and raises UnreachableError if there is no answer.
Send = Callable[[Call], Answer]


def send(call: Call) -> Answer:
    """Send a request and return its answer by the deadline; raise UnreachableError.

    Redirects are not followed, because a token must go nowhere else. The deadline also holds
    against a server that sends a byte a second, and against a slow look-up of a name.
    """
    answer: Future[Answer] = Future()
    try:
        Thread(target=_send_into, args=(answer, call), daemon=True).start()
    except RuntimeError:
        # Python 3.12 starts no thread while a program ends, and tokens are burned then. The limits
        # on each single read hold without it.
        return _send(call)
    try:
        return answer.result(DEADLINE_SECONDS)
    except FutureTimeoutError:
        raise UnreachableError(f"it did not answer within {DEADLINE_SECONDS:.0f} s") from None


def _send_into(answer: "Future[Answer]", call: Call) -> None:
    try:
        answer.set_result(_send(call))
    except Exception as error:  # noqa: BLE001 - crosses a thread; it is raised again over there
        answer.set_exception(error)


def _send(call: Call) -> Answer:
    import requests

    headers = {"Accept": call.accept, "Accept-Encoding": "identity", "User-Agent": "pytp-broker"}
    try:
        with requests.request(
            "POST" if call.body is not None else call.method,
            call.url,
            json=call.body,
            headers=headers,
            auth=Authorization(call.authorization),
            allow_redirects=False,
            stream=True,
            timeout=DEADLINE_SECONDS,
            verify=authorities(),
        ) as response:
            body = _read(response.iter_content(_CHUNK_BYTES))
            return Answer(response.status_code, _parse(body))
    except requests.exceptions.SSLError as error:
        raise not_trusted(error) from None
    # OSError: a file of authorities that is not there. ValueError: a host that cannot be encoded.
    except (requests.RequestException, OSError, ValueError) as error:
        raise UnreachableError(f"it cannot be reached ({type(error).__name__})") from None


def not_trusted(error: Exception) -> UnreachableError:
    """Return the error of a TLS connection that failed.

    A certificate that is not trusted stays so; a connection that breaks may be better later.
    """
    return UnreachableError(_NOT_TRUSTED, may_pass=_BAD_CERTIFICATE not in str(error))


@dataclass(frozen=True, slots=True)
class Authorization:
    """The credentials of a request. Without it, `requests` would send those of a netrc file."""

    text: str

    def __call__(self, request: Any) -> Any:  # noqa: ANN401 - a request of `requests`
        """Add the credentials to a request."""
        if self.text:
            request.headers["Authorization"] = self.text
        return request


def authorities() -> str | bool:
    """Return the file of authorities that the environment names; True if it names none."""
    return next((found for name in _CA_FILES if (found := os.environ.get(name))), True)


def _read(chunks: Any) -> bytes:  # noqa: ANN401 - the chunks of `requests`
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise UnreachableError("its answer is too long")
    return body


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
