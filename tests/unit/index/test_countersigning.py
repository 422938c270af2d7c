"""Timestamps of one publication: what happens without them, and for how long it waits."""

from dataclasses import replace

import pytest

from pytp_broker.audit.record import AuditRecord
from pytp_broker.index.countersigning import SECONDS_PER_PUBLICATION, Countersigner
from pytp_broker.oidc.documents import FetchError
from pytp_broker.provenance.timestamps import verify_timestamp
from pytp_broker.stamping import AuthorityStamper
from tests.support.audit import check
from tests.support.samples import file
from tests.support.shelf import Shelf
from tests.support.time_authority import AUTHORITY, NOW, Line, TimeAuthority

SIGNATURE = b"the bytes of a signature"


class Desk:
    """A countersigner whose clock the test turns, and the authority at the end of its line."""

    def __init__(self) -> None:
        self.authority = TimeAuthority()
        self.line = Line(self.authority)
        self.records: list[AuditRecord] = []
        self.seconds = 0.0
        self.signer = Countersigner(
            AUTHORITY,
            AuthorityStamper(self.line.reach, lambda: NOW),
            self.records.append,
            SECONDS_PER_PUBLICATION,
            lambda: self.seconds,
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_receipt_gets_a_timestamp_of_its_signature(desk: Desk) -> None:
    timestamp = desk.signer.stamp(file(), SIGNATURE)

    assert timestamp is not None
    assert verify_timestamp(timestamp, SIGNATURE, [desk.authority.root]) == NOW
    assert desk.records == []


def test_nobody_is_asked_if_there_is_no_authority(desk: Desk) -> None:
    assert replace(desk.signer, authority=None).stamp(file(), SIGNATURE) is None
    assert desk.line.asked == []
    assert desk.records == []


def test_a_record_says_why_a_receipt_has_no_timestamp(desk: Desk) -> None:
    desk.line.failure = FetchError("the issuer did not answer in time")

    assert desk.signer.stamp(file(), SIGNATURE) is None

    (record,) = desk.records
    check(record.document())
    assert record.document() == {
        "event": "timestamp",
        "outcome": "refused",
        "reason": "no-timestamp",
        "registry": file().registry,
        "filename": file().filename,
        "operator_detail": f"{AUTHORITY.url}: the time-stamping authority did not answer in time",
    }


def test_every_file_without_a_timestamp_has_a_record(desk: Desk) -> None:
    desk.line.failure = FetchError("the issuer did not answer in time")

    for _ in range(3):
        desk.signer.stamp(file(), SIGNATURE)

    assert len(desk.records) == 3
    assert len(desk.line.asked) == 1


def test_the_files_of_a_publication_wait_for_a_limited_time_together(desk: Desk) -> None:
    desk.seconds = SECONDS_PER_PUBLICATION - 0.1
    assert desk.signer.stamp(file(), SIGNATURE) is not None
    desk.seconds = SECONDS_PER_PUBLICATION

    assert desk.signer.stamp(file(), SIGNATURE) is None

    assert len(desk.line.asked) == 1
    (record,) = desk.records
    detail = record.document()["operator_detail"]
    assert str(detail).endswith("it was not asked: the files before this one took 8 s")


def test_the_configuration_names_the_authority() -> None:
    shelf = Shelf()
    shelf.configuration = replace(shelf.configuration, timestamping=AUTHORITY)
    shelf.apply()

    assert Countersigner.of(shelf.index).authority == AUTHORITY
