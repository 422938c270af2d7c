"""Open the storage of a broker: on AWS for a command, and on stand-ins for AWS for ``serve``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from pytp_broker.aws.api.dynamodb import DynamoDB
from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.boto import (
    Clients,
    command_clients,
    made_once,
    server_clients,
    stand_in_clients,
)
from pytp_broker.aws.dynamodb.broker_table import ForeignTableError, check_table, ensure_table
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.kms_keys import KmsKeys
from pytp_broker.aws.kms_signer import KmsSigner
from pytp_broker.aws.s3 import S3Files, ensure_bucket
from pytp_broker.aws.s3_bin import S3Bin
from pytp_broker.aws.s3_listings import S3Listings
from pytp_broker.services import utc_now
from pytp_broker.side_by_side import Threads
from pytp_broker.storage.cache import ReceiptKeyCache
from pytp_broker.storage.file_store import Bin, FileStore
from pytp_broker.storage.protocols import Storage, Store

_TABLE: Final = "AWS::DynamoDB::Table"
_BUCKET: Final = "AWS::S3::Bucket"
_KEY: Final = "AWS::KMS::Key"
# For the uploads of `serve` together. One that finds no thread free makes its calls in order.
_SERVER_THREADS: Final = 24


class NotOpenedError(Exception):
    """The storage cannot be opened; the lines say why and where we have looked."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is on AWS: the name of its stack or of its table, and where to ask for it.

    ``bucket`` is the name of its bucket, which a stack knows itself.
    """

    stack: str | None
    table: str | None
    bucket: str | None
    region: str | None
    endpoint_url: str | None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A broker on AWS: its store, and if we know them, its bin, its host and the operator.

    ``place`` is its own: the account, the region and the table.
    ``open_files`` opens its file store, which most commands do not need. It raises NotOpenedError.
    ``signer`` signs receipts with KMS, and ``key_maker`` makes keys there.
    """

    store: Store
    bin: Bin | None
    host: str | None
    operator: str | None
    open_files: Callable[[], FileStore]
    signer: KmsSigner
    key_maker: KmsKeys
    place: str


def open_deployed(address: Address, doing: str, *, is_for_writing: bool) -> Deployed:
    """Return the broker at an address; raise NotOpenedError, even if the table is foreign."""
    with _failures_told("reach the deployment"):
        clients = command_clients(address.region, address.endpoint_url)
    asked = _describe(address, clients)
    with _failures_told("reach the deployment", asked):
        found = _find(address, clients)
        client = clients.dynamodb()
    with _failures_told(doing, asked):
        check_table(client, found.table, is_for_writing=is_for_writing)
    operator = _find_operator(clients)
    store = DynamoStore(client, found.table, _listings(found.bucket, clients), operator=operator)
    make_kms = made_once(clients.kms)
    return Deployed(
        store,
        S3Bin(clients.s3, found.bucket) if found.bucket else None,
        found.host,
        operator,
        partial(_open_files, found.bucket, clients),
        KmsSigner(make_kms, ReceiptKeyCache(store.list_receipt_keys), utc_now),
        KmsKeys(make_kms, address.stack, found.key),
        _place(client, found.table, operator),
    )


def _place(client: Any, table: str, operator: str | None) -> str:  # noqa: ANN401 - a client
    """Return the account, the region and the table; one of the same name may be elsewhere."""
    account = operator.split(":")[4] if operator else "unknown"
    return f"account {account}, region {client.meta.region_name}, table {table}"


def _listings(bucket: str | None, clients: Clients) -> S3Listings | None:
    # Making a client takes a third of a second, and most commands need none.
    return S3Listings(made_once(clients.s3), bucket) if bucket else None


def _open_files(bucket: str | None, clients: Clients) -> FileStore:
    if bucket is None:
        raise NotOpenedError(["name the bucket of the broker with --bucket"])
    with _failures_told("reach the bucket"):
        client = clients.s3()
        client.head_bucket(Bucket=bucket)
    return S3Files(client, bucket)


def open_for_server(address: Address) -> Storage:
    """Return the storage of a broker for ``serve``, which changes nothing while it opens it.

    Raises NotOpenedError, even for a table that is not a broker's.
    """
    with _failures_told("reach the deployment"):
        clients = server_clients(address.region)
    asked = _describe(address, clients)
    with _failures_told("reach the deployment", asked):
        found = _find(address, clients)
        dynamodb = clients.dynamodb()
        s3 = server_clients(address.region, has_large_files=True).s3()
        check_table(dynamodb, found.table, is_for_writing=False)
    if found.bucket is None:
        raise NotOpenedError([f"the stack {address.stack} has no bucket: name it with --bucket"])
    listings = S3Listings(lambda: s3, found.bucket)
    return _storage(dynamodb, found.table, listings, S3Files(s3, found.bucket))


