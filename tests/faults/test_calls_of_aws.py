"""Faults between a function and a service of AWS, on real sockets."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme

from pytp_broker.aws.api import connections
from pytp_broker.aws.api.calls import Calls, Clock
from pytp_broker.aws.api.connections import Connections, Limits
from pytp_broker.aws.api.credentials import EnvironmentCredentials
from pytp_broker.aws.api.dynamodb import DynamoDB
from pytp_broker.aws.api.errors import CallError, RefusedError, UnansweredError
from pytp_broker.aws.api.messages import Request
from pytp_broker.aws.dynamodb import RuntimeDynamoStore
from pytp_broker.errors import StoreUnavailable
from tests.support.samples import record
from tests.support.scripted_aws import (
    ScriptedAws,
    answer,
    hang_up,
    late,
    refusal,
    scripted,
    then_hang_up,
)

# A busy machine answers late, too.
LIMITS = Limits(connect_seconds=20, read_seconds=20, call_seconds=40, max_answer_bytes=1000)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
GET: dict[str, Any] = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


class Site:
    """A client of a scripted service."""

    def __init__(self, server: ScriptedAws, limits: Limits = LIMITS, **tls: Any) -> None:
        self.server = server
        self.environ = dict(ENVIRONMENT)
        self.pauses: list[float] = []
        self.connections = Connections(server.endpoint, limits, **tls)
        self.credentials = EnvironmentCredentials(self.environ)
        clock = Clock(now=lambda: NOW, pause=self.pauses.append)
        self.calls = Calls(self.connections, self.credentials, clock)
        self.client = DynamoDB(self.calls)

    def get(self) -> Any:
        return self.client.get_item(**GET)


@contextmanager
def site(*script: Any, limits: Limits = LIMITS) -> Iterator[Site]:
    with scripted() as server:
        server.script += script
        made = Site(server, limits)
        yield made
        made.connections.close()


ITEM = {
    "Item": {
        "pk": {"S": "a"},
        "b": {"B": "AP8="},
        "l": {"BS": ["AA=="]},
        "m": {"M": {"B": {"N": "1"}}},
    }
}


def test_an_answer_is_read_and_the_connection_is_kept() -> None:
    with site(answer(ITEM), answer({}), answer({})) as here:
        found = here.get()
        assert here.get() == {}
        assert here.get() == {}

    assert found["Item"]["b"] == {"B": b"\x00\xff"}
    assert found["Item"]["l"] == {"BS": [b"\x00"]}
    assert found["Item"]["m"] == {"M": {"B": {"N": "1"}}}
    assert here.server.on_connections == [1, 1, 1]
    _, line, headers, body = here.server.requests[0]
    assert (line, body) == ("POST / HTTP/1.1", b'{"TableName":"t","Key":{"pk":{"S":"a"}}}')
    assert headers["host"] == here.server.endpoint.authority
    assert headers["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA1/20261129/")


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (hang_up, "BrokenAnswerError"),
        (then_hang_up(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}"), "BrokenAnswerError"),
        (answer({}, x_amz_crc32="1"), "BrokenAnswerError"),
        (answer(b"<html>Sorry</html>"), "BrokenAnswerError"),
        (answer(b"[]"), "BrokenAnswerError"),
        (answer(b"[" * 900), "BrokenAnswerError"),
        (answer({"Item": {"b": {"B": "?"}}}), "BrokenAnswerError"),
        (answer({"Item": {"b": {"BS": [1]}}}), "BrokenAnswerError"),
        (answer(b"", content_length="50000000"), "BrokenAnswerError"),
        (answer(b" " * 1001), "BrokenAnswerError"),
        (refusal("InternalServerError", 500), "InternalServerError"),
        (answer(b"<html>Bad gateway</html>", 502), "502"),
        (
            refusal("ProvisionedThroughputExceededException"),
            "ProvisionedThroughputExceededException",
        ),
        (refusal("ThrottlingException"), "ThrottlingException"),
    ],
)
def test_a_call_that_may_succeed_is_made_once_more_and_never_gives_a_wrong_value(
    first: Any, code: str
) -> None:
    with site(first, answer(ITEM)) as here:
        assert here.get()["Item"]["pk"] == {"S": "a"}

    assert len(here.server.requests) == 2
    is_refused = code != "BrokenAnswerError"
    assert len(here.pauses) == is_refused
    assert all(0 <= pause <= 0.2 for pause in here.pauses)

    with site(first, first) as here, pytest.raises(CallError) as failed:
        here.get()

    assert failed.value.cause == f"GetItem: {code}"
    assert isinstance(failed.value, RefusedError if is_refused else UnansweredError)
    assert len(here.server.requests) == 2


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (refusal("ValidationException"), "ValidationException"),
        (refusal("AccessDeniedException", message="arn:aws:x"), "AccessDeniedException"),
        (answer(b"<html>No</html>", 403), "403"),
        (answer(b"", 301, location="http://127.0.0.1:1/"), "301"),
        (answer({}, 307, location="http://127.0.0.1:1/"), "307"),
        (answer({}, 400, x_amzn_errortype="NotFound:http://x"), "NotFound"),
    ],
)
def test_a_call_that_is_refused_for_good_is_made_once(first: bytes, code: str) -> None:
    with site(first) as here, pytest.raises(RefusedError) as failed:
        here.get()

    assert failed.value.cause == f"GetItem: {code}"
    assert "arn:aws" not in failed.value.cause
    assert len(here.server.requests) == 1


def test_a_condition_that_does_not_hold_tells_the_item() -> None:
    held = refusal("ConditionalCheckFailedException", Item={"b": {"B": "AP8="}})
    with site(held) as here, pytest.raises(RefusedError) as failed:
        here.client.put_item(**GET)

    assert failed.value.item == {"b": {"B": b"\x00\xff"}}


def test_a_kept_connection_that_has_ended_is_no_failed_attempt() -> None:
    fault = refusal("InternalServerError", 500)
    with site(then_hang_up(answer({})), fault, answer(ITEM)) as here:
        here.get()
        (kept,) = here.connections._idle
        while kept.is_quiet():
            time.sleep(0.01)
        assert "Item" in here.get()

    assert here.server.on_connections == [1, 2, 2]


def test_a_kept_connection_that_breaks_while_a_message_is_sent_is_no_failed_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says that it is quiet, because the server's end has not come yet."""
    fault = refusal("InternalServerError", 500)
    with site(answer({}), fault, answer(ITEM)) as here:
        here.get()
        (kept,) = here.connections._idle
        kept._socket.shutdown(socket.SHUT_RDWR)
        monkeypatch.setattr(type(kept), "is_quiet", lambda _: True)
        assert "Item" in here.get()

    assert here.server.on_connections == [1, 2, 2]


