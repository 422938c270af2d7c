"""Asking a time-stamping authority: what it learns, and what happens when it fails."""

from datetime import datetime, timedelta

import pytest

from pytp_broker.oidc.documents import FetchError
from pytp_broker.oidc.fetch import Kinds
from pytp_broker.provenance.timestamps import TimestampError, verify_timestamp
from pytp_broker.registries import Access, Timestamping
from pytp_broker.stamping import AuthorityStamper
from tests.support.time_authority import AUTHORITY, NOW, Line, TimeAuthority

SIGNATURE = b"the bytes of a signature"


class Desk:
    """A stamper with a clock that the test turns, and the authority at the end of its line."""

    def __init__(self) -> None:
        self.now = NOW
        self.authority = TimeAuthority(now=self._read_clock)
        self.line = Line(self.authority)
        self.stamper = AuthorityStamper(self.line.reach, self._read_clock)

    def _read_clock(self) -> datetime:
        return self.now

    def refusal(self, authority: Timestamping = AUTHORITY) -> str:
        with pytest.raises(TimestampError) as refused:
            self.stamper.stamp(authority, SIGNATURE)
        return str(refused.value)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_reply_of_the_authority_proves_the_time(desk: Desk) -> None:
    timestamp = desk.stamper.stamp(AUTHORITY, SIGNATURE)

    assert verify_timestamp(timestamp, SIGNATURE, [desk.authority.root]) == NOW


def test_the_authority_is_asked_as_the_operator_has_written_it(desk: Desk) -> None:
    desk.stamper.stamp(Timestamping("https://tsa.example.com/", "PEM"), SIGNATURE)

    assert desk.line.asked == [
        (
            "https://tsa.example.com/",
            Access(is_private=True, ca_pem="PEM"),
            Kinds("application/timestamp-query", "application/timestamp-reply"),
        )
    ]


def test_the_authority_learns_a_hash_and_not_the_signature(desk: Desk) -> None:
    desk.stamper.stamp(AUTHORITY, SIGNATURE)

    assert SIGNATURE not in desk.authority.queries[0]


def test_a_failure_is_told_in_words_for_an_authority(desk: Desk) -> None:
    desk.line.failure = FetchError("the issuer did not answer in time", "see the issuer's table")

    assert desk.refusal() == (
        "the time-stamping authority did not answer in time: see `[timestamping]`"
    )


def test_a_wrong_reply_is_not_taken(desk: Desk) -> None:
    desk.authority.says(nonce=7)

    assert desk.refusal() == "it is for another query: its nonce differs"


def test_after_a_failure_nobody_is_asked_for_half_a_minute(desk: Desk) -> None:
    desk.line.failure = FetchError("the issuer answered 503")
    desk.refusal()
    desk.now += timedelta(seconds=29)

    assert desk.refusal() == (
        "it was not asked, because it has just failed: the time-stamping authority answered 503"
    )
    assert len(desk.line.asked) == 1


def test_the_pause_begins_with_the_failure_and_not_with_what_it_refused(desk: Desk) -> None:
    desk.line.failure = FetchError("the issuer answered 503")
    for _ in range(3):
        desk.refusal()
        desk.now += timedelta(seconds=10)
    desk.line.failure = None

    assert desk.stamper.stamp(AUTHORITY, SIGNATURE)
    assert len(desk.line.asked) == 2


def test_another_authority_is_asked_at_once(desk: Desk) -> None:
    desk.line.failure = FetchError("the issuer answered 503")
    desk.refusal()
    desk.line.failure = None

    assert desk.stamper.stamp(Timestamping("https://tsa.example.com/"), SIGNATURE)
