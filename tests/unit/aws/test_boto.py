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


def test_a_body_that_breaks_off_tells_the_same() -> None:
    def read() -> bytes:
        raise ReadTimeoutError(endpoint_url="x")

    raw = SimpleNamespace(get_object=lambda: {"Body": SimpleNamespace(read=read)})

    with pytest.raises(UnansweredError) as failed:
        Client(raw).get_object()["Body"].read()

    assert failed.value.cause == "GetObject: ReadTimeoutError"


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
