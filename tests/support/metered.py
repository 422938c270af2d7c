"""A DynamoDB table in memory that counts what reads cost, and a bucket for large listings."""

from collections.abc import Mapping
from typing import Any, Final

from tests.faults.at_rest import Item, ItemsAtRest, key_of

# A strongly consistent read of 4 KB costs one unit.
_UNIT_BYTES: Final = 4096
# DynamoDB returns at most this much in one answer to a query.
_PAGE_BYTES: Final = 1024 * 1024


class MeteredTable(ItemsAtRest):
    """Items of one writer, whose conditions always hold; ``units`` and ``calls`` are of reads."""

    def __init__(self, items: list[Item]) -> None:
        super().__init__(items)
        self.reset()

    def reset(self) -> None:
        """Count from nothing."""
        self.units, self.calls = 0, list[str]()

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]:
        answer = super().batch_get_item(**request)
        (asked,), (found,) = request["RequestItems"].values(), answer["Responses"].values()
        missing = len(asked["Keys"]) - len(found)
        self._note("BatchGetItem", missing + sum(_units(size_of(item)) for item in found))
        return answer

    def query(self, **request: Any) -> Mapping[str, Any]:
        answer = super().query(**request)
        size = sum(map(size_of, answer["Items"]))
        for _ in range(-(-size // _PAGE_BYTES) or 1):
            self._note("Query", 0)
        self.units += _units(size)
        return answer

    def put_item(self, **request: Any) -> Mapping[str, Any]:
        self._items[key_of(request["Item"])] = request["Item"]
        return {}

    def update_item(self, **request: Any) -> Mapping[str, Any]:
        """Add the marks of a listing, or take all of them off."""
        key, values = request["Key"], request["ExpressionAttributeValues"]
        is_added = request["UpdateExpression"].startswith("ADD")
        marks = {"marks": values[":marks"]} if is_added else {"floor": values[":floor"]}
        self._items[key_of(key)] = {**key, **marks}
        return {}

    def without_listing(self) -> "MeteredTable":
        """Return the table as a version without listings has left it."""
        return MeteredTable([i for i in self._items.values() if i["sk"]["S"] != "CONTENT"])

    def _note(self, call: str, units: int) -> None:
        self.calls.append(call)
        self.units += units


class MeteredBucket:
    """Keeps large listings and counts what is read."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.reads = 0

    def save(self, key: str, octets: bytes) -> None:
        self.contents[key] = octets

    def read(self, key: str) -> bytes:
        self.reads += 1
        return self.contents[key]

    def retire(self, key: str) -> None:
        del self.contents[key]


def size_of(item: Item) -> int:
    """Return the size of an item as DynamoDB counts it: names and values."""
    return sum(len(name) + _size_of_value(*value.values()) for name, value in item.items())


def _size_of_value(value: str | bytes | list[str]) -> int:
    return sum(map(len, value)) if isinstance(value, list) else len(value)


def _units(size: int) -> int:
    return max(1, -(-size // _UNIT_BYTES))
