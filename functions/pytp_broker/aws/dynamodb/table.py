"""Calls to one DynamoDB table, and DynamoDB's own types.

Reads are strongly consistent. A failed call becomes StoreUnavailable.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from random import SystemRandom
from typing import Any, Final, TypeAlias

from pytp_broker.aws.api.dynamodb import DynamoDB
from pytp_broker.aws.api.errors import CallError, RefusedError
from pytp_broker.aws.dynamodb.parallel import divided, each
from pytp_broker.errors import StoreUnavailable

# DynamoDB's limits for one BatchGetItem and one BatchWriteItem.
MAX_BATCH_KEYS: Final = 100
_MAX_BATCH_WRITES: Final = 25
# How often a batch may be answered without any progress, and the longest wait between two calls.
_ATTEMPTS: Final = 8
_LONGEST_WAIT_SECONDS: Final = 2.0
# The codes that say that a table, or its index, is not there.
_REFUSALS: Final = {"ValidationException", "ResourceNotFoundException"}


class RefusedCallError(StoreUnavailable):
    """DynamoDB does not take a call as it is: the table may lack the index that it names."""


class ConditionFailedError(Exception):
    """The condition of a write does not hold; ``item`` is the stored item, if we asked for it."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__()
        self.item = item


class Table:
    """One DynamoDB table, through the low-level client that is passed in."""

    def __init__(self, client: DynamoDB, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def _find(self, pk: str, sk: str, names: Sequence[str] = ()) -> dict[str, Any] | None:
        """Return a row, or only what has these names in it; None if there is no such row."""
        key, projection = attributes(pk=pk, sk=sk), dict[str, object]()
        if names:
            projection["ProjectionExpression"] = ", ".join(f"#{name}" for name in names)
            projection["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
        answer = self._call(self._client.get_item, Key=key, ConsistentRead=True, **projection)
        return values_of(answer["Item"]) if "Item" in answer else None

    def _read_items(self, keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        request = {self._table_name: {"Keys": keys, "ConsistentRead": True}}
        answer = ask(self._client.batch_get_item, RequestItems=request)
        if answer.get("UnprocessedKeys"):
            # Half an answer would look like "no such token" or "not trusted".
            raise StoreUnavailable("the store did not answer the whole request")
        return [values_of(item) for item in answer["Responses"].get(self._table_name, [])]

    def _read_all(self, keys: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows with these keys, as many as they are; it asks again for what is left."""

        def read(part: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []

            def ask_for(left: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
                request = {self._table_name: {"Keys": left, "ConsistentRead": True}}
                answer = ask(self._client.batch_get_item, RequestItems=request)
                found.extend(map(values_of, answer["Responses"].get(self._table_name, [])))
                rest: Any = answer.get("UnprocessedKeys", {}).get(self._table_name, {})
                return rest.get("Keys", [])  # type: ignore[no-any-return]

            _until_done(ask_for, part)
            return found

        return [row for rows in each(read, divided(keys, MAX_BATCH_KEYS)) for row in rows]

    def _write_all(self, requests: Sequence[dict[str, Any]]) -> None:
        """Make these unconditional writes, each a PutRequest or a DeleteRequest, in any order."""

        def send(left: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
            answer = ask(self._client.batch_write_item, RequestItems={self._table_name: left})
            rest: Any = answer.get("UnprocessedItems", {})
            return rest.get(self._table_name, [])  # type: ignore[no-any-return]

        def write(part: Sequence[dict[str, Any]]) -> None:
            _until_done(send, part)

        each(write, divided(requests, _MAX_BATCH_WRITES))

    def _query(self, pk: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        condition, values = "pk = :pk", {":pk": pk}
        if prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = prefix
        return self._pages(
            self._client.query,
            ConsistentRead=True,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=attributes(**values),
        )

    def _pages(self, operation: Callable[..., Any], **request: object) -> Iterator[dict[str, Any]]:
        answer = self._call(operation, **request)
        yield from map(values_of, answer["Items"])
        while "LastEvaluatedKey" in answer:
            start = answer["LastEvaluatedKey"]
            answer = self._call(operation, **request, ExclusiveStartKey=start)
            yield from map(values_of, answer["Items"])

    def _call(self, operation: Callable[..., Any], **request: object) -> Mapping[str, Any]:
        return ask(operation, TableName=self._table_name, **request)


def ask(operation: Callable[..., Any], **request: object) -> Mapping[str, Any]:
    """Return the answer of one call; raise ConditionFailedError or StoreUnavailable."""
    try:
        answer: Mapping[str, Any] = operation(**request)
    except RefusedError as error:
        if error.code == "ConditionalCheckFailedException":
            raise ConditionFailedError(values_of(error.item)) from None
        raise _unavailable(error) from None
    except CallError as error:
        raise _unavailable(error) from None
    return answer


def _until_done(
    call: Callable[[Sequence[dict[str, Any]]], Sequence[dict[str, Any]]],
    batch: Sequence[dict[str, Any]],
) -> None:
    """Call with a batch, and again with what DynamoDB has left of it, which it may always do."""
    left, attempt = batch, 0
    while True:
        before, left = len(left), call(left)
        if not left:
            return
        attempt = 0 if len(left) < before else attempt + 1
        if attempt == _ATTEMPTS:
            raise StoreUnavailable("the store did not answer the whole request")
        if attempt:
            time.sleep(SystemRandom().uniform(0, min(2**attempt / 50, _LONGEST_WAIT_SECONDS)))


def _unavailable(error: CallError) -> StoreUnavailable:
    if error.code in _REFUSALS:
        return RefusedCallError("the store did not answer", operator_detail=error.cause)
    return StoreUnavailable("the store did not answer", operator_detail=error.cause)


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as a row stores it."""
    return json.dumps(document, sort_keys=True)


# DynamoDB's types: the five that we use

Value: TypeAlias = str | int | bytes | AbstractSet[str] | Mapping[str, str]


def attributes(**values: Value) -> dict[str, Any]:
    """Return values as attributes of an item."""
    # DynamoDB cannot store an empty set; a missing attribute means the same.
    return {name: _attribute(value) for name, value in values.items() if value != frozenset()}


def _attribute(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bytes):
        return {"B": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, Mapping):
        return {"M": {name: _attribute(text) for name, text in value.items()}}
    return {"SS": sorted(value)}


def values_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an item's attributes."""
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Mapping[str, Any]) -> object:
    if "N" in attribute:
        return int(attribute["N"])
    if "SS" in attribute:
        return frozenset(attribute["SS"])
    if "B" in attribute:
        return attribute["B"]
    return values_of(attribute["M"]) if "M" in attribute else attribute["S"]
