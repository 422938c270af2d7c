"""Asking a time-stamping authority over real sockets."""

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import trustme

from pytp_broker.oidc.fetch import HttpFetch
from pytp_broker.provenance.timestamps import TimestampError, verify_timestamp
from pytp_broker.registries import Timestamping
from pytp_broker.stamping import AuthorityStamper, make_stamper
from tests.support.misbehaving import (
    DISCOVERY,
    Behaviour,
    MisbehavingIssuer,
    answering,
    dripping_body,
    hanging,
)
from tests.support.time_authority import TimeAuthority, serving

# Far more than a machine with much to do is late.
SOON_SECONDS = 10
SIGNATURE = b"the bytes of a signature"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def authority() -> TimeAuthority:
    return TimeAuthority(now=now)


@pytest.fixture
def misbehaving() -> Iterator[MisbehavingIssuer]:
    with MisbehavingIssuer() as found:
        yield found


def test_a_timestamp_is_fetched_and_proves_the_time(authority: TimeAuthority) -> None:
    before = now()
    with serving(authority) as url:
        timestamp = make_stamper(now, only_public=False).stamp(Timestamping(url), SIGNATURE)

    at = verify_timestamp(timestamp, SIGNATURE, [authority.root])

    assert before.replace(microsecond=0) <= at <= now()


def test_an_authority_of_a_company_has_a_certificate_of_its_own(authority: TimeAuthority) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    pem = ca.cert_pem.bytes().decode()
    with serving(authority, context) as url:
        assert make_stamper(now, only_public=False).stamp(Timestamping(url, pem), SIGNATURE)
        said = refusal(make_stamper(now, only_public=False), url)

    assert said == (
        "the time-stamping authority cannot be reached (SSLError): its certificate is signed by an"
        " unknown authority; give that authority's certificate as `ca_file` in `[timestamping]`"
    )


def test_on_aws_an_authority_is_not_on_the_same_machine() -> None:
    authority = TimeAuthority(now=now)
    with serving(authority) as url:
        refusal(make_stamper(now, only_public=True), url)

    assert authority.queries == []


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (answering(b"", "503 Service Unavailable"), "the time-stamping authority answered 503"),
        (answering(b"", "302 Found", "Location: /"), "the time-stamping authority answered 302"),
        (answering(b"<!doctype html>"), "it is not a timestamp"),
        (answering(b""), "it is not a timestamp"),
        (answering(b"\x30" * 20_000), "it has more than 16384 bytes"),
        (answering(b"\x30" * 200_000), "the time-stamping authority's document is too large"),
    ],
)
def test_a_failure_says_what_is_wrong(
    misbehaving: MisbehavingIssuer, behaviour: Behaviour, said: str
) -> None:
    misbehaving.misbehave(behaviour)
    patient = AuthorityStamper(HttpFetch(only_public=False, deadline_seconds=10).reach, now)

    assert refusal(patient, misbehaving.url + DISCOVERY) == said


@pytest.mark.parametrize("behaviour", [hanging, dripping_body])
def test_a_slow_authority_is_not_waited_for(
    misbehaving: MisbehavingIssuer, behaviour: Behaviour
) -> None:
    misbehaving.misbehave(behaviour)
    hasty = AuthorityStamper(HttpFetch(only_public=False, deadline_seconds=0.25).reach, now)
    started_at = time.monotonic()

    said = refusal(hasty, misbehaving.url + DISCOVERY)

    assert said.startswith("the time-stamping authority ")
    assert time.monotonic() - started_at < SOON_SECONDS


def refusal(stamper: AuthorityStamper, url: str) -> str:
    with pytest.raises(TimestampError) as refused:
        stamper.stamp(Timestamping(url), SIGNATURE)
    return str(refused.value)
