"""Make the calls of one service: sign, send, and try again once where that may help.

As in botocore's standard mode, a call is repeated after a failure of the connection, an error of
the service itself (5xx), and a refusal because of too many requests. A write may then have been
made twice: the stores' conditions recognise their own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import SystemRandom
from typing import Final, TypeVar

from pytp_broker.aws.api.answers import Answer
from pytp_broker.aws.api.connections import Connections
from pytp_broker.aws.api.credentials import CredentialsError, CredentialSource
from pytp_broker.aws.api.errors import CallError, RefusedError, UnansweredError
from pytp_broker.aws.api.messages import Request, write_message
from pytp_broker.aws.api.signing import presign, sign

T = TypeVar("T")
# Makes a value of the answer to an operation; raises RefusedError or BrokenAnswerError.
Read = Callable[[str, Answer], T]

_TRANSIENT: Final = frozenset({500, 502, 503, 504})
# botocore's lists, without the codes of services that we do not ask.
_THROTTLED: Final = frozenset(
    {
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
# The credentials have expired, or were replaced.
_EXPIRED: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException"},
)
_REPEATED: Final = _THROTTLED | _EXPIRED
# The longest wait before an attempt after a refusal. Without an answer we have waited already.
_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day, a clock that never goes back, and how to wait."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ticks: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


class Calls:
    """Makes the calls of the service at one endpoint."""

    def __init__(
        self, connections: Connections, credentials: CredentialSource, clock: Clock
    ) -> None:
        self._connections = connections
        self._endpoint, self._limits = connections.endpoint, connections.limits
        self._credentials = credentials
        self._clock = clock

    def make(self, operation: str, request: Request, read: Read[T]) -> T:
        """Return what ``read`` makes of the answer; raise CallError."""
        deadline = self._clock.ticks() + self._limits.call_seconds
        for _ in range(self._limits.attempts - 1):
            try:
                return self._attempt(operation, request, read, deadline)
            except CallError as error:
                if not _helps_to_repeat(error):
                    raise
                if isinstance(error, RefusedError):
                    self._clock.pause(SystemRandom().uniform(0, _PAUSE_SECONDS))
        return self._attempt(operation, request, read, deadline)

    def presigned_url(self, operation: str, request: Request, seconds: int) -> str:
        """Return a URL that stands for the request, for so many seconds; raise CallError."""
        try:
            credentials = self._credentials.current()
        except CredentialsError as error:
            raise _unanswered(operation, error) from None
        target = presign(request, self._endpoint, credentials, self._clock.now(), seconds)
        return f"{self._endpoint.url}{target}"

    def _attempt(self, operation: str, request: Request, read: Read[T], deadline: float) -> T:
        try:
            credentials = self._credentials.current()
            headers = sign(request, self._endpoint, credentials, self._clock.now())
            message = write_message(request, self._endpoint.authority, headers)
            is_head = request.method == "HEAD"
            answer = self._connections.exchange(message, deadline, is_head=is_head)
            return read(operation, answer)
        except (OSError, CredentialsError) as error:
            raise _unanswered(operation, error) from None
        except RefusedError as error:
            if error.code in _EXPIRED:
                self._credentials.renew()
            raise


def _unanswered(operation: str, error: Exception) -> UnansweredError:
    return UnansweredError(operation, type(error).__name__, str(error))


def _helps_to_repeat(error: CallError) -> bool:
    if isinstance(error, RefusedError):
        return error.status in _TRANSIENT or error.code in _REPEATED
    return True
