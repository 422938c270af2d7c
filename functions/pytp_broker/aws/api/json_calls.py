"""Calls of services that speak JSON to one URL, as DynamoDB and KMS do.

https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from pytp_broker.aws.api.answers import Answer, BrokenAnswerError
from pytp_broker.aws.api.calls import Calls
from pytp_broker.aws.api.errors import RefusedError
from pytp_broker.aws.api.messages import Request


class JsonCalls:
    """The calls of one service; ``target`` is its name there, ``version`` that of its JSON.

    ``blob`` is the member of its answers that has bytes.
    """

    def __init__(self, calls: Calls, target: str, version: str, blob: str = "") -> None:
        self._calls = calls
        self._target = target
        self._blob = blob
        self._content_type = f"application/x-amz-json-{version}"

    def make(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a call; raise CallError."""
        headers = {
            "content-type": self._content_type,
            "x-amz-target": f"{self._target}.{operation}",
        }
        body = _ENCODER.encode(parameters).encode()
        return self._calls.make(operation, Request("POST", "/", headers, body), self._read)

    def _read(self, operation: str, answer: Answer) -> dict[str, Any]:
        _check_crc32(answer)
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise refusal(operation, answer)
        document = _read_document(answer.body)
        if self._blob in document:
            document[self._blob] = _decode(document[self._blob])
        return document


def _encode_bytes(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} is not a type of AWS's JSON")
    return base64.b64encode(value).decode()


_ENCODER: Final = json.JSONEncoder(
    default=_encode_bytes, separators=(",", ":"), allow_nan=False, check_circular=False
)


def refusal(operation: str, answer: Answer) -> RefusedError:
    """Return the error that an answer tells of; without a code it has the status for one."""
    try:
        document = _read_document(answer.body)
    except BrokenAnswerError:
        document = {}
    kind = answer.headers.get("x-amzn-errortype") or str(document.get("__type", ""))
    code = kind.rpartition("#")[2].partition(":")[0] or str(answer.status)
    return RefusedError(operation, answer.status, code, document)


def _check_crc32(answer: Answer) -> None:
    announced = answer.headers.get("x-amz-crc32")
    if announced is not None and announced != str(zlib.crc32(answer.body)):
        raise BrokenAnswerError("the answer has another checksum than it announces")


def _read_document(body: bytes) -> dict[str, Any]:
    try:
        # Most answers have no bytes, and are read faster without a hook.
        hook = _decode_bytes if b'"B"' in body or b'"BS"' in body else None
        document = json.loads(body, object_hook=hook)
    except (ValueError, RecursionError):
        raise BrokenAnswerError("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise BrokenAnswerError("the answer is not a JSON object")
    return document


def _decode_bytes(value: dict[str, Any]) -> dict[str, Any]:
    # An attribute may be named `B`, too, but then it holds an object and not a text or a list.
    if len(value) == 1:
        if isinstance(octets := value.get("B"), str):
            return {"B": _decode(octets)}
        if isinstance(octets := value.get("BS"), list):
            return {"BS": [_decode(each) for each in octets]}
    return value


def _decode(octets: object) -> bytes:
    try:
        return base64.b64decode(str(octets), validate=True)
    except ValueError:
        raise BrokenAnswerError("a part of the answer is not base64") from None
