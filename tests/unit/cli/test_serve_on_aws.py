"""`serve` on the storage of a broker that is deployed on AWS, as far as it opens it."""

import argparse
import json
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.kms_keys import KmsKeys
from pytp_broker.cli import _parser
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.target import open_server_signer, open_storage
from pytp_broker.provenance.checking import check_signature
from pytp_broker.storage.sqlite import SqliteStore
from tests.support.configurations import registry
from tests.support.emulator import REGION, Emulator, create_table, make_client
from tests.support.samples import NOW


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a broker's table, with a configuration in it."""
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = make_client("dynamodb")
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
    client = make_client("dynamodb")
    assert client.list_tables()["TableNames"] == [table]
    client.close()


def test_it_signs_with_a_key_of_the_broker_and_makes_none(table: str, tmp_path: Path) -> None:
    arguments = options(f"--table {table} --bucket files")
    kms = make_client("kms")
    made = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    key = KmsKeys(lambda: kms, given=made["KeyMetadata"]["KeyId"]).make(NOW)

    with open_storage(arguments, tmp_path) as storage:
        storage.store.save_receipt_key(key, None)
        signer = open_server_signer(arguments, tmp_path, storage.store)
        assert signer is not None
        check_signature(signer.sign(b"a receipt"), b"a receipt", key)
        assert list(storage.store.list_receipt_keys()) == [key]

    assert list(tmp_path.iterdir()) == []
    kms.close()


def test_beside_stand_ins_each_server_has_a_key_of_its_own(tmp_path: Path) -> None:
    endpoints = "--dynamodb-endpoint http://127.0.0.1:1 --s3-endpoint http://127.0.0.1:1"
    arguments = options(f"--config x {endpoints}")

    with closing(SqliteStore(tmp_path / "broker.sqlite3")) as store:
        for name in ("one", "another", "one"):
            signer = open_server_signer(arguments, tmp_path / name, store)
            assert signer is not None
            signer.sign(b"a receipt")
        assert len(store.list_receipt_keys()) == 2


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
