"""A function as most are written: boto3, a resolver of Powertools, requests and PyJWT."""

from typing import Any, Final

import boto3
import jwt
import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

TABLE: Final = "pytp-broker-Table"

logger = Logger(service="naive")
metrics = Metrics(namespace="naive", service="naive")
app = APIGatewayHttpResolver()
dynamodb = boto3.client("dynamodb")
session = requests.Session()


@app.post("/mint")
def mint() -> dict[str, Any]:
    """Verify a token with its issuer's keys, and keep what was minted."""
    token = app.current_event.json_body["token"]
    key_set = session.get("https://issuer.example/jwks", timeout=2).json()
    claims = jwt.decode(token, jwt.PyJWKSet.from_dict(key_set)[""].key, ["RS256"])
    item: Any = {"pk": {"S": claims["jti"]}}
    dynamodb.put_item(TableName=TABLE, Item=item, ConditionExpression="attribute_not_exists(pk)")
    return {"token": claims["jti"]}


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    return app.resolve(event, context)
