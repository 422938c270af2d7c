"""What an HTTP API sends to a function, and the rows of a table that a function finds."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from moto import mock_aws

from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.oidc.keycache import StoredKeySet
from tests.support.deployment import HOST
from tests.support.emulator import create_table, make_client
from tests.support.signing import GITHUB, public_jwk, rsa_key


def http_event(
    method: str,
    path: str,
    body: str = "",
    *,
    query: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return an event as an HTTP API sends it (payload format 2.0); ``more`` are headers."""
    headers = {
        "accept": "*/*",
        "accept-encoding": "gzip, deflate, br",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "host": HOST,
        "user-agent": "python-requests/2.34.2",
        "x-amzn-trace-id": "Root=1-6929e5a0-3e6f7a1b2c3d4e5f60718293",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "queryStringParameters": query or None,
        "headers": {**headers, **(more or {})},
        "requestContext": {
            "accountId": "111122223333",
            "apiId": "a1b2c3d4e5",
            "domainName": HOST,
            "domainPrefix": "packages",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "python-requests/2.34.2",
            },
            "requestId": "U7rXhg5MIAMEJRw=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "29/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1796040000000,
        },
        "pathParameters": {"registry": "acme"},
        "body": body,
        "isBase64Encoded": False,
    }


def stored(configuration: str) -> list[dict[str, Any]]:
    """Return the rows of a table with a configuration, and with GitHub's keys."""
    loaded = config.parse(tomllib.loads(configuration), allow_loopback=False)
    with mock_aws():
        client = make_client("dynamodb")
        table = create_table(client)
        store = DynamoStore(client, table)
        store.apply(loaded.configuration, loaded.publishers)
        keys = [public_jwk(rsa_key("key-1"), "key-1")]
        store.save_key_set(GITHUB, StoredKeySet(keys, datetime.now(UTC)))
        items: list[dict[str, Any]] = client.scan(TableName=table)["Items"]
        client.close()
    return items
