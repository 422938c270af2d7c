"""The clients of a function: its environment names the region and the credentials."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from pytp_broker.aws.api.calls import Calls, Clock
from pytp_broker.aws.api.connections import Connections, Limits, tls_context
from pytp_broker.aws.api.credentials import find_credentials
from pytp_broker.aws.api.dynamodb import LIMITS, DynamoDB
from pytp_broker.aws.api.endpoints import Endpoint, find_endpoint
from pytp_broker.aws.api.kms import Kms
from pytp_broker.aws.api.lambdas import Lambdas
from pytp_broker.aws.api.s3 import LIMITS as LIMITS_OF_OBJECTS
from pytp_broker.aws.api.s3 import S3


class FunctionClients:
    """Makes clients; all of them have the same credentials."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._credentials = find_credentials(environ, lambda: datetime.now(UTC))
        self._opened: list[Connections] = []

    def close(self) -> None:
        """Close the connections that the clients keep."""
        for connections in self._opened:
            connections.close()

    def dynamodb(self) -> DynamoDB:
        """Return a client of DynamoDB."""
        return DynamoDB(self._calls("dynamodb", LIMITS))

    def kms(self) -> Kms:
        """Return a client of KMS."""
        return Kms(self._calls("kms", Limits()))

    def lambdas(self) -> Lambdas:
        """Return a client of Lambda that waits until it has taken an invocation."""
        return Lambdas(self._calls("lambda", Limits()))

    def waiting_lambdas(self, seconds: int) -> Lambdas:
        """Return a client of Lambda that waits so long for what a function answers.

        It never repeats a request, so the function does not do its work twice. It keeps no
        connection either: one that has ended while this function was frozen would cost the only
        attempt.
        """
        limits = Limits(read_seconds=seconds, call_seconds=seconds, attempts=1, kept_connections=0)
        return Lambdas(self._calls("lambda", limits))

    def s3(self) -> S3:
        """Return a client of S3."""
        endpoint = find_endpoint("s3", self._environ)
        return S3(endpoint, lambda bucket: self._calls_at(bucket, LIMITS_OF_OBJECTS))

    def _calls(self, service: str, limits: Limits) -> Calls:
        return self._calls_at(find_endpoint(service, self._environ), limits)

    def _calls_at(self, endpoint: Endpoint, limits: Limits) -> Calls:
        connections = Connections(endpoint, limits)
        self._opened.append(connections)
        return Calls(connections, self._credentials, Clock())


def function_clients() -> FunctionClients:
    """Return the clients of this function.

    The public authorities are loaded now, because a function that starts has a whole processor.
    """
    tls_context()
    return FunctionClients(os.environ)
