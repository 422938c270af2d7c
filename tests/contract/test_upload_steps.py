"""How many calls of an upload wait for each other, with DynamoDB, S3 and KMS behind it."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from moto import mock_aws

from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.s3 import S3Files
from pytp_broker.aws.s3_listings import S3Listings
from tests.contract.test_act_costs import CONFIGURATION
from tests.support.deployment import Answer, Clock, Deployment
from tests.support.distributions import CONTENT_TYPE, fields, form, wheel
from tests.support.emulator import create_bucket, create_table, make_client
from tests.support.receipt_signing import TestSigner
from tests.support.scanner import SecretScanner
from tests.support.signing import Issuer
from tests.support.steps import Steps

VISIBLE = "put_item PROJECT FILE"


class Counted(Deployment, Clock):
    """The functions on AWS, whose calls are counted as steps."""

    def __init__(self, dynamo: Any, s3: Any) -> None:
        self.steps, self.issuer = Steps(), Issuer()
        table, bucket = create_table(dynamo), create_bucket(s3)
        dynamo, s3 = self.steps.counted(dynamo), self.steps.counted(s3)
        listings = S3Listings(lambda: s3, bucket)
        store = DynamoStore(dynamo, table, listings, side_by_side=self.steps)
        super().__init__(
            store,
            S3Files(s3, bucket),
            clock=self,
            audit=lambda _record: None,
            fetch=self.issuer.fetch,
            scanner=SecretScanner(),
        )
        signer = self.steps.counted(TestSigner())
        self.index = replace(self.index, signer=signer, side_by_side=self.steps)
        loaded = config.parse(tomllib.loads(CONFIGURATION), allow_loopback=False)
        store.apply(loaded.configuration, loaded.publishers)

    def token(self, **members: Any) -> str:
        body = {"token": self.issuer.token(self.now), **members}
        token: str = self.call("POST", "/acme/_/oidc/mint-token", body).json["token"]
        return token

    def upload(self, token: str, version: str, tag: str = "py3-none-any") -> Answer:
        file = wheel("widgets", version, filename=f"widgets-{version}-{tag}.whl")
        headers = {"authorization": f"Bearer {token}", "content-type": CONTENT_TYPE}
        self.steps.reset()
        return self.call("POST", "/acme/legacy/", form(file, fields(file)), headers)

    def step_of(self, name: str) -> int:
        """Return the step of a call that is made once."""
        (step,) = (step for step, each in self.steps.taken if each == name)
        return step


@pytest.fixture
def counted() -> Iterator[Counted]:
    with mock_aws():
        dynamo, s3 = make_client("dynamodb"), make_client("s3")
        yield Counted(dynamo, s3)
        dynamo.close()
        s3.close()


@pytest.mark.parametrize(
    "members", [{}, {"features": ["single-use-token"]}], ids=["multi", "single"]
)
def test_a_further_file_of_a_release_is_visible_at_the_fourth_step(
    counted: Counted, members: dict[str, Any]
) -> None:
    token = counted.token()
    assert counted.upload(token, "1.0").status == 200
    another = counted.token(**members)

    assert counted.upload(another, "1.0", tag="py2-none-any").status == 200

    assert counted.step_of(VISIBLE) == 4
    after = [name for step, name in counted.steps.taken if step > 4]
    assert after == ["put_item LISTING CONTENT", "update_item LISTING MARKS"]


def test_the_first_file_of_a_release_also_looks_at_the_other_files(counted: Counted) -> None:
    token = counted.token()
    counted.upload(token, "1.0")

    counted.upload(token, "2.0")

    assert (2, "query") in counted.steps.taken
    assert counted.step_of(VISIBLE) == 5
    assert counted.steps.count == 7


def test_nothing_is_written_before_every_check_has_passed(counted: Counted) -> None:
    token = counted.token()
    counted.upload(token, "1.0")

    refused = counted.upload(token, "1.0.0")

    assert refused.code == "invalid-release"
    assert {name for _, name in counted.steps.taken} == {"batch_get_item", "query"}


def test_bytes_receipt_mark_and_claim_come_before_the_file_is_visible(counted: Counted) -> None:
    token = counted.token(features=["single-use-token"])

    counted.upload(token, "1.0")

    visible = counted.step_of(VISIBLE)
    before = {name for step, name in counted.steps.taken if step < visible}
    assert before >= {
        "put_object files",
        "sign",
        "put_object receipts",
        "put_item REGISTRY PROJECT",
        "update_item LISTING MARKS",
        "put_item PROJECT RELEASE",
        "put_item USE USE",
    }
    at_once = [name for step, name in counted.steps.taken if step == visible]
    assert at_once == [VISIBLE]
