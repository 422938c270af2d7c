"""Where the bytes of deleted files go on AWS: S3Bin, on a bucket with versions."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pytp_broker.aws.s3 import S3Files
from pytp_broker.aws.s3_bin import TAG, S3Bin
from pytp_broker.content import Held
from pytp_broker.errors import StoreUnavailable
from tests.contract.conftest import MINISTACK
from tests.support.emulator import Emulator, create_bucket, make_client
from tests.support.fakes import stored_bytes

KEY = "files/acme/0123/widgets-1.0.tar.gz"
OTHER = f"{KEY}.metadata"


class Bucket:
    """A bucket with two objects, and the calls that were made to it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.name = create_bucket(client)
        enabled = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration=enabled)
        self.files = S3Files(client, self.name)
        self.bin = S3Bin(lambda: client, self.name)
        for key in (KEY, OTHER):
            self.files.save(key, Held(b"octets"), hashlib.sha256(b"octets").hexdigest())

    def versions(self) -> list[tuple[str, bool]]:
        """Return the key of every version that has bytes, and whether it is the current one."""
        found = self.client.list_object_versions(Bucket=self.name).get("Versions", [])
        return sorted((each["Key"], each["IsLatest"]) for each in found)

    def markers(self) -> int:
        return len(self.client.list_object_versions(Bucket=self.name).get("DeleteMarkers", []))

    def tags(self, key: str) -> list[dict[str, str]]:
        """Return the tags of the only version that a key has."""
        found = self.client.list_object_versions(Bucket=self.name)["Versions"]
        (version,) = (each["VersionId"] for each in found if each["Key"] == key)
        answer = self.client.get_object_tagging(Bucket=self.name, Key=key, VersionId=version)
        tags: list[dict[str, str]] = answer["TagSet"]
        return tags


@pytest.fixture(params=["moto", MINISTACK])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    found: Bucket = request.getfixturevalue(f"{request.param}_versions")
    return found


@pytest.fixture
def moto_versions(moto_s3: Any) -> Bucket:
    return Bucket(moto_s3)


@pytest.fixture
def ministack_versions(emulator: Emulator) -> Iterator[Bucket]:
    client = make_client("s3", endpoint_url=emulator.endpoint_url)
    yield Bucket(client)
    client.close()


def test_discarded_bytes_are_a_version_that_nobody_gets(bucket: Bucket) -> None:
    bucket.bin.discard(KEY)

    with pytest.raises(KeyError):
        stored_bytes(bucket.files, KEY)
    assert bucket.versions() == [(KEY, False), (OTHER, True)]
    assert stored_bytes(bucket.files, OTHER) == b"octets"


def test_only_discarded_bytes_have_the_tag(moto_versions: Bucket) -> None:
    """The other emulator forgets the tags of a version."""
    moto_versions.bin.discard(KEY)

    assert moto_versions.tags(KEY) == [TAG]
    assert moto_versions.tags(OTHER) == []


def test_discarding_again_changes_nothing(bucket: Bucket) -> None:
    for _ in range(2):
        bucket.bin.discard(KEY)

    assert (bucket.versions(), bucket.markers()) == ([(KEY, False), (OTHER, True)], 1)


def test_there_need_be_nothing_to_discard(bucket: Bucket) -> None:
    bucket.bin.discard("files/acme/0123/absent.whl")

    assert (bucket.versions(), bucket.markers()) == ([(KEY, True), (OTHER, True)], 0)


@pytest.mark.parametrize("call", ["PutObjectTagging", "DeleteObject"])
@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_a_call_that_failed_or_whose_answer_was_lost_is_repeated(
    bucket: Bucket, call: str, moment: str
) -> None:
    name = f"{moment}.s3.{call}"

    def fail(**_: Any) -> None:
        bucket.client.meta.events.unregister(name, fail)
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "the table is x"}}, call)

    bucket.client.meta.events.register(name, fail)
    with pytest.raises(StoreUnavailable) as refused:
        bucket.bin.discard(KEY)
    assert refused.value.operator_detail == f"{call}: SlowDown"

    bucket.bin.discard(KEY)

    assert (bucket.versions(), bucket.markers()) == ([(KEY, False), (OTHER, True)], 1)
