"""A client of Lambda, with the method of boto3's that invokes a function."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import quote

from pytp_broker.aws.api.answers import Answer
from pytp_broker.aws.api.calls import Calls
from pytp_broker.aws.api.json_calls import refusal
from pytp_broker.aws.api.messages import Request

_SUCCESSFUL = range(200, 300)


class Lambdas:
    """Calls Lambda; threads may share it. Every method raises CallError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def invoke(self, **parameters: str) -> Mapping[str, Any]:
        """Return what a function answers; with the type ``Event``, that Lambda has taken it."""
        name, payload = parameters["FunctionName"], parameters["Payload"]
        kind = parameters.get("InvocationType", "RequestResponse")
        path = f"/2015-03-31/functions/{quote(name, safe='')}/invocations"
        request = Request("POST", path, {"x-amz-invocation-type": kind}, payload.encode())
        return self._calls.make("Invoke", request, _read)


def _read(operation: str, answer: Answer) -> Mapping[str, Any]:
    if answer.status not in _SUCCESSFUL:
        raise refusal(operation, answer)
    error = answer.headers.get("x-amz-function-error")
    members = {} if error is None else {"FunctionError": error}
    return {"StatusCode": answer.status, "Payload": BytesIO(answer.body), **members}
