"""The clients of a function, and where it finds its credentials, on real sockets."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.aws.api.connections import tls_context
from pytp_broker.aws.api.credentials import (
    Credentials,
    CredentialsError,
    EnvironmentCredentials,
    ServedCredentials,
    find_credentials,
)
from pytp_broker.aws.api.errors import RefusedError, UnansweredError
from pytp_broker.aws.clients import FunctionClients, function_clients
from tests.support.scripted_aws import ScriptedAws, answer, scripted

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
REGION = "eu-west-1"


@pytest.fixture
def server() -> Iterator[ScriptedAws]:
    with scripted() as running:
        yield running


@pytest.fixture
def clients(server: ScriptedAws) -> Iterator[FunctionClients]:
    """Return the clients of a function whose services are the server."""
    environ = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": server.endpoint.url}
    environ |= {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}
    made = FunctionClients(environ)
    yield made
    made.close()


def test_dynamodb_is_asked_in_the_functions_region(
    server: ScriptedAws, clients: FunctionClients
) -> None:
    server.script.append(answer({"Count": 0}))

    assert clients.dynamodb().query(TableName="t") == {"Count": 0}
    assert f"/{REGION}/dynamodb/aws4_request" in server.requests[0][2]["authorization"]


def test_kms_signs(server: ScriptedAws, clients: FunctionClients) -> None:
    server.script.append(answer({"KeyId": "k", "Signature": "AP8="}))

    assert clients.kms().sign(KeyId="k", Message=b"\x01")["Signature"] == b"\x00\xff"
    _, _, headers, body = server.requests[0]
    assert headers["x-amz-target"] == "TrentService.Sign"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert json.loads(body) == {"KeyId": "k", "Message": "AQ=="}


def test_a_signature_that_is_not_base64_is_none(
    server: ScriptedAws, clients: FunctionClients
) -> None:
    server.script += [answer({"Signature": "%"})] * 2

    with pytest.raises(UnansweredError):
        clients.kms().sign(KeyId="k")


def test_kms_that_forgets_the_signature_gives_none(
    server: ScriptedAws, clients: FunctionClients
) -> None:
    server.script.append(answer({}))

    assert clients.kms().sign(KeyId="k") == {}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("verify", "/2015-03-31/functions/verify/invocations"),
        (
            "arn:aws:lambda:eu-west-1:1:function:verify",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Averify/invocations",
        ),
    ],
)
def test_a_function_is_invoked(
    server: ScriptedAws, clients: FunctionClients, name: str, path: str
) -> None:
    server.script += [
        answer(b'"done"'),
        answer(b"", 202),
        answer({}, x_amz_function_error="Unhandled"),
    ]
    lambdas = clients.lambdas()

    waited = lambdas.invoke(FunctionName=name, Payload='{"a": 1}')
    queued = lambdas.invoke(FunctionName=name, Payload="{}", InvocationType="Event")
    failed = lambdas.invoke(FunctionName=name, Payload="{}")

    assert (waited["StatusCode"], waited["Payload"].read()) == (200, b'"done"')
    assert "FunctionError" not in waited
    assert queued["StatusCode"] == 202
    assert failed["FunctionError"] == "Unhandled"
    _, line, headers, body = server.requests[0]
    assert line == f"POST {path} HTTP/1.1"
    assert (headers["x-amz-invocation-type"], body) == ("RequestResponse", b'{"a": 1}')
    assert server.requests[1][2]["x-amz-invocation-type"] == "Event"


def test_a_function_that_is_waited_for_is_asked_once(
    server: ScriptedAws, clients: FunctionClients
) -> None:
    headers = {"x_amzn_errortype": "TooManyRequestsException:http://internal.amazon.com/"}
    server.script.append(answer({"Reason": "Concurrency", "Message": "slow down"}, 429, **headers))

    with pytest.raises(RefusedError, match="slow down") as failed:
        clients.waiting_lambdas(5).invoke(FunctionName="attest", Payload="{}")

    assert failed.value.cause == "Invoke: TooManyRequestsException"
    assert len(server.requests) == 1


def test_a_function_finds_its_clients_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)

    assert function_clients().kms()._calls._calls._endpoint.host == f"kms.{REGION}.amazonaws.com"


def test_the_authorities_are_read_once_and_another_file_may_take_their_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tls_context.cache_clear()
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    assert tls_context() is tls_context()
    assert len(tls_context().get_ca_certs()) > 50

    tls_context.cache_clear()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(FileNotFoundError):
        tls_context()
    tls_context.cache_clear()


# Credentials


SERVED = {
    "AccessKeyId": "AKIA",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2026-11-29T13:00:00Z",
}


class Container:
    """An environment whose container serves credentials."""

    def __init__(self, server: ScriptedAws, **environ: str) -> None:
        self.now = NOW
        url = f"{server.endpoint.url}/2018-06-01/credentials?version=1"
        self.environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, **environ}
        self.source = ServedCredentials(self.environ, lambda: self.now)


def test_the_environment_has_the_credentials_or_says_where_they_are() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}

    found = find_credentials(environ, lambda: NOW)

    assert isinstance(found, EnvironmentCredentials)
    assert found.current() == Credentials("AKIA", "secret")
    elsewhere = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/"}
    assert isinstance(find_credentials(environ | elsewhere, lambda: NOW), ServedCredentials)


def test_served_credentials_are_held_until_shortly_before_they_expire(server: ScriptedAws) -> None:
    later = SERVED | {"AccessKeyId": "AKIA2", "Expiration": "2026-11-29T14:00:00Z"}
    server.script += [answer(SERVED), answer(later), answer(SERVED)]
    here = Container(server, AWS_CONTAINER_AUTHORIZATION_TOKEN="a token")

    first = here.source.current()
    assert here.source.current() is first
    here.now += SOON
    second = here.source.current()
    here.source.renew()

    assert first == Credentials("AKIA", "secret", "token")
    assert second.access_key_id == "AKIA2"
    assert here.source.current() == first
    assert [line for _, line, *_ in server.requests] == [
        "GET /2018-06-01/credentials?version=1 HTTP/1.1"
    ] * 3
    assert server.requests[0][2]["authorization"] == "a token"


# In the last five minutes before they expire, others are fetched.
SOON = timedelta(minutes=56)
NO_ANSWER = answer(b"", 500)


def test_credentials_that_cannot_be_replaced_are_used_until_they_expire(
    server: ScriptedAws,
) -> None:
    server.script += [answer(SERVED), *[NO_ANSWER] * 99]
    here = Container(server)
    first = here.source.current()

    for minutes in (56, 58, 59.9):
        here.now = NOW + timedelta(minutes=minutes)
        assert here.source.current() is first
    here.now = NOW + timedelta(minutes=60)

    with pytest.raises(CredentialsError):
        here.source.current()


def test_after_a_failed_attempt_there_is_a_pause(server: ScriptedAws) -> None:
    server.script += [answer(SERVED), *[NO_ANSWER] * 99]
    here = Container(server)
    here.source.current()

    here.now += SOON
    for _ in range(3):
        here.source.current()
    assert len(server.requests) == 2
    here.now += timedelta(seconds=9)
    here.source.current()
    assert len(server.requests) == 2
    here.now += timedelta(seconds=1)
    here.source.current()
    assert len(server.requests) == 3


def test_after_the_pause_the_credentials_are_replaced(server: ScriptedAws) -> None:
    later = SERVED | {"AccessKeyId": "AKIA2", "Expiration": "2026-11-29T14:00:00Z"}
    server.script += [answer(SERVED), NO_ANSWER, answer(later)]
    here = Container(server)
    here.source.current()

    here.now += SOON
    assert here.source.current().access_key_id == "AKIA"
    here.now += timedelta(seconds=10)
    assert here.source.current().access_key_id == "AKIA2"


def test_credentials_that_are_served_shortly_before_they_expire_are_not_fetched_at_each_call(
    server: ScriptedAws,
) -> None:
    server.script += [answer(SERVED)] * 99
    here = Container(server)
    here.now += SOON

    for _ in range(5):
        here.source.current()

    assert len(server.requests) == 2


def test_credentials_that_have_expired_are_asked_for_at_each_call(server: ScriptedAws) -> None:
    server.script += [answer(SERVED), *[NO_ANSWER] * 99]
    here = Container(server)
    here.source.current()
    here.now += timedelta(hours=1)

    for _ in range(2):
        with pytest.raises(CredentialsError):
            here.source.current()

    assert len(server.requests) == 3


def test_credentials_that_a_service_refuses_are_replaced_without_a_pause(
    server: ScriptedAws,
) -> None:
    later = SERVED | {"AccessKeyId": "AKIA2"}
    server.script += [answer(SERVED), NO_ANSWER, answer(later)]
    here = Container(server)
    here.source.current()
    here.now += SOON
    here.source.current()

    here.source.renew()

    assert here.source.current().access_key_id == "AKIA2"


def test_the_token_of_the_container_may_be_in_a_file(server: ScriptedAws, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("of a file\n")
    server.script.append(answer(SERVED))

    Container(server, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(path)).source.current()

    assert server.requests[0][2]["authorization"] == "of a file"


def test_a_container_that_asks_for_no_token_gets_none(server: ScriptedAws) -> None:
    server.script.append(answer(SERVED))

    Container(server).source.current()

    assert "authorization" not in server.requests[0][2]


@pytest.mark.parametrize(
    "given",
    [
        answer(SERVED, 403),
        answer(b"<html>"),
        answer([]),
        answer({**SERVED, "Expiration": "soon"}),
        answer({"AccessKeyId": "AKIA"}),
    ],
)
def test_without_served_credentials_there_are_none(server: ScriptedAws, given: bytes) -> None:
    server.script.append(given)

    with pytest.raises(CredentialsError) as failed:
        Container(server).source.current()

    assert "secret" not in str(failed.value)
    assert failed.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://evil.example/",
        "https://127.0.0.1/",
        "ftp://localhost",
    ],
)
def test_the_token_goes_to_no_other_host(url: str) -> None:
    environ: dict[str, Any] = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}

    with pytest.raises(CredentialsError, match="ValueError"):
        ServedCredentials(environ, lambda: NOW).current()
