"""boto3's clients raise our errors."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

from pytp_broker.aws.api.errors import CallError, RefusedError, UnansweredError
from pytp_broker.aws.boto import Client, command_clients
from tests.support.emulator import make_client


def test_a_refusal_tells_the_call_its_code_and_what_a_condition_has_found() -> None:
    client = make_client("dynamodb")
    with Stubber(client) as stubber:
        stubber.add_client_error(
            "put_item",
            "ConditionalCheckFailedException",
            "the table x",
            http_status_code=400,
            modeled_fields={"Item": {"pk": {"S": "a"}}},
        )
        with pytest.raises(RefusedError, match="the table x") as failed:
            client.put_item(TableName="x", Item={"pk": {"S": "a"}})

    assert failed.value.cause == "PutItem: ConditionalCheckFailedException"
    assert (failed.value.status, failed.value.item) == (400, {"pk": {"S": "a"}})


def test_a_failure_without_an_answer_tells_the_call_and_its_kind() -> None:
    def fail(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://secret.example.com")

    client = make_client("dynamodb")
    client.meta.events.register("before-call.dynamodb.*", fail)

    with pytest.raises(UnansweredError) as failed:
        client.describe_table(TableName="x")

    assert failed.value.cause == "DescribeTable: ReadTimeoutError"


def breaking_off(method: str, member: str) -> tuple[Any, list[str]]:
    """Return a client whose answers to a method break off, and the list of its calls."""
    calls: list[str] = []

    def read() -> bytes:
        raise ReadTimeoutError(endpoint_url="x")

    def answer(**_: Any) -> dict[str, Any]:
        calls.append(method)
        metadata = {"RetryAttempts": 0}
        return {member: SimpleNamespace(read=read), "ETag": "x", "ResponseMetadata": metadata}

    return Client(SimpleNamespace(**{method: answer})), calls


def test_a_body_that_breaks_off_tells_the_same() -> None:
    client, calls = breaking_off("get_object", "Body")

    with pytest.raises(UnansweredError) as failed:
        client.get_object()["Body"].read()

    assert failed.value.cause == "GetObject: ReadTimeoutError"
    assert calls == ["get_object"] * 2


def test_a_body_of_a_call_that_does_something_is_not_asked_for_again() -> None:
    client, calls = breaking_off("invoke", "Payload")

    with pytest.raises(UnansweredError) as failed:
        client.invoke()["Payload"].read()

    assert failed.value.cause == "Invoke: ReadTimeoutError"
    assert calls == ["invoke"]


def test_pages_and_waiters_tell_the_same() -> None:
    client = make_client("cloudformation")
    with Stubber(client) as stubber:
        stubber.add_client_error("list_stack_resources", "AccessDenied")
        stubber.add_client_error("describe_stacks", "AccessDenied")
        with pytest.raises(RefusedError) as refused:
            client.all_pages("list_stack_resources", StackName="x")
        with pytest.raises(UnansweredError) as waited:
            client.wait_until("stack_create_complete", StackName="x")

    assert refused.value.cause == "ListStackResources: AccessDenied"
    assert waited.value.cause == "stack_create_complete: WaiterError"


def test_a_profile_that_is_not_there_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")

    with pytest.raises(CallError, match="missing"):
        command_clients(None, None)
