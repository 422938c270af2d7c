"""Let the verify function verify something: the upload function does not wait for it."""

import json
from collections.abc import Callable
from typing import Any

from pytp_broker.aws.api.errors import CallError
from pytp_broker.errors import StoreUnavailable
from pytp_broker.verifier import Place


class LambdaVerifier:
    """A Verifier that invokes a function. Most uploads need none, so the client is made late."""

    def __init__(self, make_client: Callable[[], Any], function: str) -> None:
        self._make_client = make_client
        self._function = function
        self._client: Any = None

    def request(self, place: Place) -> None:
        """Put the place into Lambda's queue for the function; raise StoreUnavailable."""
        try:
            if self._client is None:
                self._client = self._make_client()
            self._client.invoke(
                FunctionName=self._function,
                InvocationType="Event",
                Payload=json.dumps(place.document()),
            )
        except CallError as error:
            raise StoreUnavailable(
                "the file cannot be checked now: try again",
                operator_detail=error.cause,
            ) from None
