"""Faults on the wire, below boto3: its retries meet them, and so does its first attempt.

Laid with botocore's `before-send` event, which comes once for each attempt, at the last moment.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from moto.core.models import botocore_stubber

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


def make_client(service: str, config: Config, endpoint_url: str | None) -> Any:
    """Return a client of an emulation, configured like this."""
    build: Any = boto3.client  # typed for each service by its literal name
    made = build(
        service,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
        endpoint_url=endpoint_url,
    )
    return Client(made)


def deliver_to_moto(event_name: str, request: Any) -> Any:
    return botocore_stubber(event_name, request)


def deliver_by_http(_event_name: str, request: Any) -> Any:
    session = URLLib3Session()
    try:
        return session.send(request)
    finally:
        session.close()
