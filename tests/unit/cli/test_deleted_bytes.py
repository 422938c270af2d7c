"""`pytp-broker file delete` on AWS: what becomes of the bytes, and how it finds the bucket."""

import hashlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.s3 import S3Files
from pytp_broker.cli import main
from pytp_broker.content import Held
from pytp_broker.storage.file_store import content_key, metadata_key
from tests.support.emulator import REGION, create_bucket, create_table, make_client
from tests.support.samples import configuration, file, publisher
from tests.support.stack_pages import StackPages

pytestmark = pytest.mark.simulated

SDIST = file()
KEYS = [key("acme", SDIST.sha256, SDIST.filename) for key in (content_key, metadata_key)]
NO_BUCKET = (
    "name the bucket that has the broker's files with --bucket (the stack's output `Bucket`): "
    "nothing was deleted"
)


class Cloud:
    """A table and a bucket with a file, and commands that are typed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        dynamodb = make_client("dynamodb")
        self.s3 = make_client("s3")
        self.table, self.bucket = create_table(dynamodb), create_bucket(self.s3)
        self.store = DynamoStore(dynamodb, self.table)
        self.store.apply(configuration(), [publisher()])
        self.store.add_file(SDIST)
        files = S3Files(self.s3, self.bucket)
        for key in KEYS:
            files.save(key, Held(b""), hashlib.sha256(b"").hexdigest())

    def delete(self, options: str) -> str:
        """Run `pytp-broker file delete …`; return both streams, and the status if it is not 0."""
        line = f"file delete acme {SDIST.filename} --reason leaks --region {REGION} {options}"
        status = main(line.split())
        seen = self._capsys.readouterr()
        return seen.out + seen.err + (f"exit {status}\n" if status else "")

    @property
    def keys(self) -> list[str]:
        """Return the keys under which there are bytes."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in listed.get("Contents", [])]

    @property
    def is_deleted(self) -> bool:
        return self.store.find_entry("acme", "widgets", SDIST.filename).tombstone is not None

    @property
    def here(self) -> str:
        return f"--table {self.table} --bucket {self.bucket}"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cloud]:
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield Cloud(capsys)


def test_the_file_and_its_metadata_file_leave_the_bucket(cloud: Cloud) -> None:
    assert cloud.keys == KEYS

    assert cloud.delete(cloud.here) == f"acme {SDIST.filename} is deleted: leaks\n"

    assert cloud.keys == []
    assert cloud.is_deleted


def test_a_deletion_that_was_interrupted_before_the_bytes_went_is_completed(
    cloud: Cloud,
) -> None:
    wrong = cloud.here.replace("bucket-", "no-bucket-")

    first = cloud.delete(wrong).splitlines()
    assert first[0] == f"acme {SDIST.filename} is deleted: leaks"
    assert first[1].startswith("its bytes are still in the bucket: ")
    assert "(NoSuchBucket)" in first[1]
    assert first[2:] == [
        "nobody can download them from the broker; to delete them, run the command again",
        "exit 1",
    ]
    assert cloud.keys == KEYS

    for _ in range(2):
        seen = cloud.delete(cloud.here)
        assert seen == f"acme {SDIST.filename} is deleted already: leaks\n"
        assert cloud.keys == []
    assert len(cloud.store.list_operator_records()) == 1


def test_a_table_does_not_say_where_the_bytes_are(cloud: Cloud) -> None:
    seen = cloud.delete(f"--table {cloud.table}")

    assert seen == f"{NO_BUCKET}\nexit 2\n"
    assert not cloud.is_deleted
    assert cloud.store.list_operator_records() == []


def make_stack(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *buckets: str) -> None:
    """Let AWS say that a stack has the table and these buckets."""
    resources = [
        {"ResourceType": kind, "PhysicalResourceId": name}
        for kind, name in [
            ("AWS::DynamoDB::Table", cloud.table),
            *(("AWS::S3::Bucket", bucket) for bucket in buckets),
        ]
    ]
    make: Any = boto3.Session.client

    class Stacks:
        def get_paginator(self, _operation: str) -> Any:
            return StackPages(resources)

        def describe_stacks(self, **_: Any) -> Any:
            return {"Stacks": [{}]}

    def client(session: boto3.Session, service: str, **options: Any) -> Any:
        return Stacks() if service == "cloudformation" else make(session, service, **options)

    monkeypatch.setattr(boto3.Session, "client", client)


def test_the_bucket_of_a_stack_is_found(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    make_stack(cloud, monkeypatch, cloud.bucket)

    assert cloud.delete("--stack broker") == f"acme {SDIST.filename} is deleted: leaks\n"

    assert cloud.keys == []


@pytest.mark.parametrize("buckets", [(), ("one", "another")], ids=["none", "two"])
def test_a_bucket_must_be_named_if_the_stack_has_not_one(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, buckets: tuple[str, ...]
) -> None:
    make_stack(cloud, monkeypatch, *buckets)

    assert cloud.delete("--stack broker") == f"{NO_BUCKET}\nexit 2\n"
    assert not cloud.is_deleted

    assert "is deleted" in cloud.delete(f"--stack broker --bucket {cloud.bucket}")
    assert cloud.keys == []
