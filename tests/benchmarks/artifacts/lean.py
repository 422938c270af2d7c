"""The leanest function that we know which mints: no SDK, no Powertools, no dataclass.

It signs requests to DynamoDB itself and sends them over `http.client`; PyJWT verifies.
"""

import hashlib
import hmac
import http.client
import json
import os
import ssl
import time
from typing import Any, Final

import jwt

REGION: Final = os.environ["AWS_DEFAULT_REGION"]
HOST: Final = f"dynamodb.{REGION}.amazonaws.com"

connection = http.client.HTTPSConnection(HOST, context=ssl.create_default_context())


def sign(key: bytes, text: str) -> bytes:
    """Return the HMAC of a text."""
    return hmac.digest(key, text.encode(), "sha256")


def call(operation: str, body: bytes) -> Any:
    """Send a signed request to DynamoDB (Signature Version 4)."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/{REGION}/dynamodb/aws4_request"
    target = f"DynamoDB_20120810.{operation}"
    names = "host;x-amz-date;x-amz-target"
    headers = f"host:{HOST}\nx-amz-date:{stamp}\nx-amz-target:{target}\n"
    canonical = f"POST\n/\n\n{headers}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    for part in (stamp[:8], REGION, "dynamodb", "aws4_request"):
        key = sign(key, part)
    signature = sign(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}").hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    connection.request(
        "POST",
        "/",
        body,
        {
            "X-Amz-Date": stamp,
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential},"
            f"SignedHeaders={names},Signature={signature}",
        },
    )
    return json.loads(connection.getresponse().read())


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Verify a token, and keep what was minted."""
    claims = jwt.decode(event["token"], event["key"], ["RS256"])
    call("PutItem", json.dumps({"Item": {"pk": {"S": claims["jti"]}}}).encode())
    return {"token": claims["jti"]}
