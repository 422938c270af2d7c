"""The local deployment: the template's functions, on the embedded store or on DynamoDB and S3."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.endpoints import broker, introspect, read, upload
from pytp_broker.endpoints.events import handle
from pytp_broker.errors import DEFAULT_TYPE_BASE
from pytp_broker.leaks import GITHUB_KEYS_URL
from pytp_broker.local.gateway import MAX_BODY_BYTES, Gateway
from pytp_broker.local.log import Log
from pytp_broker.local.routes import RouteTable, TemplateError, find_template, load_template
from pytp_broker.oidc.fetch import HttpFetch
from pytp_broker.registries import Access
from pytp_broker.services import build, build_broker, build_index
from pytp_broker.settings import environment_proxy
from pytp_broker.storage.cache import ConfigurationCache
from pytp_broker.storage.files import FileStore
from pytp_broker.storage.folder import FolderFiles
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_TABLE: Final = "AWS::DynamoDB::Table"
_DEFAULT_REGION: Final = "us-east-1"
# A signal must take effect within ten seconds, which includes reading and applying the file.
_CONFIGURATION_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Storage:
    """Where records and bytes are kept."""

    store: Store
    files: FileStore


@dataclass(frozen=True, slots=True)
class AwsPlaces:
    """Where to find DynamoDB and S3, or their stand-ins."""

    dynamodb_endpoint: str
    s3_endpoint: str
    table: str
    bucket: str


def build_gateway(
    storage: Storage,
    shared_host: str,
    log: Log,
    disclosure_keys_url: str = GITHUB_KEYS_URL,
    error_type_base: str = DEFAULT_TYPE_BASE,
) -> Gateway:
    """Return the gateway with every function behind it; raise TemplateError."""
    configurations = ConfigurationCache(
        storage.store.load_configuration, max_age_seconds=_CONFIGURATION_SECONDS
    )
    services = build(
        storage.store,
        shared_host=shared_host,
        audit=log.audit,
        configurations=configurations,
        error_type_base=error_type_base,
    )
    fetch = HttpFetch(only_public=False, environment_proxy=environment_proxy(os.environ))
    exchange = build_broker(
        services,
        fetch=fetch,
        reach=fetch.reach,
        disclosure_keys_url=disclosure_keys_url,
        # The operator gives this URL. It may be of a copy inside the private network.
        fetch_disclosure_keys=fetch.reach(Access(is_private=True)),
    )
    index = build_index(services, files=storage.files, max_upload_bytes=MAX_BODY_BYTES)
    functions = {
        "BrokerFunction": partial(handle, routes=broker.ROUTES, services=exchange),
        "UploadFunction": partial(handle, routes=upload.ROUTES, services=index),
        "ReadFunction": partial(handle, routes=read.ROUTES, services=index),
        "IntrospectFunction": partial(handle, routes=introspect.ROUTES, services=index),
    }
    routes = RouteTable.from_template(load_template(find_template()))
    return Gateway(routes, functions, log, error_type_base)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; port 0 means any free port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


@contextmanager
def open_embedded(folder: Path) -> Iterator[Storage]:
    """Open the SQLite store and the files in a folder."""
    store = SqliteStore(folder / "broker.sqlite3")
    try:
        yield Storage(store, FolderFiles(folder / "files"))
    finally:
        store.close()


def open_aws(places: AwsPlaces) -> Storage:
    """Open the DynamoDB store and the S3 files; make the table and the bucket if they are missing.

    Raises what boto3 raises, and ForeignTableError for a table that is not a broker's.
    """
    import boto3
    from botocore.config import Config

    from pytp_broker.aws.dynamodb import DynamoStore
    from pytp_broker.aws.dynamodb.tables import check_table
    from pytp_broker.aws.s3 import S3Files

    session = boto3.Session(**_session_options())
    patience = Config(connect_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
    # The bucket stands in the path, because BUCKET.127.0.0.1 is not a host name.
    by_path = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    dynamodb = session.client("dynamodb", endpoint_url=places.dynamodb_endpoint, config=patience)
    s3 = session.client("s3", endpoint_url=places.s3_endpoint, config=patience.merge(by_path))
    _ensure_table(dynamodb, places.table)
    check_table(dynamodb, places.table)
    _ensure_bucket(s3, places.bucket)
    return Storage(DynamoStore(dynamodb, places.table), S3Files(s3, places.bucket))


def _session_options() -> dict[str, Any]:
    """Return the session options that the environment lacks; stand-ins accept any credentials."""
    options: dict[str, Any] = {}
    if not os.environ.keys() & {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"}:
        options["region_name"] = _DEFAULT_REGION
    if not os.environ.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return options


def _ensure_table(client: "DynamoDBClient", name: str) -> None:
    try:
        client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **_table_schema())
    except client.exceptions.ResourceInUseException:
        return
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def _table_schema() -> dict[str, Any]:
    """Return the schema of the template's table."""
    resources = load_template(find_template())["Resources"].values()
    for resource in resources:
        if resource["Type"] == _TABLE:
            properties = resource["Properties"]
            return {name: properties[name] for name in ("AttributeDefinitions", "KeySchema")}
    raise TemplateError("template.yaml has no table")


def _ensure_bucket(client: "S3Client", name: str) -> None:
    if name in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        return
    region: Any = client.meta.region_name
    # S3 requires the name of every region except the first, which must not be named.
    elsewhere: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=name, **({} if region == _DEFAULT_REGION else elsewhere))
