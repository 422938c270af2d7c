"""Receipts with a timestamp: what it proves of a key that was revoked, and what it does not."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pytp_broker.provenance.checking import (
    ReceiptRefusedError,
    Subject,
    accept_receipt,
    check_receipt,
)
from pytp_broker.provenance.dsse import Envelope, encode_signed
from pytp_broker.provenance.receipt_keys import KeyDocument, Revocation
from pytp_broker.provenance.receipts import Kind, Publication, Receipt
from tests.support.receipt_signing import TestSigner
from tests.support.time_authority import NOW, TimeAuthority

HOST = "packages.example.com"
SUBJECT = Subject("widgets-1.0-py3-none-any.whl", "0a" * 32)
LATER = NOW + timedelta(days=30)
SIGNER = TestSigner()
AUTHORITY = TimeAuthority()


def receipt(**changes: Any) -> Receipt:
    made = Receipt(
        filename=SUBJECT.filename,
        sha256=SUBJECT.sha256,
        size=10,
        host=HOST,
        registry="acme",
        project="widgets",
        version="1.0",
        uploaded_at=NOW,
        signed_at=NOW,
        publication=Publication(kind=Kind.IMPORT),
    )
    return replace(made, **changes)


def signed(**changes: Any) -> Envelope:
    payload = receipt(**changes).write()
    return Envelope(payload, SIGNER.sign(encode_signed(payload)))


def stamped(at: datetime = NOW, **changes: Any) -> bytes:
    envelope = signed(**changes)
    timestamp = AUTHORITY.stamp(envelope.signature.octets, made_at=at)
    return replace(envelope, timestamp=timestamp).write()


def keys(since: datetime | None = None) -> KeyDocument:
    """Return the key of the signer, revoked since a time or not at all."""
    revocation = None if since is None else Revocation(since, "a laptop was stolen")
    return KeyDocument(HOST, {SIGNER.key.key_id: replace(SIGNER.key, revocation=revocation)})


def refusal(octets: bytes, since: datetime | None, *, trusted: bool = True) -> tuple[str, str]:
    roots = [AUTHORITY.root] if trusted else []
    with pytest.raises(ReceiptRefusedError) as refused:
        accept_receipt(octets, keys(since), SUBJECT, LATER, roots)
    return refused.value.reason, str(refused.value)


def test_a_timestamp_says_when_the_receipt_existed() -> None:
    accepted = accept_receipt(stamped(), keys(), SUBJECT, LATER, [AUTHORITY.root])

    assert accepted.receipt == receipt()
    assert accepted.timestamped_at == NOW


def test_a_timestamp_proves_nothing_without_a_trusted_authority() -> None:
    assert accept_receipt(stamped(), keys(), SUBJECT, LATER).timestamped_at is None


def test_a_receipt_may_have_no_timestamp() -> None:
    octets = signed().write()

    accepted = accept_receipt(octets, keys(), SUBJECT, LATER, [AUTHORITY.root])

    assert accepted.timestamped_at is None
    assert check_receipt(octets, keys(), SUBJECT, LATER) == accepted.receipt


@pytest.mark.promise("older-than-the-theft")
def test_a_receipt_of_a_revoked_key_is_accepted_if_it_is_proved_to_be_older() -> None:
    since = NOW + timedelta(seconds=1)

    accepted = accept_receipt(stamped(), keys(since), SUBJECT, LATER, [AUTHORITY.root])

    assert accepted.receipt == receipt()


def test_a_timestamp_of_the_very_moment_of_the_revocation_is_too_young() -> None:
    reason, said = refusal(stamped(), NOW)

    assert reason == "revoked-key"
    assert said == (
        "the key of the receipt is revoked since 2026-11-22T12:00:00.000000Z: a laptop was stolen;"
        " the receipt has a timestamp of 2026-11-22T12:00:00.000000Z"
    )


def test_what_the_clock_of_the_authority_may_be_late_is_no_proof() -> None:
    envelope = signed()
    timestamp = AUTHORITY.stamp(envelope.signature.octets, accuracy_seconds=2)

    reason, _ = refusal(replace(envelope, timestamp=timestamp).write(), NOW + timedelta(seconds=1))

    assert reason == "revoked-key"


@pytest.mark.promise("older-than-the-theft")
def test_a_receipt_of_a_revoked_key_proves_nothing_by_its_own_time() -> None:
    reason, said = refusal(signed().write(), NOW + timedelta(days=10))

    assert reason == "revoked-key"
    assert said.endswith("the receipt has no timestamp that proves that it is older")


@pytest.mark.promise("older-than-the-theft")
def test_a_timestamp_that_nobody_checks_saves_no_receipt_of_a_revoked_key() -> None:
    reason, said = refusal(stamped(), NOW + timedelta(days=10), trusted=False)

    assert reason == "revoked-key"
    assert said.endswith("may prove that it is older: give the authority's certificates")


@pytest.mark.promise("older-than-the-theft")
def test_a_receipt_that_was_made_with_a_stolen_key_cannot_be_dated_back() -> None:
    stolen_at = NOW + timedelta(days=10)

    reason, _ = refusal(stamped(at=stolen_at + timedelta(days=1)), stolen_at)

    assert reason == "revoked-key"


def test_the_timestamp_of_another_receipt_proves_nothing() -> None:
    other = AUTHORITY.stamp(signed(version="0.9").signature.octets)

    reason, said = refusal(replace(signed(), timestamp=other).write(), None)

    assert reason == "wrong-timestamp"
    assert said == "the timestamp is not good: it is for another signature"


def test_the_timestamp_of_a_stranger_is_refused() -> None:
    envelope = signed()
    timestamp = TimeAuthority().stamp(envelope.signature.octets)

    reason, said = refusal(replace(envelope, timestamp=timestamp).write(), None)

    assert reason == "wrong-timestamp"
    assert said == "the timestamp is not good: none of the given authorities has signed it"


def test_a_receipt_cannot_be_younger_than_its_timestamp() -> None:
    reason, said = refusal(stamped(at=NOW - timedelta(minutes=6)), None)

    assert reason == "wrong-timestamp"
    assert said == "the receipt says that it is younger than its timestamp"


def test_the_clocks_of_the_registry_and_the_authority_may_differ_a_little() -> None:
    octets = stamped(at=NOW - timedelta(minutes=4))

    accepted = accept_receipt(octets, keys(), SUBJECT, LATER, [AUTHORITY.root])

    assert accepted.timestamped_at == NOW - timedelta(minutes=4)


def test_a_timestamp_does_not_save_a_receipt_that_is_wrong_otherwise() -> None:
    reason, _ = refusal(stamped(sha256="0b" * 32), NOW + timedelta(days=10))

    assert reason == "wrong-digest"
