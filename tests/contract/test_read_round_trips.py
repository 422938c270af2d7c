"""How many round trips each answer to a reader takes on AWS, and what they cost."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from moto import mock_aws

from pytp_broker.registries import PRIVATE
from tests.contract.test_act_costs import Metered
from tests.support.deployment import Answer
from tests.support.distributions import wheel
from tests.support.emulator import create_bucket, create_table, make_client
from tests.support.units import MeteredDynamo, MeteredS3

PAGE: Final = "/acme/simple/widgets/"
WHEEL: Final = wheel("widgets", "1.0")
FILE: Final = f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}"
TOKEN: Final = Counter({"TOKEN": 1, "USE": 1, "TRUST": 1})
WHOLE_PAGE: Final = Counter({"LISTING": 2, "STATUS": 1})


class Readers(Metered):
    """A project with a file, and who reads it; the configuration is in memory already."""

    token = ""

    def prepare(self) -> None:
        self.token = self.mint().json["token"]
        self.upload("1.0", {"authorization": f"Bearer {self.token}"})
        self.restart()

    def restart(self) -> None:
        """Begin as a function that has just started."""
        self.start()
        self.index.configurations.current()
        self.forget()

    def forget(self) -> None:
        self.dynamo.reset()
        self.s3.calls.clear()

    def close_registry(self) -> None:
        configuration = self.store.load_configuration()
        acme = replace(configuration.registries["acme"], access=PRIVATE)
        changed = replace(configuration, registries={"acme": acme})
        self.store.apply(changed, list(self.store.load_setup().publishers.values()))
        self.restart()

    def read(self, path: str = PAGE, **headers: str) -> Answer:
        """Ask as a reader with a token; afterwards ``dynamo`` has the calls of this request."""
        self.forget()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("GET", path, headers={"authorization": f"Bearer {self.token}", **named})


@pytest.fixture
def readers() -> Iterator[Readers]:
    with mock_aws():
        dynamo, s3 = make_client("dynamodb"), make_client("s3")
        table, bucket = create_table(dynamo), create_bucket(s3)
        readers = Readers(MeteredDynamo(dynamo), MeteredS3(s3), table, bucket)
        readers.prepare()
        yield readers
        dynamo.close()
        s3.close()


def test_a_page_of_a_public_registry_is_one_round_trip(readers: Readers) -> None:
    assert readers.read().status == 200
    assert readers.dynamo.calls == {"BatchGetItem": 1}
    assert readers.dynamo.reads == WHOLE_PAGE

    assert readers.read().status == 200
    assert readers.dynamo.calls == {"GetItem": 1}
    assert readers.dynamo.reads == {"LISTING": 1}


def test_a_304_is_one_small_row(readers: Readers) -> None:
    tag = readers.read().headers["ETag"]
    readers.restart()

    assert readers.read(if_none_match=tag).status == 304
    assert readers.dynamo.calls == {"GetItem": 1}
    assert readers.dynamo.reads == {"LISTING": 1}
    assert readers.s3.calls == {}


def test_a_page_of_a_private_registry_is_two_round_trips_and_then_one(readers: Readers) -> None:
    readers.close_registry()

    tag = readers.read().headers["ETag"]
    assert readers.dynamo.calls == {"BatchGetItem": 2}
    assert readers.dynamo.reads == TOKEN + WHOLE_PAGE

    for answer in (readers.read(), readers.read(if_none_match=tag)):
        assert answer.status in {200, 304}
        assert readers.dynamo.calls == {"GetItem": 1}


def test_a_file_is_one_round_trip(readers: Readers) -> None:
    for suffix in ("", ".metadata"):
        readers.read(FILE + suffix)

        assert readers.dynamo.calls == {"BatchGetItem": 1}


def test_who_may_not_read_costs_no_look_at_the_page(readers: Readers) -> None:
    tag = readers.read().headers["ETag"]
    readers.close_registry()
    readers.token = "pytp-unknown"

    assert readers.read(if_none_match=tag).status == 401
    assert readers.dynamo.calls == {}
