"""What each act takes of DynamoDB and S3: the figures from which docs/capacity.md calculates."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from infra import capacity
from pytp_broker import config
from pytp_broker.audit.record import AuditRecord
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.s3 import S3Files
from pytp_broker.aws.s3_listings import S3Listings
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import Answer, Clock, Deployment
from tests.support.distributions import CONTENT_TYPE, form, wheel
from tests.support.emulator import create_bucket, create_table, make_client
from tests.support.scanner import SecretScanner
from tests.support.signing import Issuer
from tests.support.units import MeteredDynamo, MeteredS3

CONFIGURATION = registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919"),
    audience="acme",
    access="public",
)


class Metered(Deployment, Clock):
    """The functions on DynamoDB and S3, whose units and requests are counted."""

    def __init__(self, dynamo: Any, s3: Any, table: str, bucket: str) -> None:
        self.dynamo, self.s3 = dynamo, s3
        self.issuer = Issuer()
        store = DynamoStore(dynamo, table, S3Listings(lambda: s3, bucket))
        files = S3Files(s3, bucket)
        super().__init__(
            store,
            files,
            clock=self,
            audit=self._note,
            fetch=self.issuer.fetch,
            scanner=SecretScanner(),
        )
        loaded = config.parse(tomllib.loads(CONFIGURATION), allow_loopback=False)
        store.apply(loaded.configuration, loaded.publishers)

    def _note(self, record: AuditRecord) -> None:
        json.dumps(record.document())

    def mint(self) -> Answer:
        body = {"token": self.issuer.token(self.now)}
        return self.call("POST", "/acme/_/oidc/mint-token", body)

    def act(self, name: str, token: str) -> Answer:
        """Do one of the acts of the page."""
        headers = {"authorization": f"Bearer {token}"}
        if name == "mint":
            return self.mint()
        if name == "burn":
            return self.call("POST", "/acme/_/oidc/burn-token", {"token": token})
        if name == "verify":
            return self.call("GET", "/acme/_/token/verify/widgets", headers=headers)
        if name == "page":
            return self.call("GET", "/acme/simple/widgets/")
        return self.upload("1.9", headers)

    def upload(self, version: str, headers: dict[str, str]) -> Answer:
        body = form(wheel("widgets", version))
        sent = {**headers, "content-type": CONTENT_TYPE}
        return self.call("POST", "/acme/legacy/", body, sent)


@pytest.fixture
def metered() -> Iterator[Metered]:
    with mock_aws():
        dynamo, s3 = make_client("dynamodb"), make_client("s3")
        yield Metered(MeteredDynamo(dynamo), MeteredS3(s3), create_table(dynamo), create_bucket(s3))
        dynamo.close()
        s3.close()


@pytest.mark.parametrize("act", capacity.CALLS)
def test_an_act_in_a_warm_function_takes_what_the_page_says(metered: Metered, act: str) -> None:
    token = metered.mint().json["token"]
    for version in ("1.0", "1.1"):
        metered.upload(version, {"authorization": f"Bearer {token}"})
    metered.act("verify", token)
    metered.dynamo.reset()
    metered.s3.calls.clear()

    assert metered.act(act, token).status in {200, 202}

    said = {name: units for name, units in capacity.WRITES[act].items() if name != "index"}
    assert metered.dynamo.calls.total() == capacity.CALLS[act]
    assert metered.dynamo.reads == Counter(capacity.READS[act])
    assert without_index(metered.dynamo.writes) == said
    assert metered.dynamo.writes["index"] <= capacity.WRITES[act].get("index", 0)
    assert metered.s3.calls["put_object"] == capacity.OBJECTS.get(act, 0)


def without_index(writes: Counter[str]) -> dict[str, Any]:
    return {name: units for name, units in writes.items() if name != "index"}
