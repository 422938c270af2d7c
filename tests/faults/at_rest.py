"""A copy of a DynamoDB table's items, which answers a store's reads instead of the table."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Item: TypeAlias = Mapping[str, Any]


def scan_table(client: Any, table: str) -> list[Item]:
    """Return every item."""
    answer = client.scan(TableName=table, ConsistentRead=True)
    assert "LastEvaluatedKey" not in answer, "more than DynamoDB returns at once"
    found: list[Item] = answer["Items"]
    return found


class ItemsAtRest:
    """What a client of DynamoDB answers to the reads of a DynamoStore; it cannot write."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = {key_of(item): item for item in items}

    def get_item(self, **request: Any) -> Mapping[str, Any]:
        found = self._items.get(key_of(request["Key"]))
        return {} if found is None else {"Item": found}

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]:
        ((table, asked),) = request["RequestItems"].items()
        keys = [key_of(key) for key in asked["Keys"]]
        return {"Responses": {table: [self._items[key] for key in keys if key in self._items]}}

    def query(self, **request: Any) -> Mapping[str, Any]:
        values = request["ExpressionAttributeValues"]
        wanted, prefix = values[":pk"]["S"], values.get(":prefix", {"S": ""})["S"]
        keys = sorted(key for key in self._items if key[0] == wanted and key[1].startswith(prefix))
        return {"Items": [self._items[key] for key in keys]}


def key_of(item: Item) -> tuple[str, str]:
    """Return the key of an item."""
    return item["pk"]["S"], item["sk"]["S"]
