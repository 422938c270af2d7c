"""The functions' own client of DynamoDB, beside boto3's."""

from typing import Any

import pytest

from pytp_broker.aws.api.errors import RefusedError
from tests.support.emulator import Emulator, create_table
from tests.support.quick_clients import QuickClients

pytestmark = pytest.mark.ministack

KEY = {"pk": {"S": "ä 🎉"}, "sk": {"S": "1"}}
ITEM: dict[str, Any] = {
    **KEY,
    "text": {"S": ""},
    "quoted": {"S": '{"B": "AAAA"} \\ \u2028 "B"'},
    "number": {"N": "12345678901234567890123456789012345678"},
    "negative": {"N": "-1"},
    "bytes": {"B": bytes(range(256))},
    "no bytes": {"B": b""},
    "set": {"SS": ["a", "b"]},
    "of bytes": {"BS": [b"\x00", b"\xff"]},
    "of numbers": {"NS": ["1", "2"]},
    # Names that are also those of types.
    "B": {
        "M": {"B": {"B": b"\x01"}, "S": {"S": "B"}, "BS": {"L": [{"BOOL": True}, {"NULL": True}]}}
    },
    "ttl": {"N": "1"},
}
CONDITION = "attribute_not_exists(pk)"
VALUES = {":one": {"N": "1"}, ":bytes": {"B": b"\x02"}}


def answers(client: Any, table: str) -> list[Any]:
    """Return what a client tells of each operation, in an order in which each finds something."""
    given: Any = {"TableName": table}
    second = {**KEY, "sk": {"S": "2"}}
    batch: Any = {table: {"Keys": [KEY, second], "ConsistentRead": True}}
    writes: Any = {table: [{"PutRequest": {"Item": {**ITEM, **second}}}]}
    update: Any = {
        "UpdateExpression": "SET #n = :one, added = :bytes REMOVE #b",
        "ExpressionAttributeNames": {"#n": "number", "#b": "bytes"},
        "ExpressionAttributeValues": VALUES,
        "ReturnValues": "ALL_NEW",
    }
    query: Any = {
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": KEY["pk"]},
    }
    return [
        client.get_item(**given, Key=KEY),
        client.put_item(**given, Item=ITEM),
        client.get_item(**given, Key=KEY, ConsistentRead=True),
        client.put_item(**given, Item=ITEM, ReturnValues="ALL_OLD"),
        client.batch_write_item(RequestItems=writes),
        client.batch_get_item(RequestItems=batch)["Responses"],
        client.update_item(**given, Key=KEY, **update),
        client.query(**given, **query),
        client.query(**given, **query, Limit=1),
        client.scan(**given),
        client.delete_item(**given, Key=KEY, ReturnValues="ALL_OLD"),
        client.get_item(**given, Key=KEY),
    ]


def without_metadata(answer: Any) -> Any:
    if isinstance(answer, list):
        return [without_metadata(each) for each in answer]
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_an_operation_has_the_same_answer(emulator: Emulator, quick: QuickClients) -> None:
    boto3 = emulator.client("dynamodb")
    tables = [create_table(boto3) for _ in range(2)]

    theirs, ours = answers(boto3, tables[0]), answers(quick.dynamodb, tables[1])

    theirs[5], ours[5] = ({"table": theirs[5][tables[0]]}, {"table": ours[5][tables[1]]})
    for each in range(len(theirs)):
        assert without_metadata(ours[each]) == without_metadata(theirs[each]), each


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        (
            "put_item",
            {"Item": ITEM, "ConditionExpression": CONDITION}
            | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
        ),
        ("update_item", {"Key": KEY, "UpdateExpression": "SET", "ConditionExpression": CONDITION}),
        ("get_item", {"Key": {"pk": {"S": ""}, "sk": {"S": ""}}}),
        ("get_item", {"Key": KEY, "TableName": "missing"}),
        ("query", {"KeyConditionExpression": "nonsense", "ExpressionAttributeValues": VALUES}),
    ],
    ids=["condition", "expression", "key", "table", "query"],
)
def test_a_refusal_has_the_same_code_and_the_same_item(
    emulator: Emulator, quick: QuickClients, operation: str, parameters: dict[str, Any]
) -> None:
    boto3 = emulator.client("dynamodb")
    table = create_table(boto3)
    boto3.put_item(TableName=table, Item=ITEM)
    told = []
    for client in (boto3, quick.dynamodb):
        with pytest.raises(RefusedError) as refused:
            getattr(client, operation)(**{"TableName": table} | parameters)
        told.append((refused.value.cause, refused.value.status, refused.value.item))

    assert told[0] == told[1]
