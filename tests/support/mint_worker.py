"""One warm mint in three ways, in a process of its own: what each call takes.

It runs with the functions' own Python, beside nothing but the built function: the handler as it is
deployed, the least that anybody could do by hand, and boto3 with PyJWT. It reads what ``Task`` says
from stdin, and prints for each way the nanoseconds of processor time and of the clock, a call.
"""

import base64
import binascii
import hashlib
import hmac
import http.client
import importlib
import json
import os
import secrets
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TextIO, TypedDict, cast
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

HANDLER: Final = "the handler, as deployed"
FLOOR: Final = "the floor, by hand"
PLAIN: Final = "plain boto3 and PyJWT"

_CONTEXT: Final = SimpleNamespace(
    function_name="broker",
    memory_limit_in_mb="512",
    invoked_function_arn="arn:aws:lambda:us-east-1:111122223333:function:broker",
    aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
)
Act = Callable[[str], str]
Times = dict[str, dict[str, list[int]]]


class Task(TypedDict):
    """Events of the gateway as text, one for each mint, in rounds, and the issuer's public key."""

    rounds: list[list[str]]
    n: int
    e: int
    query: dict[str, Any]
    put: dict[str, Any]


class Unbuffered:
    """What Lambda's runtime puts in place of stdout: each write is sent at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def flush(self) -> None:
        self._stream.flush()


def handler() -> Act:
    """Return the broker function, between the runtime's reading and writing of JSON."""
    handle = importlib.import_module("pytp_broker.aws.broker").handler

    def act(event: str) -> str:
        answer = handle(json.loads(event), _CONTEXT)
        assert answer["statusCode"] == http.HTTPStatus.OK, answer
        return json.dumps(answer)

    return act


class ByHand:
    """The least: verify the signature, ask for the publisher, and store a token."""

    def __init__(self, task: Task) -> None:
        self._key = RSAPublicNumbers(task["e"], task["n"]).public_key()
        self._query, self._put = task["query"], task["put"]
        url = urlsplit(os.environ["AWS_ENDPOINT_URL"])
        context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
        self._host = url.netloc
        self._connection = http.client.HTTPSConnection(
            url.hostname or "", url.port, context=context
        )
        self._signing_key = self._derive_key(f"{datetime.now(UTC):%Y%m%d}")

    def act(self, event: str) -> str:
        """Mint."""
        asked = json.loads(json.loads(event)["body"])
        self._verify(asked["token"])
        self._send("Query", self._query)
        token = secrets.token_urlsafe(54)
        marks = {"token_hash": {"S": hashlib.sha256(token.encode()).hexdigest()}}
        self._send("PutItem", {**self._put, "Item": {**self._put["Item"], **marks}})
        answer = {"success": True, "token": token, "expires": int(time.time()) + 900}
        return json.dumps({"statusCode": 200, "body": json.dumps(answer)})

    def _verify(self, token: str) -> None:
        signed, _, signature = token.rpartition(".")
        octets = base64.urlsafe_b64decode(signature + "==")
        self._key.verify(octets, signed.encode(), PKCS1v15(), SHA256())
        json.loads(binascii.a2b_base64(signed.partition(".")[2].translate(_URL_SAFE) + "=="))

    def _send(self, operation: str, request: Mapping[str, Any]) -> Any:
        body = json.dumps(request).encode()
        self._connection.request(
            "POST", "/", body, self._sign(f"DynamoDB_20120810.{operation}", body)
        )
        answer = self._connection.getresponse()
        content = json.loads(answer.read())
        assert answer.status == http.HTTPStatus.OK, content
        return content

    def _sign(self, target: str, body: bytes) -> dict[str, str]:
        at = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        scope = f"{at[:8]}/us-east-1/dynamodb/aws4_request"
        names = "content-type;host;x-amz-date;x-amz-target"
        canonical = (
            f"POST\n/\n\ncontent-type:application/x-amz-json-1.0\nhost:{self._host}\n"
            f"x-amz-date:{at}\nx-amz-target:{target}\n\n{names}\n{hashlib.sha256(body).hexdigest()}"
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}".encode()
        signature = hmac.digest(self._signing_key, text, "sha256").hex()
        return {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Date": at,
            "X-Amz-Target": target,
            "Authorization": f"AWS4-HMAC-SHA256 Credential=test/{scope}, "
            f"SignedHeaders={names}, Signature={signature}",
        }

    @staticmethod
    def _derive_key(day: str) -> bytes:
        key = b"AWS4test"
        for part in (day, "us-east-1", "dynamodb", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


_URL_SAFE: Final = str.maketrans("-_", "+/")


def plain(task: Task) -> Act:
    """Return the same by the libraries: PyJWT, and boto3 with its defaults."""
    boto3, jwt = map(importlib.import_module, ("boto3", "jwt"))
    key = RSAPublicNumbers(task["e"], task["n"]).public_key()
    client = boto3.client("dynamodb")

    def act(event: str) -> str:
        asked = json.loads(json.loads(event)["body"])
        jwt.decode(asked["token"], key, algorithms=["RS256"], audience="acme")
        client.query(**task["query"])
        token = secrets.token_urlsafe(54)
        marks = {"token_hash": {"S": hashlib.sha256(token.encode()).hexdigest()}}
        client.put_item(**{**task["put"], "Item": {**task["put"]["Item"], **marks}})
        answer = {"success": True, "token": token, "expires": int(time.time()) + 900}
        return json.dumps({"statusCode": 200, "body": json.dumps(answer)})

    return act


def measure(task: Task) -> Times:
    """Return what each call took: the ways take turns, and the first round warms up."""
    acts: dict[str, Act] = {
        HANDLER: handler(),
        FLOOR: ByHand(task).act,
        PLAIN: plain(task),
    }
    times: Times = {name: {"cpu": [], "wall": []} for name in acts}
    for number, events in enumerate(task["rounds"]):
        for name, act in acts.items():
            taken = [_time(act, event) for event in events]
            if number:
                times[name]["cpu"] += [cpu for cpu, _ in taken]
                times[name]["wall"] += [wall for _, wall in taken]
    return times


def _time(act: Act, event: str) -> tuple[int, int]:
    began, cpu = time.perf_counter_ns(), time.process_time_ns()
    act(event)
    return time.process_time_ns() - cpu, time.perf_counter_ns() - began


def main() -> None:
    """Measure what stdin says; the function's log goes to the file that is named."""
    task: Task = json.load(sys.stdin)
    with Path(sys.argv[1]).open("w") as log, redirect_stdout(cast("TextIO", Unbuffered(log))):
        times = measure(task)
    sys.stdout.write(json.dumps(times))


if __name__ == "__main__":
    main()
