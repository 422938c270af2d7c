"""`pytp-broker import` into a broker on AWS: its table and its bucket."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from pytp_broker.aws.deployments import Address, Deployed, _find
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.cli import main
from pytp_broker.cli.operator import Operator
from pytp_broker.registries import Configuration, Registry
from pytp_broker.storage.file_store import content_key
from tests.support.distributions import wheel
from tests.support.emulator import REGION, create_bucket, create_table, make_client
from tests.support.receipt_signing import TestSigner


class Account:
    """A table and a bucket, and a folder to import from."""

    def __init__(self, packages: Path) -> None:
        self.dynamodb = make_client("dynamodb")
        self.s3 = make_client("s3")
        self.table, self.bucket = create_table(self.dynamodb), create_bucket(self.s3)
        self.store = DynamoStore(self.dynamodb, self.table)
        self.store.apply(Configuration(registries={"acme": Registry("acme", ())}), [])
        self.packages = packages
        (packages / wheel().filename).write_bytes(wheel().content)

    def run(self, *options: str) -> int:
        folder = ("--from-folder", str(self.packages))
        place = ("--table", self.table, "--region", REGION)
        host = ("--host", "packages.example.com")
        return main(["import", "--registry", "acme", *folder, *place, *host, *options])


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pytp_broker.cli.target._operator_of", _operator_who_signs)
    with mock_aws():
        yield Account(tmp_path)


def _operator_who_signs(found: Deployed) -> Operator:
    return Operator(found.store, str(found.operator), found.host, found.bin, TestSigner())


def test_a_file_is_imported_into_the_table_and_the_bucket(account: Account) -> None:
    assert account.run("--bucket", account.bucket) == 0

    (file,) = account.store.list_files("acme", "widgets")
    key = content_key("acme", file.sha256, file.filename)
    stored = account.s3.get_object(Bucket=account.bucket, Key=key)["Body"].read()
    assert stored == wheel().content
    assert file.published_by["imported_by"] == "arn:aws:sts::123456789012:user/moto"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name the bucket of the broker with --bucket"),
        (["--bucket", "none-of-ours"], "cannot reach the bucket"),
    ],
)
def test_without_its_bucket_nothing_is_imported(
    account: Account, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert account.run(*options) == 1
    assert words in capsys.readouterr().err
    assert account.store.list_operator_records() == []


def resource(kind: str, name: str) -> dict[str, str]:
    return {"ResourceType": kind, "PhysicalResourceId": name}


TABLE = resource("AWS::DynamoDB::Table", "a-table")
BUCKET = resource("AWS::S3::Bucket", "a-bucket")


@pytest.mark.parametrize(
    ("resources", "named", "bucket"),
    [
        ([TABLE, BUCKET], None, "a-bucket"),
        ([TABLE, BUCKET], "another", "another"),
        ([TABLE], None, None),
        ([TABLE, BUCKET, BUCKET], None, None),
    ],
)
def test_a_stack_knows_its_bucket(
    resources: list[dict[str, str]], named: str | None, bucket: str | None
) -> None:
    class CloudFormation:
        def all_pages(self, _operation: str, **_: str) -> Any:
            return {"StackResourceSummaries": resources}

        def describe_stacks(self, **_: str) -> dict[str, Any]:
            return {"Stacks": [{}]}

    class Clients:
        def other(self, _service: str) -> CloudFormation:
            return CloudFormation()

    clients: Any = Clients()
    assert _find(Address("a-stack", None, named, None, None), clients).bucket == bucket


def test_the_table_of_a_stack_may_come_after_a_hundred_other_resources() -> None:
    route = {"ResourceType": "AWS::ApiGatewayV2::Route", "PhysicalResourceId": "r"}
    now = datetime(2026, 11, 29, tzinfo=UTC)
    common = {
        "LogicalResourceId": "x",
        "LastUpdatedTimestamp": now,
        "ResourceStatus": "CREATE_COMPLETE",
    }
    pages: list[dict[str, Any]] = [
        {"StackResourceSummaries": [{**common, **route}] * 100, "NextToken": "more"},
        {"StackResourceSummaries": [{**common, **TABLE}]},
    ]
    client = make_client("cloudformation")

    class Clients:
        def other(self, _service: str) -> Any:
            return client

    clients: Any = Clients()
    with Stubber(client) as stubber:
        for page in pages:
            stubber.add_response("list_stack_resources", page)
        stubber.add_client_error("describe_stacks", "AccessDenied")
        found = _find(Address("a-stack", None, None, None, None), clients)

    assert found.table == TABLE["PhysicalResourceId"]
