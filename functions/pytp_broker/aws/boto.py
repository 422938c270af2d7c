"""Clients of boto3, for operators' commands and for `serve` on AWS, which may start slowly.

boto3 finds credentials in profiles, and asks every service. Its clients raise our own errors here,
so a store works with them as with those of ``aws/api``.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from threading import Lock
from typing import Any, Final, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pytp_broker.aws.api.errors import RefusedError, UnansweredError

T = TypeVar("T")

# For an operator's command. Without this, boto3 would try for half a minute.
_COMMAND_CONFIG: Final = Config(connect_timeout=5, retries={"mode": "standard"})
# For `serve` on AWS, which answers as many requests at a time. Clients wait 5 s for an exchange.
SERVER_CONFIG: Final = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=64,
)
# How long S3 may think about a large file before it says that it has it.
_LARGE_FILE_CONFIG: Final = SERVER_CONFIG.merge(Config(read_timeout=60))
# For `serve` on stand-ins for AWS, which may be slow because they run on the same machine.
_STAND_IN_CONFIG: Final = SERVER_CONFIG.merge(Config(read_timeout=60))
_STAND_IN_REGION: Final = "us-east-1"

# For download URLs. Without this, boto3 signs them with the old version 2, for a host that
# redirects to the bucket's region.
_SIGNED: Final = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
# A stand-in for S3 has the bucket in the path, because BUCKET.127.0.0.1 is not a host name.
_SIGNED_FOR_STAND_IN: Final = Config(signature_version="s3v4", s3={"addressing_style": "path"})


@contextmanager
def our_errors(operation: str) -> Iterator[None]:
    """Raise what boto3 raises as CallError."""
    try:
        yield
    except ClientError as error:
        raise _refusal(error) from None
    except BotoCoreError as error:
        raise UnansweredError(operation, type(error).__name__, str(error)) from None


def _refusal(error: ClientError) -> RefusedError:
    answer: dict[str, Any] = {**error.response, "message": str(error)}
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return RefusedError(error.operation_name, status, answer["Error"]["Code"], answer)


class Client:
    """A client of boto3, with its methods and attributes; a failed call raises CallError."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - of any service
        self._client = client

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as boto3 has it
        found = getattr(self._client, name)
        return self._method(name, found) if callable(found) else found

    def all_pages(self, operation: str, **parameters: Any) -> Any:  # noqa: ANN401 - as boto3 has it
        """Return the answers to a call that comes in pages, as one."""
        with our_errors(_name_of(operation)):
            pages = self._client.get_paginator(operation).paginate(**parameters)
            return pages.build_full_result()

    def wait_until(self, state: str, **parameters: Any) -> None:  # noqa: ANN401 - as boto3 has it
        """Ask until something is in a state that boto3 knows."""
        with our_errors(state):
            self._client.get_waiter(state).wait(**parameters)

    def _method(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **parameters: Any) -> Any:  # noqa: ANN401 - as boto3 has it
            operation = _name_of(name)
            with our_errors(operation):
                answer = method(*args, **parameters)
            if not isinstance(answer, dict):
                return answer
            return _with_our_bodies(answer, operation, partial(method, **parameters))

        return call


def _name_of(method: str) -> str:
    return "".join(part.capitalize() for part in method.split("_"))


class _Body:
    """The body of an answer, which is read later and may fail then.

    boto3 itself tries again only until the bytes begin. ``ask_again`` is None if it must not be
    tried again afterwards.
    """

    def __init__(self, body: Any, operation: str, ask_again: Callable[[], Any] | None) -> None:  # noqa: ANN401 - boto3 has no type for it
        self._body = body
        self._operation = operation
        self._ask_again = ask_again

    def read(self) -> bytes:
        """Return all bytes; ask for them once more if the connection ends within them."""
        with our_errors(self._operation):
            try:
                octets: bytes = self._body.read()
            except BotoCoreError:
                if self._ask_again is None:
                    raise
                octets = self._ask_again()["Body"].read()
        return octets


def _with_our_bodies(
    answer: dict[str, Any], operation: str, call: Callable[..., Any]
) -> dict[str, Any]:
    again = _same_object(answer, call) if operation == "GetObject" else None
    bodies = {name: value for name, value in answer.items() if hasattr(value, "read")}
    return answer | {name: _Body(body, operation, again) for name, body in bodies.items()}


def _same_object(answer: dict[str, Any], call: Callable[..., Any]) -> Callable[[], Any] | None:
    """Return what asks for the bytes of the same object; None if boto3 has tried twice already."""
    if answer["ResponseMetadata"]["RetryAttempts"]:
        return None
    return partial(call, IfMatch=answer["ETag"])


@dataclass(frozen=True, slots=True)
class Clients:
    """Makes clients of one account, at AWS or at a stand-in with its own URL.

    Every method raises CallError, and ValueError for a text that is not a URL.
    """

    session: boto3.Session
    config: Config
    endpoint_url: str | None = None

    def dynamodb(self) -> Any:  # noqa: ANN401 - a Client, or one of `aws.api`
        """Return a client of DynamoDB."""
        return self.other("dynamodb")

    def s3(self) -> Any:  # noqa: ANN401 - as `dynamodb`
        """Return a client of S3 whose download URLs work in every region."""
        signed = _SIGNED if self.endpoint_url is None else _SIGNED_FOR_STAND_IN
        return self._make("s3", self.config.merge(signed))

    def kms(self) -> Any:  # noqa: ANN401 - as `dynamodb`
        """Return a client of KMS."""
        return self.other("kms")

    def other(self, service: str) -> Any:  # noqa: ANN401 - as `dynamodb`
        """Return a client of any service."""
        return self._make(service, self.config)

    def _make(self, service: str, config: Config) -> Client:
        session: Any = self.session
        with our_errors("make a client"):
            return Client(session.client(service, config=config, endpoint_url=self.endpoint_url))


def made_once(make: Callable[[], T]) -> Callable[[], T]:
    """Return what makes a client at its first call, and gives the same one to every thread.

    Two threads must not make a client with one session at the same time.
    """
    lock, made = Lock(), list[T]()

    def get() -> T:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


def server_clients(region: str | None, *, has_large_files: bool = False) -> Clients:
    """Return the clients of ``serve`` on AWS; region and credentials are found as by commands."""
    config = _LARGE_FILE_CONFIG if has_large_files else SERVER_CONFIG
    return Clients(_session(region_name=region), config)


def command_clients(region: str | None, endpoint_url: str | None) -> Clients:
    """Return the clients of a command; region and credentials are found as the AWS CLI does."""
    return Clients(_session(region_name=region), _COMMAND_CONFIG, endpoint_url)


def stand_in_clients(endpoint_url: str) -> Clients:
    """Return the clients of a stand-in for AWS, which accepts any region and credentials."""
    options: dict[str, Any] = {}
    if not os.environ.keys() & {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"}:
        options["region_name"] = _STAND_IN_REGION
    if not os.environ.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return Clients(_session(**options), _STAND_IN_CONFIG, endpoint_url)


def _session(**options: str | None) -> boto3.Session:
    with our_errors("find a profile"):
        return boto3.Session(**options)  # type: ignore[arg-type] # boto3 has a type for each
