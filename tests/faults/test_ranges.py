"""How often a range of S3 is asked for: with our own client and with boto3, on real sockets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import boto3
import botocore.endpoint
import pytest
from botocore.config import Config

from pytp_broker.aws.api.calls import Calls, Clock
from pytp_broker.aws.api.connections import Connections, Limits
from pytp_broker.aws.api.credentials import EnvironmentCredentials
from pytp_broker.aws.api.s3 import S3
from pytp_broker.aws.boto import SERVER_CONFIG, Client
from pytp_broker.aws.s3_ranges import Fetch
from pytp_broker.errors import StoreUnavailable
from tests.support.emulator import REGION
from tests.support.scripted_aws import ScriptedAws, Step, hang_up, scripted, then_hang_up

KEYS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# The server ends each connection. A client that is not told might lose its next request there.
RANGE: Final = b'connection: close\r\ncontent-range: bytes 0-9/10\r\netag: "1"\r\n'
HEAD: Final = b"HTTP/1.1 206 X\r\ncontent-length: 10\r\n" + RANGE + b"\r\n"
WHOLE: Final = then_hang_up(HEAD + b"0123456789")
BROKEN_OFF: Final = then_hang_up(HEAD + b"01234")
REFUSED: Final = then_hang_up(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
# More than anybody should ask for.
AGAIN_AND_AGAIN: Final = 6


@contextmanager
def own_client(server: ScriptedAws) -> Iterator[S3]:
    """Yield a client of the functions, which does not pause."""
    connections = Connections(server.endpoint, Limits(connect_seconds=20, read_seconds=20))
    clock = Clock(pause=lambda _: None)
    calls = Calls(connections, EnvironmentCredentials(KEYS), clock)
    yield S3(server.endpoint, lambda _: calls)
    connections.close()


@contextmanager
def client_of_boto3(server: ScriptedAws) -> Iterator[Any]:
    """Yield a client with the settings of `serve` on AWS."""
    patient = Config(connect_timeout=20, read_timeout=20, s3={"addressing_style": "path"})
    build: Any = boto3.client
    client = build(
        "s3",
        region_name=REGION,
        endpoint_url=server.endpoint.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=SERVER_CONFIG.merge(patient),
    )
    yield Client(client)
    client.close()


Open = Callable[[ScriptedAws], Any]
each_client = pytest.mark.parametrize("client", [own_client, client_of_boto3])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 retry at once: it waits up to a second before it does."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))


@each_client
@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(hang_up, hang_up, id="no answer"),
        pytest.param(REFUSED, REFUSED, id="refusals"),
        pytest.param(BROKEN_OFF, BROKEN_OFF, id="broken off"),
        pytest.param(hang_up, BROKEN_OFF, id="no answer, then broken off"),
    ],
)
def test_a_range_that_does_not_come_is_asked_for_twice(
    client: Open, first: Step, then: Step
) -> None:
    with scripted() as server, client(server) as s3:
        server.script += [first, *[then] * AGAIN_AND_AGAIN]
        with pytest.raises(StoreUnavailable):
            Fetch(s3, "bucket", "key").open()

    assert len(server.requests) == 2


@each_client
@pytest.mark.parametrize("first", [hang_up, REFUSED, BROKEN_OFF], ids=["none", "refused", "cut"])
def test_a_range_that_comes_at_the_second_attempt_is_read(client: Open, first: Step) -> None:
    with scripted() as server, client(server) as s3:
        server.script += [first, WHOLE]
        content = Fetch(s3, "bucket", "key").open()

    assert bytes(content.read_at(0, 10)) == b"0123456789"


def test_after_a_body_that_breaks_off_boto3_asks_for_the_same_object() -> None:
    with scripted() as server, client_of_boto3(server) as s3:
        server.script += [BROKEN_OFF, WHOLE]
        Fetch(s3, "bucket", "key").open()

    first, second = (headers for _, _, headers, _ in server.requests)
    assert first.get("Range") == second.get("Range") == "bytes=0-65535"
    assert (first.get("If-Match"), second.get("If-Match")) == (None, '"1"')
