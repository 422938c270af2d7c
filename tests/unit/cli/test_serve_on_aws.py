"""`serve` on the storage of a broker that is deployed on AWS, as far as it opens it."""

import argparse
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.cli import _parser
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.target import open_storage
from tests.support.configurations import registry
from tests.support.emulator import REGION, Emulator, create_table


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a broker's table, with a configuration in it."""
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name=REGION)
        table = create_table(client)
        loaded = config.parse(tomllib.loads(registry("acme")), allow_loopback=False)
        DynamoStore(client, table).apply(loaded.configuration, loaded.publishers)
        yield table
        client.close()


def options(line: str) -> argparse.Namespace:
    line = f"serve --store dynamodb --region {REGION} {line}"
    return _parser().parse_args(line.split())


def test_it_serves_the_configuration_that_is_there(table: str, tmp_path: Path) -> None:
    with open_storage(options(f"--table {table} --bucket files"), tmp_path) as storage:
        assert storage.store.load_configuration().registries.keys() == {"acme"}


def test_it_makes_nothing(table: str, tmp_path: Path) -> None:
    with (
        pytest.raises(CommandError, match="cannot reach the deployment: ") as refused,
        open_storage(options("--table other --bucket files"), tmp_path),
    ):
        pass

    assert refused.value.lines[-1].startswith(f"asked for the table other in the region {REGION}")
    client = boto3.client("dynamodb", region_name=REGION)
    assert client.list_tables()["TableNames"] == [table]
    client.close()


@pytest.mark.ministack
def test_a_stack_without_a_bucket_is_told(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = emulator.client("cloudformation")
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    types = [{"AttributeName": each["AttributeName"], "AttributeType": "S"} for each in keys]
    table: dict[str, Any] = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": keys,
            "AttributeDefinitions": types,
        },
    }
    client.create_stack(
        StackName="no-bucket", TemplateBody=json.dumps({"Resources": {"Table": table}})
    )
    client.get_waiter("stack_create_complete").wait(
        StackName="no-bucket", WaiterConfig={"Delay": 0.2}
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    with (
        pytest.raises(CommandError, match="the stack no-bucket has no bucket"),
        open_storage(options("--stack no-bucket"), tmp_path),
    ):
        pass
