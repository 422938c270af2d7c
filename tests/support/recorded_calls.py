"""What commands ask of AWS: each call as IAM sees it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from botocore import signers
from botocore.client import BaseClient

# IAM has other names for some operations, and one action for several of them.
_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
}


@dataclass(frozen=True)
class Call:
    """A call: its action, what it is on (a table, an index, a bucket, …), and its keys and tags.

    ``prefix`` is that of the objects which it lists.
    """

    action: str
    target: str
    leading_keys: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    tags: frozenset[tuple[str, str]] = frozenset()
    prefix: str = ""


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """Record every call of boto3 in the ``with`` block, and each URL that a client of it signs."""
    calls: list[Call] = []
    make: Any = vars(BaseClient)["_make_api_call"]
    sign = signers.generate_presigned_url

    def record(client: Any, operation: str, params: dict[str, Any]) -> Any:
        calls.append(_read(client.meta.service_model.service_name, operation, params))
        return make(client, operation, params)

    def record_signed(client: Any, method: str, Params: Any = None, **options: Any) -> Any:  # noqa: N803
        operation = client.meta.method_to_api_mapping[method]
        calls.append(_read(client.meta.service_model.service_name, operation, Params))
        return sign(client, method, Params=Params, **options)

    with (
        patch.object(BaseClient, "_make_api_call", record),
        patch.object(signers, "generate_presigned_url", record_signed),
    ):
        yield calls


def _read(service: str, operation: str, params: dict[str, Any]) -> Call:
    action = f"{service}:{_ACTIONS.get(operation, operation)}"
    if service == "dynamodb":
        return _read_dynamodb(action, params)
    if service == "s3":
        key = f"/{params['Key']}" if "Key" in params else ""
        tagging = params.get("Tagging")
        tags = tagging.get("TagSet", ()) if isinstance(tagging, dict) else ()
        found = frozenset((tag["Key"], tag["Value"]) for tag in tags)
        return Call(action, f"bucket{key}", tags=found, prefix=params.get("Prefix", ""))
    if service == "kms":
        tags = params.get("Tags", ())
        found = frozenset((tag["TagKey"], tag["TagValue"]) for tag in tags)
        return Call(action, "key" if "KeyId" in params else "*", tags=found)
    if service == "apigatewayv2":
        _, what = operation.split("Get")
        place = f"stages/{params['StageName']}" if what == "Stage" else what.lower()
        return Call("apigateway:GET", f"/apis/{params['ApiId']}/{place}")
    return Call(action, _place(service, params))


def _place(service: str, params: dict[str, Any]) -> str:
    """Return what a call of another service is on, as the end of its ARN."""
    places: dict[str, Callable[[], str]] = {
        "cloudformation": lambda: "stack",
        "cloudwatch": lambda: "alarm:*",
        "events": lambda: f"rule/{params['Name']}",
        "lambda": lambda: f"function:{params['FunctionName']}",
        "logs": lambda: "log-group:*",
        "sqs": lambda: params["QueueUrl"].rpartition("/")[2],
    }
    return places.get(service, lambda: "*")()


def _read_dynamodb(action: str, params: dict[str, Any]) -> Call:
    if "RequestItems" in params:
        ((_, asked),) = params["RequestItems"].items()
        keys = asked["Keys"] if "Keys" in asked else [_key_of(request) for request in asked]
        return Call(action, "table", frozenset(key["pk"]["S"] for key in keys))
    values = params.get("ExpressionAttributeValues", {})
    if "IndexName" in params:
        return Call(action, "index", frozenset({values[":listed"]["S"]}))
    item = params.get("Key") or params.get("Item")
    if item is not None:
        named = {*item, *params.get("ExpressionAttributeNames", {}).values()}
        return Call(action, "table", frozenset({item["pk"]["S"]}), frozenset(named))
    return Call(action, "table", frozenset({values[":pk"]["S"]} if ":pk" in values else ()))


def _key_of(request: dict[str, Any]) -> dict[str, Any]:
    ((kind, body),) = request.items()
    found: dict[str, Any] = body["Item"] if kind == "PutRequest" else body["Key"]
    return found