def test_a_message_that_cannot_be_sent_on_a_new_connection_is_a_failed_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(connections._Connection, "send", fail)
    with site() as here, pytest.raises(UnansweredError) as failed:
        here.get()

    assert failed.value.cause == "GetItem: ConnectionResetError"


def test_an_answer_that_is_lost_on_a_kept_connection_counts_as_an_attempt() -> None:
    """The service may have done it: the next attempt comes on a new connection, and is the last."""
    with site(answer({}), hang_up, hang_up) as here, suppress(UnansweredError):
        here.get()
        here.get()

    assert here.server.on_connections == [1, 1, 2]


def test_bytes_that_no_request_has_asked_for_are_never_an_answer() -> None:
    stray = answer({}) + answer({"Item": {"pk": {"S": "another's"}}})
    with site(stray, answer(ITEM)) as here:
        here.get()
        assert here.get()["Item"]["pk"] == {"S": "a"}

    assert here.server.on_connections == [1, 2]


def test_a_connection_that_the_server_will_close_is_not_kept() -> None:
    with site(answer({}, connection="close"), answer({})) as here:
        here.get()
        here.get()

    assert here.server.on_connections == [1, 2]


def test_no_more_connections_are_kept_than_the_limit() -> None:
    with site(answer({}), answer({}), limits=replace(LIMITS, kept_connections=0)) as here:
        here.get()
        here.get()

    assert here.server.on_connections == [1, 2]


def test_an_answer_that_comes_too_late_is_asked_for_again() -> None:
    limits = replace(LIMITS, read_seconds=0.5)
    with site(late(answer({}), 2), late(answer({}), 2), limits=limits) as here:
        with pytest.raises(UnansweredError) as failed:
            here.get()
        assert here.server.on_connections == [1, 2]

    assert failed.value.cause == "GetItem: TimeoutError"