def server_signer(region: str | None, store: Store) -> KmsSigner:
    """Return the signer of ``serve`` on AWS."""
    keys = ReceiptKeyCache(store.list_receipt_keys)
    return KmsSigner(made_once(server_clients(region).kms), keys, utc_now)


@contextmanager
def _failures_told(doing: str, *asked: str) -> Iterator[None]:
    try:
        yield
    except ForeignTableError as error:
        raise NotOpenedError([str(error)]) from None
    except ValueError as error:  # any call may raise it for a text that is not a URL
        raise NotOpenedError([f"cannot reach the deployment: {error}", *asked]) from None
    except CallError as error:
        raise NotOpenedError([*f"cannot {doing}: {error}".splitlines(), *asked]) from None


def _describe(address: Address, clients: Clients) -> str:
    """Return where we have looked, because a wrong place is the most common mistake."""
    place = f"the stack {address.stack}" if address.stack else f"the table {address.table}"
    endpoint = f" at {address.endpoint_url}" if address.endpoint_url else ""
    region = clients.session.region_name
    where = f"in the region {region}" if region else "without a region (give --region)"
    profile = clients.session.profile_name
    return f"asked for {place} {where}{endpoint}, with the profile {profile}"


@dataclass(frozen=True, slots=True)
class _Found:
    """The names of a broker's table and bucket, its host, and its template's key.

    None stands for one that we do not know.
    """

    table: str
    bucket: str | None
    host: str | None
    key: str | None = None


def _find(address: Address, clients: Clients) -> _Found:
    """Return what an address means; raise NotOpenedError."""
    if address.table is not None:
        return _Found(address.table, address.bucket, None)
    cloudformation = clients.other("cloudformation")
    # `describe_stack_resources` tells of the first hundred alone, and the template has more.
    listed = cloudformation.all_pages("list_stack_resources", StackName=address.stack)
    resources = listed["StackResourceSummaries"]
    host = None
    # An operator may lack this right. We need the host for a check of the configuration only.
    with suppress(CallError):
        described = cloudformation.describe_stacks(StackName=address.stack)
        host = find_host(described["Stacks"][0])
    buckets = _names_of(_BUCKET, resources)
    bucket = address.bucket or (buckets[0] if len(buckets) == 1 else None)
    keys = _names_of(_KEY, resources)
    return _Found(_find_table(resources, address), bucket, host, keys[0] if keys else None)


def _find_table(resources: Sequence[Mapping[str, Any]], address: Address) -> str:
    tables = _names_of(_TABLE, resources)
    if len(tables) != 1:
        raise NotOpenedError(
            [f"the stack {address.stack} has {len(tables)} tables, not one: name it with --table"]
        )
    return tables[0]


def _names_of(kind: str, resources: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["PhysicalResourceId"] for each in resources if each["ResourceType"] == kind]


def find_host(stack: Mapping[str, Any]) -> str | None:
    """Return the host of a stack: the domain that it was deployed with, or API Gateway's own."""
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", ())}
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())}
    return (
        urlsplit(f"https://{parameters.get('HostName', '')}").hostname
        or urlsplit(str(outputs.get("Url", ""))).hostname
    )


def _find_operator(clients: Clients) -> str | None:
    arn: str | None = None
    with suppress(CallError):  # a stand-in for AWS may have no STS
        arn = clients.other("sts").get_caller_identity()["Arn"]
    return arn


@dataclass(frozen=True, slots=True)
class StandIns:
    """A DynamoDB and an S3 that stand in for AWS, and the names of the table and the bucket."""

    dynamodb_url: str
    s3_url: str
    table: str
    bucket: str


def open_stand_ins(places: StandIns) -> Storage:
    """Return the storage; make the table and the bucket if they are missing.

    Raises NotOpenedError, even for a table that is not a broker's.
    """
    with _failures_told("open the store"):
        dynamodb = stand_in_clients(places.dynamodb_url).dynamodb()
        s3 = stand_in_clients(places.s3_url).s3()
        ensure_table(dynamodb, places.table)
        check_table(dynamodb, places.table)
        ensure_bucket(s3, places.bucket)
    listings = S3Listings(lambda: s3, places.bucket)
    return _storage(dynamodb, places.table, listings, S3Files(s3, places.bucket))


def _storage(client: DynamoDB, table: str, listings: S3Listings, files: S3Files) -> Storage:
    threads = Threads(_SERVER_THREADS)
    return Storage(DynamoStore(client, table, listings, side_by_side=threads), files, threads)
