"""What calls to DynamoDB and S3 cost: clients that count units and requests, and pass them on.

DynamoDB charges a write for the larger of the item before and after it, in steps of 1 KB, and once
more for each index that has the item. It charges a strongly consistent read in steps of 4 KB.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

_READ_BYTES: Final = 4096
_WRITE_BYTES: Final = 1024
_NUMBER_BYTES: Final = 21
Item = Mapping[str, Any]


class MeteredDynamo:
    """A client of DynamoDB; ``reads`` and ``writes`` are units by the first part of the key."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.exceptions = client.exceptions
        self.meta = client.meta
        self.reset()

    def reset(self) -> None:
        """Count from nothing."""
        self.calls: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()

    def get_item(self, **request: Any) -> Any:
        self._read("GetItem", request["TableName"], [request["Key"]], request["Key"])
        return self._client.get_item(**request)

    def batch_get_item(self, **request: Any) -> Any:
        ((table, asked),) = request["RequestItems"].items()
        self.calls["BatchGetItem"] += 1
        for key in asked["Keys"]:
            self._add(self.reads, key, units_of(self._whole(table, key), _READ_BYTES))
        return self._client.batch_get_item(**request)

    def query(self, **request: Any) -> Any:
        answer = self._client.query(**request)
        self.calls["Query"] += 1
        values = request["ExpressionAttributeValues"]
        size = sum(size_of(self._whole(request["TableName"], item)) for item in answer["Items"])
        self._add(self.reads, {"pk": values[":pk"]}, max(1, -(-size // _READ_BYTES)))
        return answer

    def put_item(self, **request: Any) -> Any:
        return self._write("PutItem", request, request["Item"])

    def update_item(self, **request: Any) -> Any:
        return self._write("UpdateItem", request, request["Key"])

    def delete_item(self, **request: Any) -> Any:
        return self._write("DeleteItem", request, request["Key"])

    def _read(self, name: str, table: str, keys: list[Item], key: Item) -> None:
        self.calls[name] += 1
        for each in keys:
            self._add(self.reads, key, units_of(self._whole(table, each), _READ_BYTES))

    def _write(self, name: str, request: Mapping[str, Any], key: Item) -> Any:
        self.calls[name] += 1
        table = request["TableName"]
        before = self._whole(table, key)
        try:
            return getattr(self._client, _SNAKE[name])(**request)
        finally:
            after = self._whole(table, key)
            units = max(units_of(before, _WRITE_BYTES), units_of(after, _WRITE_BYTES))
            self._add(self.writes, key, units)
            if "listed" in after and before.get("listed") != after["listed"]:
                self.writes["index"] += 1

    def _whole(self, table: str, key: Item) -> Item:
        """Return an item as it is in the table, or an empty one."""
        place = {"pk": key["pk"], "sk": key["sk"]}
        found = self._client.get_item(TableName=table, Key=place, ConsistentRead=True)
        item: Item = found.get("Item", {})
        return item

    def _add(self, counter: Counter[str], key: Item, units: int) -> None:
        counter[key["pk"]["S"].partition("#")[0]] += units

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


_SNAKE: Final = {"PutItem": "put_item", "UpdateItem": "update_item", "DeleteItem": "delete_item"}


class MeteredS3:
    """A client of S3 that counts its calls."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            return found(*arguments, **options)

        return call


def size_of(item: Item) -> int:
    """Return the size of an item as DynamoDB counts it: its names and values."""
    return sum(len(name.encode()) + _size_of_value(value) for name, value in item.items())


def _size_of_value(attribute: Mapping[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    if kind == "N":
        return _NUMBER_BYTES
    if kind == "SS":
        return sum(len(each.encode()) for each in value)
    if kind == "M":
        return 3 + sum(1 + len(name) + _size_of_value(each) for name, each in value.items())
    return len(value if kind == "B" else value.encode())


def units_of(item: Item, step: int) -> int:
    """Return the units of one item; what is not there costs one, too."""
    return max(1, -(-size_of(item) // step))