def test_a_drip_of_bytes_ends_at_the_deadline() -> None:
    def drip(connection: Any) -> None:
        for octet in answer({}):
            late(bytes([octet]), 0.1)(connection)

    limits = replace(LIMITS, call_seconds=0.5)
    with site(drip, limits=limits) as here, pytest.raises(UnansweredError) as failed:
        here.get()

    assert failed.value.cause == "GetItem: TimeoutError"
    assert len(here.server.requests) == 1


def test_a_server_that_is_not_there_is_told() -> None:
    with scripted() as server:
        pass

    with pytest.raises(UnansweredError) as failed:
        Site(server).get()

    assert failed.value.cause == "GetItem: ConnectionRefusedError"


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_expire_in_the_middle_are_read_again(code: str) -> None:
    with site(answer({}), refusal(code), answer(ITEM)) as here:
        here.get()
        here.environ |= {"AWS_ACCESS_KEY_ID": "AKIA2"}
        assert "Item" in here.get()

    assert "AKIA1" in here.server.requests[1][2]["authorization"]
    assert "AKIA2" in here.server.requests[2][2]["authorization"]


def test_a_function_without_credentials_sends_nothing() -> None:
    with site() as here:
        del here.environ["AWS_SECRET_ACCESS_KEY"]
        with pytest.raises(UnansweredError) as failed:
            here.get()

    assert failed.value.cause == "GetItem: CredentialsError"
    assert here.server.connections == 0
    with pytest.raises(UnansweredError, match="AWS_SECRET_ACCESS_KEY"):
        here.calls.presigned_url("GetObject", Request("GET", "/key"), 60)


def test_a_header_of_two_lines_is_not_sent() -> None:
    request = Request("GET", "/", {"x-a": "b\r\nhost: evil.example"})
    with site() as here, pytest.raises(ValueError, match="more than one line"):
        here.calls.make("Any", request, lambda _operation, found: found)


def test_a_type_that_json_does_not_have_is_not_sent() -> None:
    with site() as here, pytest.raises(TypeError, match="set is not a type"):
        here.client.put_item(Item={"a": {"SS": {"x"}}})


def test_a_store_that_gets_no_believable_answer_is_unavailable() -> None:
    page = answer(b"<html>Sign in to the hotel's network</html>")
    with site(page, page) as here, pytest.raises(StoreUnavailable) as failed:
        RuntimeDynamoStore(here.client, "table").add_token(record())

    assert failed.value.operator_detail == "PutItem: BrokenAnswerError"


def test_a_signature_that_is_wrong_by_one_byte_is_refused_and_the_store_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service compares the whole signature, as this server does with a second signer."""
    told: list[str] = []

    def verify(connection: Any) -> None:
        _, _, headers, _ = here.server.requests[-1]
        told.append(headers["authorization"])
        connection.sendall(
            answer({}) if told[-1] == told[0] else refusal("InvalidSignatureException")
        )

    with site(verify, verify) as here:
        store = RuntimeDynamoStore(here.client, "table")
        store.add_token(record())
        monkeypatch.setattr(
            "pytp_broker.aws.api.signing._signature", lambda *_: told[0][-64:-1] + "x"
        )
        with pytest.raises(StoreUnavailable) as failed:
            store.add_token(record())

    assert failed.value.operator_detail == "PutItem: InvalidSignatureException"


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server with this name, and of a client that trusts the authority."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


def test_a_connection_is_kept_over_tls(authority: trustme.CA) -> None:
    server_context, context = contexts(authority, "127.0.0.1")
    with scripted(server_context) as server:
        server.script += [answer(ITEM), answer({})]
        here = Site(server, context=lambda: context)
        here.get()
        assert here.get() == {}
        here.connections.close()

    assert server.on_connections == [1, 1]
    assert here.calls.presigned_url("GetObject", Request("GET", "/key"), 60).startswith(
        f"https://127.0.0.1:{server.endpoint.port}/key?X-Amz-Algorithm="
    )


def test_a_server_with_another_name_gets_no_request(authority: trustme.CA) -> None:
    server_context, context = contexts(authority, "dynamodb.example.com")
    with scripted(server_context) as server, pytest.raises(UnansweredError) as failed:
        Site(server, context=lambda: context).get()

    assert failed.value.cause == "GetItem: SSLCertVerificationError"
    assert server.requests == []


def test_a_server_of_an_unknown_authority_gets_no_request(authority: trustme.CA) -> None:
    server_context, _ = contexts(authority, "127.0.0.1")
    with scripted(server_context) as server, pytest.raises(UnansweredError):
        Site(server).get()

    assert server.requests == []
