"""Clients of AWS services, each with timeouts that suit its caller."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

# For the functions: clients wait 5 s for an exchange. DynamoDB and S3 answer in milliseconds, so a
# second attempt on another connection helps more than a longer wait for the first.
FUNCTION_CONFIG: Final = Config(
    connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2}
)
# For an operator's command. Without this, boto3 would try for half a minute.
_COMMAND_CONFIG: Final = Config(connect_timeout=5, retries={"mode": "standard"})
# For `serve` on AWS, which answers as many requests at a time.
_SERVER_CONFIG: Final = FUNCTION_CONFIG.merge(Config(max_pool_connections=64))
# How long S3 may think about a large file before it says that it has it.
_LARGE_FILE_CONFIG: Final = _SERVER_CONFIG.merge(Config(read_timeout=60))
# For `serve` on stand-ins for AWS, which may be slow because they run on the same machine.
_STAND_IN_CONFIG: Final = FUNCTION_CONFIG.merge(Config(read_timeout=60))
_STAND_IN_REGION: Final = "us-east-1"

# For download URLs. Without this, boto3 signs them with the old version 2, for a host that
# redirects to the bucket's region.
_SIGNED: Final = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
# A stand-in for S3 has the bucket in the path, because BUCKET.127.0.0.1 is not a host name.
_SIGNED_FOR_STAND_IN: Final = Config(signature_version="s3v4", s3={"addressing_style": "path"})


@dataclass(frozen=True, slots=True)
class Clients:
    """Makes clients of one account, at AWS or at a stand-in with its own URL.

    Every method raises what boto3 raises: ValueError for a text that is not a URL, among others.
    """

    session: boto3.Session
    config: Config
    endpoint_url: str | None = None

    def dynamodb(self) -> "DynamoDBClient":
        """Return a client of DynamoDB."""
        return self.session.client("dynamodb", config=self.config, endpoint_url=self.endpoint_url)

    def s3(self) -> "S3Client":
        """Return a client of S3 whose download URLs work in every region."""
        signed = _SIGNED if self.endpoint_url is None else _SIGNED_FOR_STAND_IN
        return self.session.client(
            "s3", config=self.config.merge(signed), endpoint_url=self.endpoint_url
        )

    def kms(self) -> "KMSClient":
        """Return a client of KMS."""
        return self.session.client("kms", config=self.config, endpoint_url=self.endpoint_url)

    def other(self, service: str) -> Any:  # noqa: ANN401 - we have no types of these services
        """Return a client of a service that only commands ask."""
        session: Any = self.session
        return session.client(service, config=self.config, endpoint_url=self.endpoint_url)

    def waiting(self, service: str, seconds: int) -> Any:  # noqa: ANN401 - as `other`
        """Return a client that waits this long for an answer, and never repeats a request."""
        patient = Config(
            read_timeout=seconds, retries={"mode": "standard", "total_max_attempts": 1}
        )
        session: Any = self.session
        return session.client(
            service, config=self.config.merge(patient), endpoint_url=self.endpoint_url
        )


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


def function_clients() -> Clients:
    """Return the clients of a function; its environment names region and credentials."""
    return Clients(boto3.Session(), FUNCTION_CONFIG)


def server_clients(region: str | None, *, has_large_files: bool = False) -> Clients:
    """Return the clients of ``serve`` on AWS; region and credentials are found as by commands."""
    config = _LARGE_FILE_CONFIG if has_large_files else _SERVER_CONFIG
    return Clients(boto3.Session(region_name=region), config)


def command_clients(region: str | None, endpoint_url: str | None) -> Clients:
    """Return the clients of a command; region and credentials are found as the AWS CLI does."""
    return Clients(boto3.Session(region_name=region), _COMMAND_CONFIG, endpoint_url)


def stand_in_clients(endpoint_url: str) -> Clients:
    """Return the clients of a stand-in for AWS, which accepts any region and credentials."""
    options: dict[str, Any] = {}
    if not os.environ.keys() & {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"}:
        options["region_name"] = _STAND_IN_REGION
    if not os.environ.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return Clients(boto3.Session(**options), _STAND_IN_CONFIG, endpoint_url)
