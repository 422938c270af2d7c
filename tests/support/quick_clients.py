"""The functions' own clients, for an emulator: they take a quarter of the time of boto3's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from pytp_broker.aws.api.calls import Calls, Clock
from pytp_broker.aws.api.connections import Connections, Limits
from pytp_broker.aws.api.credentials import EnvironmentCredentials
from pytp_broker.aws.api.dynamodb import LIMITS, DynamoDB
from pytp_broker.aws.api.endpoints import Endpoint, find_endpoint
from pytp_broker.aws.api.s3 import LIMITS as S3_LIMITS
from pytp_broker.aws.api.s3 import S3
from tests.support.emulator import REGION

_KEYS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class Tables(DynamoDB):
    """A client that also makes tables and drops them, which no function does."""

    def create_table(self, **parameters: Any) -> Any:
        return self.calls.make("CreateTable", parameters)

    def delete_table(self, **parameters: Any) -> Any:
        return self.calls.make("DeleteTable", parameters)

    def wait_until(self, state: str, **_: object) -> None:
        """Return: a table of the emulator is there at once."""
        assert state == "table_exists"


@dataclass(frozen=True)
class QuickClients:
    """A client of each service that keeps data."""

    dynamodb: Tables
    s3: Any  # a client of boto3 is as good


@contextmanager
def quick_clients(
    url: str, connect: Callable[[Endpoint, Limits], Connections] = Connections
) -> Iterator[QuickClients]:
    """Lend clients of the emulator at a URL, and close their connections in the end."""
    environ = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": url}
    opened: list[Connections] = []

    def open_calls(endpoint: Endpoint, limits: Limits) -> Calls:
        # An emulator on a busy machine is slower than AWS.
        patient = replace(limits, connect_seconds=60, read_seconds=60, call_seconds=120)
        opened.append(connect(endpoint, patient))
        return Calls(opened[-1], EnvironmentCredentials(_KEYS), Clock(pause=lambda _: None))

    yield QuickClients(
        Tables(open_calls(find_endpoint("dynamodb", environ), LIMITS)),
        S3(find_endpoint("s3", environ), lambda endpoint: open_calls(endpoint, S3_LIMITS)),
    )
    for each in opened:
        each.close()
