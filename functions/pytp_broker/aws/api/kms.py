"""A client of KMS, with the method of boto3's that signs."""

from collections.abc import Mapping
from typing import Any

from pytp_broker.aws.api.calls import Calls
from pytp_broker.aws.api.json_calls import JsonCalls


class Kms:
    """Calls KMS; threads may share it. Every method raises CallError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = JsonCalls(calls, "TrentService", "1.1", blob="Signature")

    def sign(self, **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as KMS has them
        """Return the signature of a message."""
        return self._calls.make("Sign", parameters)
