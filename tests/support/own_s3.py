"""Our own client of S3, on an emulator, whose connections are closed at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from pytp_broker.aws.api.calls import Calls, Clock
from pytp_broker.aws.api.connections import Connections
from pytp_broker.aws.api.credentials import EnvironmentCredentials
from pytp_broker.aws.api.endpoints import Endpoint, find_endpoint
from pytp_broker.aws.api.s3 import LIMITS, S3
from tests.support.emulator import REGION


@contextmanager
def own_s3(endpoint_url: str) -> Iterator[S3]:
    """Return a client as the functions have it."""
    opened: list[Connections] = []
    credentials = EnvironmentCredentials(
        {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    )

    def open_calls(endpoint: Endpoint) -> Calls:
        opened.append(Connections(endpoint, LIMITS))
        return Calls(opened[-1], credentials, Clock())

    environ = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": endpoint_url}
    yield S3(find_endpoint("s3", environ), open_calls)
    for connections in opened:
        connections.close()
