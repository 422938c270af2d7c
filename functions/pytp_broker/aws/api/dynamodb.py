"""A client of DynamoDB, with the methods of boto3's that a store calls while it runs."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pytp_broker.aws.api.calls import Calls
from pytp_broker.aws.api.connections import Limits
from pytp_broker.aws.api.json_calls import JsonCalls

# A BatchGetItem returns up to 16 MB of items, in which a third more may be base64.
LIMITS: Final = Limits(max_answer_bytes=24 * 1024 * 1024)


def _operation(name: str) -> Callable[..., Mapping[str, Any]]:
    def call(client: "DynamoDB", **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as DynamoDB has them
        return client.calls.make(name, parameters)

    return call


class DynamoDB:
    """Calls DynamoDB; threads may share it. Every method raises CallError."""

    def __init__(self, calls: Calls) -> None:
        self.calls = JsonCalls(calls, "DynamoDB_20120810", "1.0")

    get_item = _operation("GetItem")
    put_item = _operation("PutItem")
    update_item = _operation("UpdateItem")
    delete_item = _operation("DeleteItem")
    query = _operation("Query")
    scan = _operation("Scan")
    batch_get_item = _operation("BatchGetItem")
    batch_write_item = _operation("BatchWriteItem")
