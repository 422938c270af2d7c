"""Let the attest function verify attestations, and wait for its answer.

It takes milliseconds once it runs, and a few seconds if it must start first.
"""

import json
from collections.abc import Callable
from typing import Any

from pytp_broker.aws.api.errors import CallError
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import AttestationQuestion, AttestationState


class LambdaAttester:
    """An Attester that invokes a function. Most uploads need none, so the client is made late."""

    def __init__(self, make_client: Callable[[], Any], function: str) -> None:
        self._make_client = make_client
        self._function = function
        self._client: Any = None

    def verify(self, question: AttestationQuestion) -> AttestationState:
        """Return what the function says; raise StoreUnavailable."""
        payload = json.dumps(question.document())
        try:
            if self._client is None:
                self._client = self._make_client()
            answer = self._client.invoke(FunctionName=self._function, Payload=payload)
            octets = answer["Payload"].read()
        except CallError as error:
            raise _unavailable(error.cause) from None
        if "FunctionError" in answer:
            raise _unavailable("the attest function failed; its log says why")
        return _read(octets)


def _read(octets: bytes) -> AttestationState:
    try:
        return AttestationState.from_document(json.loads(octets))
    except (KeyError, TypeError, ValueError):
        raise _unavailable("the attest function gave an answer that is not a state") from None


def _unavailable(operator_detail: str) -> StoreUnavailable:
    return StoreUnavailable(
        "attestations cannot be verified now; try again", operator_detail=operator_detail
    )
