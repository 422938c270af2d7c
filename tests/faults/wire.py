"""Faults on the wire, below a client: its retries meet them, and so does its first attempt.

Below boto3 it is laid with botocore's `before-send` event, which comes once for each attempt, at
the last moment. Below the functions' own clients it takes the place of their connections.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from moto.core.models import botocore_stubber

from pytp_broker.aws.api.answers import Answer
from pytp_broker.aws.api.connections import Connections, Limits
from pytp_broker.aws.api.endpoints import Endpoint
from pytp_broker.aws.boto import Client
from tests.faults.injection import Fault, Line
from tests.support.emulator import REGION
from tests.support.figures import FAULTS

# The function that really sends a request: it takes the event name and the request.
Deliver = Callable[[str, Any], Any]


class Wire(Line):
    """Carries attempts: a request that boto3 repeats is carried anew.

    With ``for_good`` the attempts after the broken one meet the same fault.
    """

    def __init__(self, deliver: Deliver, *, for_good: bool) -> None:
        super().__init__()
        self._deliver = deliver
        self._for_good = for_good

    def lay(self, client: Any) -> None:
        """Let everything that this client sends go through here."""
        client.meta.events.register_first("before-send.*.*", self._send)

    def _send(self, event_name: str, request: Any, **_: Any) -> Any:
        number = len(self.calls)
        self.calls.append(event_name.rpartition(".")[2])
        if not self.was_hit or (number != self._number and not self._for_good):
            return None  # botocore sends it
        if self._fault is Fault.SLOW:
            return self._carry_slowly(lambda: self._deliver(event_name, request))
        FAULTS["faults"] += 1
        if self._fault is Fault.THROTTLED:
            return _throttle(request)
        if self._fault is Fault.AFTER:
            self._deliver(event_name, request)
            raise ReadTimeoutError(endpoint_url=request.url)
        if number % 2:
            raise ConnectTimeoutError(endpoint_url=request.url)
        return _answer(
            request, 500, "InternalServerError" if _is_json(request) else "InternalError"
        )


class WireOfFunctions(Line):
    """As Wire, below the functions' own clients."""

    def __init__(self, *, for_good: bool) -> None:
        super().__init__()
        self._for_good = for_good

    def connect(self, endpoint: Endpoint, limits: Limits) -> Connections:
        """Return connections that send everything through here."""
        return _Cut(self, endpoint, limits)

    def pass_on(self, message: bytes, exchange: Callable[[], Answer]) -> Answer:
        """Exchange a message for its answer, or for what the fault makes of it."""
        number = len(self.calls)
        self.calls.append(_operation_of(message))
        if not self.was_hit or (number != self._number and not self._for_good):
            return exchange()
        if self._fault is Fault.SLOW:
            return self._carry_slowly(exchange)
        FAULTS["faults"] += 1
        if self._fault is Fault.THROTTLED:
            return _refused_message(message, 400, "ProvisionedThroughputExceededException")
        if self._fault is Fault.AFTER:
            exchange()
            raise TimeoutError
        if number % 2:
            raise ConnectionRefusedError
        return _refused_message(message, 500, "InternalServerError")


class _Cut(Connections):
    def __init__(self, wire: WireOfFunctions, endpoint: Endpoint, limits: Limits) -> None:
        super().__init__(endpoint, limits)
        self._wire = wire

    def exchange(self, message: bytes, deadline: float, *, is_head: bool = False) -> Answer:
        exchange = super().exchange
        return self._wire.pass_on(message, lambda: exchange(message, deadline, is_head=is_head))


def _operation_of(message: bytes) -> str:
    """Return what a message asks for: DynamoDB's operation, or the method of a request to S3."""
    head, _, _ = message.partition(b"\r\n\r\n")
    _, _, target = head.partition(b"x-amz-target: ")
    name = target.partition(b"\r\n")[0].rpartition(b".")[2] or head.partition(b" ")[0]
    return name.decode()


def _refused_message(message: bytes, status: int, code: str) -> Answer:
    if b"x-amz-target: " in message:
        return Answer(status, {}, json.dumps({"__type": code}).encode(), is_last=False)
    text = f"<Error><Code>{'SlowDown' if status == 400 else 'InternalError'}</Code></Error>"
    return Answer(503 if status == 400 else 500, {}, text.encode(), is_last=False)


def _throttle(request: Any) -> AWSResponse:
    if _is_json(request):
        return _answer(request, 400, "ProvisionedThroughputExceededException")
    return _answer(request, 503, "SlowDown")


def _answer(request: Any, status: int, code: str) -> AWSResponse:
    text = f"<Error><Code>{code}</Code></Error>"
    if _is_json(request):
        text = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}"})
    return AWSResponse(request.url, status, HTTPHeaders(), _Body(text.encode()))


def _is_json(request: Any) -> bool:
    return "X-Amz-Target" in request.headers  # DynamoDB's; S3 speaks XML


class _Body:
    """An answer's body, as an HTTP library hands it over."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


def make_client(service: str, config: Config) -> Any:
    """Return a client of boto3 for moto, configured like this."""
    build: Any = boto3.client  # typed for each service by its literal name
    made = build(
        service,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )
    return Client(made)


def deliver_to_moto(event_name: str, request: Any) -> Any:
    return botocore_stubber(event_name, request)
