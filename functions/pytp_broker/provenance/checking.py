"""Check a receipt: that a key of the registry has signed it, and that it is the file's.

Nothing is accepted by default: ``check_receipt`` returns a receipt only after every check, and each
refusal has a reason of its own.
"""

from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.provenance.dsse import (
    STATEMENT_TYPE,
    Envelope,
    MalformedEnvelopeError,
    Signature,
)
from pytp_broker.provenance.receipt_keys import KeyDocument, ReceiptKey
from pytp_broker.provenance.receipts import (
    ForeignStatementError,
    MalformedReceiptError,
    Receipt,
    write_time,
)
from pytp_broker.provenance.timestamps import TimestampError, verify_timestamp

# The clocks of the registry, of the verifier and of a time-stamping authority may differ by this.
LEEWAY: Final = timedelta(minutes=5)


class ReceiptRefusedError(Exception):
    """A receipt is not accepted: ``reason`` is a code, and the message a sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Subject:
    """A file as its verifier knows it; ``registry`` is None if the verifier names none."""

    filename: str
    sha256: str
    size: int | None = None
    registry: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A receipt that passed every check; and when it existed, if an authority says so."""

    receipt: Receipt
    timestamped_at: datetime | None = None


def check_receipt(octets: bytes, keys: KeyDocument, subject: Subject, now: datetime) -> Receipt:
    """Return the receipt of this file; raise ReceiptRefusedError unless every check passes."""
    return accept_receipt(octets, keys, subject, now).receipt


def accept_receipt(
    octets: bytes,
    keys: KeyDocument,
    subject: Subject,
    now: datetime,
    roots: Sequence[x509.Certificate] = (),
) -> Accepted:
    """Return the receipt of this file, and its time; raise ReceiptRefusedError unless all is right.

    ``roots`` are the time-stamping authorities that the verifier trusts. With them, a timestamp
    must be good. Without them it proves nothing, and nobody looks at it.
    """
    envelope = _read_envelope(octets)
    key = _find_key(envelope, keys)
    check_signature(envelope.signature, envelope.signed_bytes, key)
    receipt = _read_receipt(envelope)
    timestamped_at = _find_time(envelope, receipt, roots)
    _check_times(receipt, key, now)
    _check_revocation(key, envelope, timestamped_at)
    _check_subject(receipt, subject)
    _check_registry(receipt, keys, subject)
    return Accepted(receipt, timestamped_at)


def _read_envelope(octets: bytes) -> Envelope:
    try:
        envelope = Envelope.read(octets)
    except MalformedEnvelopeError as error:
        raise ReceiptRefusedError(
            "malformed-envelope", f"the receipt is not an envelope: {error}"
        ) from None
    if envelope.payload_type != STATEMENT_TYPE:
        raise ReceiptRefusedError(
            "foreign-payload", "the envelope does not hold an in-toto statement"
        )
    return envelope


def _find_key(envelope: Envelope, keys: KeyDocument) -> ReceiptKey:
    key = keys.keys.get(envelope.signature.key_id)
    if key is None:
        raise ReceiptRefusedError(
            "unknown-key", "the receipt names a key that the registry does not have"
        )
    return key


def check_signature(signature: Signature, message: bytes, key: ReceiptKey) -> None:
    """Check that a key has signed a message; raise ReceiptRefusedError."""
    x, y = (int.from_bytes(urlsafe_b64decode(each + "=")) for each in (key.x, key.y))
    try:
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError:
        raise ReceiptRefusedError("unusable-key", "the key is not a point on P-256") from None
    try:
        public.verify(signature.octets, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise ReceiptRefusedError(
            "wrong-signature", "the key has not signed this receipt"
        ) from None


def _read_receipt(envelope: Envelope) -> Receipt:
    try:
        return Receipt.read(envelope.payload)
    except ForeignStatementError as error:
        raise ReceiptRefusedError(
            "foreign-statement", f"the statement is no receipt: {error}"
        ) from None
    except MalformedReceiptError as error:
        raise ReceiptRefusedError(
            "malformed-receipt", f"the receipt is malformed: {error}"
        ) from None


def _find_time(
    envelope: Envelope, receipt: Receipt, roots: Sequence[x509.Certificate]
) -> datetime | None:
    """Return when the signature existed, as a trusted authority says; None without a timestamp."""
    if envelope.timestamp is None or not roots:
        return None
    try:
        at = verify_timestamp(envelope.timestamp, envelope.signature.octets, roots)
    except TimestampError as error:
        raise ReceiptRefusedError(
            "wrong-timestamp", f"the timestamp is not good: {error}"
        ) from None
    if receipt.signed_at - at > LEEWAY:
        raise ReceiptRefusedError(
            "wrong-timestamp", "the receipt says that it is younger than its timestamp"
        )
    return at


def _check_times(receipt: Receipt, key: ReceiptKey, now: datetime) -> None:
    at = receipt.signed_at
    if at > now + LEEWAY:
        raise ReceiptRefusedError(
            "from-the-future", f"the receipt says it was made at {write_time(at)}"
        )
    if at < key.not_before - LEEWAY:
        begin = write_time(key.not_before)
        raise ReceiptRefusedError(
            "key-not-yet-valid", f"the key of the receipt signs from {begin} on"
        )
    if key.not_after is not None and at > key.not_after + LEEWAY:
        end = write_time(key.not_after)
        raise ReceiptRefusedError(
            "key-expired", f"the key of the receipt has not signed since {end}"
        )


def _check_revocation(key: ReceiptKey, envelope: Envelope, timestamped_at: datetime | None) -> None:
    """Refuse a receipt of a revoked key, unless a timestamp proves that the receipt is older.

    Its own time proves nothing: a thief of the key writes what time it should have.
    """
    if key.revocation is None:
        return
    since = key.revocation.since
    if timestamped_at is not None and timestamped_at < since:
        return
    revoked = f"the key of the receipt is revoked since {write_time(since)}"
    raise ReceiptRefusedError(
        "revoked-key", f"{revoked}: {key.revocation.reason}; {_why(envelope, timestamped_at)}"
    )


def _why(envelope: Envelope, timestamped_at: datetime | None) -> str:
    """Return why no timestamp saves a receipt of a revoked key."""
    if timestamped_at is not None:
        return f"the receipt has a timestamp of {write_time(timestamped_at)}"
    if envelope.timestamp is None:
        return "the receipt has no timestamp that proves that it is older"
    return "its timestamp may prove that it is older: give the authority's certificates"


def _check_subject(receipt: Receipt, subject: Subject) -> None:
    if receipt.sha256 != subject.sha256:
        raise ReceiptRefusedError(
            "wrong-digest",
            f"the receipt is for a file with the sha256 {receipt.sha256}, and this one has "
            f"{subject.sha256}",
        )
    if receipt.filename != subject.filename:
        raise ReceiptRefusedError("wrong-name", f"the receipt is for the file `{receipt.filename}`")
    if subject.size is not None and receipt.size != subject.size:
        raise ReceiptRefusedError(
            "wrong-size", f"the receipt is for a file of {receipt.size} bytes"
        )


def _check_registry(receipt: Receipt, keys: KeyDocument, subject: Subject) -> None:
    if receipt.host != keys.host:
        raise ReceiptRefusedError(
            "other-deployment", f"the receipt is of a registry at {receipt.host}"
        )
    for name in (keys.registry, subject.registry):
        if name is not None and name != receipt.registry:
            raise ReceiptRefusedError(
                "other-registry", f"the receipt is of the registry `{receipt.registry}`"
            )
