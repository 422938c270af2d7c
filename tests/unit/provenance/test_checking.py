"""A receipt is accepted only after every check, and each mutated one is refused for its reason."""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from pytp_broker.provenance.checking import LEEWAY, ReceiptRefusedError, Subject, check_receipt
from pytp_broker.provenance.dsse import (
    MAX_ENVELOPE_BYTES,
    STATEMENT_TYPE,
    Envelope,
    Signature,
    canonical,
    encode_signed,
)
from pytp_broker.provenance.receipt_keys import KeyDocument, ReceiptKey
from pytp_broker.provenance.receipts import PREDICATE_TYPE, Kind, Publication, Receipt
from tests.support.receipt_signing import TestSigner, make_private_key

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOST = "packages.example.com"
SIGNER, THIEF = TestSigner(), TestSigner("a thief")
RECEIPT = Receipt(
    filename="widgets-1.0.tar.gz",
    sha256="0a" * 32,
    size=1234,
    host=HOST,
    registry="acme",
    project="widgets",
    version="1.0",
    uploaded_at=NOW,
    signed_at=NOW,
    publication=Publication(kind=Kind.JOB, issuer="https://ci.example.com"),
)
SUBJECT = Subject(RECEIPT.filename, RECEIPT.sha256, RECEIPT.size, "acme")
KEYS = SIGNER.published(HOST, "acme")

Change: TypeAlias = Callable[[Any], object]


def seal(
    payload: bytes, payload_type: str = STATEMENT_TYPE, signer: TestSigner = SIGNER
) -> Envelope:
    """Return an envelope whose signature is good."""
    signature = signer.sign(encode_signed(payload, payload_type))
    return Envelope(payload, signature, payload_type=payload_type)


GOOD = seal(RECEIPT.write())


def say(**changes: Any) -> bytes:
    """Return the envelope of a receipt that the registry signed, but that says something else."""
    return seal(replace(RECEIPT, **changes).write()).write()


def rewritten(change: Change) -> bytes:
    """Return the good envelope after a change of its JSON."""
    document = json.loads(GOOD.write())
    change(document)
    return canonical(document)


def restated(change: Change) -> bytes:
    """Return an envelope with a good signature over a changed statement."""
    document = json.loads(GOOD.payload)
    change(document)
    return seal(canonical(document)).write()


def signed_as(octets: bytes) -> bytes:
    """Return the good envelope with another signature."""
    return replace(GOOD, signature=Signature(SIGNER.key.key_id, octets)).write()


def keys_with(**changes: Any) -> KeyDocument:
    return replace(KEYS, keys={SIGNER.key.key_id: replace(SIGNER.key, **changes)})


@dataclass(frozen=True)
class Case:
    """A mutated receipt, or a good one for other keys, another file, another time."""

    octets: Callable[[], bytes] = GOOD.write
    keys: KeyDocument = KEYS
    subject: Subject = SUBJECT
    now: datetime = NOW


def set_signature(document: Any, **changes: Any) -> None:
    document["signatures"][0].update(changes)


def raw(signature: bytes) -> bytes:
    """Return a signature in the form of JWS: two numbers, and no DER."""
    return b"".join(number.to_bytes(32) for number in decode_dss_signature(signature))


def twice(text: bytes, member: bytes) -> bytes:
    """Return JSON in which a member is there twice."""
    begin = text.index(member)
    end = text.index(b",", begin) + 1
    return text[:begin] + text[begin:end] + text[begin:]


def signature_of_hmac_like_key() -> bytes:
    """Return a signature that anybody can make who knows the public key alone."""
    return hmac.digest(SIGNER.key.x.encode(), GOOD.signed_bytes, "sha256")


P384 = ec.derive_private_key(7, ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(b"7" * 32)
RSA = rsa.generate_private_key(65537, 2048)
PRIVATE = make_private_key()
OFF_CURVE = ReceiptKey(x="A" * 43, y="A" * 43, not_before=SIGNER.key.not_before)

MUTATED: dict[str, tuple[str, Case]] = {
    # Not an envelope
    "nothing": ("malformed-envelope", Case(lambda: b"")),
    "truncated": ("malformed-envelope", Case(lambda: GOOD.write()[:-20])),
    "the file itself": ("malformed-envelope", Case(lambda: b"PK\x03\x04")),
    "a web page": ("malformed-envelope", Case(lambda: b"<!doctype html><title>receipt</title>")),
    "huge": ("malformed-envelope", Case(lambda: GOOD.write() + b" " * MAX_ENVELOPE_BYTES)),
    "deep": ("malformed-envelope", Case(lambda: b'{"payload":' * 5000 + b"1" + b"}" * 5000)),
    "duplicate member": (
        "malformed-envelope",
        Case(lambda: twice(GOOD.write(), b'"payload"')),
    ),
    "duplicate type": (
        "malformed-envelope",
        Case(lambda: GOOD.write()[:-1] + b',"payloadType":"text/plain"}'),
    ),
    "extra signature": (
        "malformed-envelope",
        Case(lambda: rewritten(lambda d: d["signatures"].append(d["signatures"][0]))),
    ),
    "extra signature of a thief": (
        "malformed-envelope",
        Case(
            lambda: rewritten(
                lambda d: d["signatures"].insert(0, {"keyid": THIEF.key.key_id, "sig": "AA=="})
            )
        ),
    ),
    "no signature": ("malformed-envelope", Case(lambda: rewritten(lambda d: d.pop("signatures")))),
    "empty signature": (
        "malformed-envelope",
        Case(lambda: rewritten(lambda d: set_signature(d, sig=""))),
    ),
    "the payload without its envelope": (
        "malformed-envelope",
        Case(lambda: GOOD.payload),
    ),
    # Another type
    "foreign payload type": (
        "foreign-payload",
        Case(lambda: seal(GOOD.payload, "application/json").write()),
    ),
    "type changed after signing": (
        "foreign-payload",
        Case(lambda: rewritten(lambda d: d.update(payloadType="text/plain"))),
    ),
    # Another key
    "key of a thief": (
        "unknown-key",
        Case(lambda: seal(GOOD.payload, signer=THIEF).write()),
    ),
    "no keys": ("unknown-key", Case(keys=replace(KEYS, keys={}))),
    "thief's signature under the good key's id": (
        "wrong-signature",
        Case(lambda: signed_as(THIEF.sign(GOOD.signed_bytes).octets)),
    ),
    "key that is no point on the curve": (
        "unusable-key",
        Case(
            lambda: replace(GOOD, signature=Signature(OFF_CURVE.key_id, b"sig")).write(),
            keys=replace(KEYS, keys={OFF_CURVE.key_id: OFF_CURVE}),
        ),
    ),
    # Another signature
    "payload changed after signing": (
        "wrong-signature",
        Case(lambda: replace(GOOD, payload=GOOD.payload.replace(b"widgets", b"gadgets")).write()),
    ),
    "swapped envelope": (
        "wrong-signature",
        Case(
            lambda: replace(
                GOOD, payload=replace(RECEIPT, version="2.0", filename="widgets-2.0.tar.gz").write()
            ).write()
        ),
    ),
    "signature over the payload alone": (
        "wrong-signature",
        Case(lambda: signed_as(SIGNER.sign(GOOD.payload).octets)),
    ),
    "signature over another encoding": (
        "wrong-signature",
        Case(lambda: signed_as(SIGNER.sign(base64.b64encode(GOOD.payload)).octets)),
    ),
    "algorithm confusion: SHA-384": (
        "wrong-signature",
        Case(lambda: signed_as(PRIVATE.sign(GOOD.signed_bytes, ec.ECDSA(SHA384())))),
    ),
    "algorithm confusion: P-384": (
        "wrong-signature",
        Case(lambda: signed_as(P384.sign(GOOD.signed_bytes, ec.ECDSA(SHA256())))),
    ),
    "algorithm confusion: Ed25519": (
        "wrong-signature",
        Case(lambda: signed_as(ED25519.sign(GOOD.signed_bytes))),
    ),
    "algorithm confusion: RSA": (
        "wrong-signature",
        Case(lambda: signed_as(RSA.sign(GOOD.signed_bytes, PKCS1v15(), SHA256()))),
    ),
    "algorithm confusion: HMAC with the public key": (
        "wrong-signature",
        Case(lambda: signed_as(signature_of_hmac_like_key())),
    ),
    "raw signature, as in a JWS": (
        "wrong-signature",
        Case(lambda: signed_as(raw(GOOD.signature.octets))),
    ),
    "zeros": ("wrong-signature", Case(lambda: signed_as(bytes.fromhex("3006020100020100")))),
    "garbage after the signature": (
        "wrong-signature",
        Case(lambda: signed_as(GOOD.signature.octets + b"\0")),
    ),
    # Another statement
    "statement of another version": (
        "foreign-statement",
        Case(lambda: restated(lambda d: d.update(_type="https://in-toto.io/Statement/v0.1"))),
    ),
    "foreign predicate type": (
        "foreign-statement",
        Case(lambda: restated(lambda d: d.update(predicateType="https://slsa.dev/provenance/v1"))),
    ),
    "later predicate type": (
        "foreign-statement",
        Case(lambda: restated(lambda d: d.update(predicateType=f"{PREDICATE_TYPE[:-1]}2"))),
    ),
    "two subjects": (
        "malformed-receipt",
        Case(lambda: restated(lambda d: d["subject"].append(d["subject"][0]))),
    ),
    "no subject": ("malformed-receipt", Case(lambda: restated(lambda d: d.pop("subject")))),
    "duplicate member in the statement": (
        "malformed-receipt",
        Case(lambda: seal(twice(GOOD.payload, b'"project"')).write()),
    ),
    "deep statement": ("malformed-receipt", Case(lambda: seal(b"[" * 20_000).write())),
    "signed bytes that are no JSON": ("malformed-receipt", Case(lambda: seal(b"receipt").write())),
    "no publication": (
        "malformed-receipt",
        Case(lambda: restated(lambda d: d["predicate"].pop("publication"))),
    ),
    # Another time
    "from the future": ("from-the-future", Case(lambda: say(signed_at=NOW + LEEWAY * 2))),
    "before its key": (
        "key-not-yet-valid",
        Case(keys=keys_with(not_before=NOW + LEEWAY * 2)),
    ),
    "after its key": ("key-expired", Case(keys=keys_with(not_after=NOW - LEEWAY * 2))),
    "revoked key": (
        "revoked-key",
        Case(keys=replace(KEYS, keys={SIGNER.key.key_id: SIGNER.key.revoked(NOW, "stolen")})),
    ),
    "key revoked after the receipt": (
        "revoked-key",
        Case(
            keys=replace(
                KEYS,
                keys={SIGNER.key.key_id: SIGNER.key.revoked(NOW + timedelta(days=9), "stolen")},
            )
        ),
    ),
    # Another file
    "wrong digest": ("wrong-digest", Case(subject=replace(SUBJECT, sha256="0b" * 32))),
    "digest in capitals": ("wrong-digest", Case(lambda: say(sha256=RECEIPT.sha256.upper()))),
    "wrong subject": ("wrong-name", Case(subject=replace(SUBJECT, filename="gadgets-1.0.tar.gz"))),
    "name with a direction mark": (
        "wrong-name",
        Case(lambda: say(filename="\N{RIGHT-TO-LEFT OVERRIDE}widgets-1.0.tar.gz")),
    ),
    "wrong size": ("wrong-size", Case(subject=replace(SUBJECT, size=1235))),
    # Another registry
    "other deployment": ("other-deployment", Case(lambda: say(host="evil.example.com"))),
    "host in capitals": ("other-deployment", Case(lambda: say(host=HOST.upper()))),
    "other registry, by the keys": (
        "other-registry",
        Case(
            lambda: say(registry="other"),
            subject=replace(SUBJECT, registry=None),
        ),
    ),
    "other registry, by the verifier": (
        "other-registry",
        Case(subject=replace(SUBJECT, registry="other"), keys=SIGNER.published(HOST)),
    ),
}


@pytest.mark.promise("one-thing-changed")
@pytest.mark.parametrize("name", MUTATED)
def test_a_mutated_receipt_is_refused_with_its_own_reason(name: str) -> None:
    reason, case = MUTATED[name]

    with pytest.raises(ReceiptRefusedError) as refused:
        check_receipt(case.octets(), case.keys, case.subject, case.now)

    assert refused.value.reason == reason
    assert str(refused.value)


def test_every_reason_has_a_case() -> None:
    assert {reason for reason, _ in MUTATED.values()} == {
        *("malformed-envelope", "foreign-payload", "unknown-key", "unusable-key"),
        *("wrong-signature", "foreign-statement", "malformed-receipt"),
        *("from-the-future", "key-not-yet-valid", "key-expired", "revoked-key"),
        *("wrong-digest", "wrong-name", "wrong-size", "other-deployment", "other-registry"),
    }


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(subject=Subject(RECEIPT.filename, RECEIPT.sha256)),
        Case(keys=SIGNER.published(HOST)),
        Case(keys=keys_with(not_before=NOW + LEEWAY)),
        Case(keys=keys_with(not_after=NOW - LEEWAY)),
        Case(lambda: say(signed_at=NOW + LEEWAY)),
        Case(now=NOW + timedelta(days=9000)),
        Case(lambda: rewritten(lambda d: d.update(novel=[1]))),
    ],
    ids=[
        *(
            "as signed",
            "neither size nor registry",
            "keys of all registries",
            "leeway at the begin",
        ),
        *("leeway at the end", "clock ahead", "old", "member of a later version"),
    ],
)
def test_a_good_receipt_is_accepted(case: Case) -> None:
    found = check_receipt(case.octets(), case.keys, case.subject, case.now)

    assert replace(found, signed_at=NOW) == RECEIPT


def test_no_beginning_of_an_envelope_is_accepted() -> None:
    octets = GOOD.write()

    for length in range(len(octets)):
        with pytest.raises(ReceiptRefusedError) as refused:
            check_receipt(octets[:length], KEYS, SUBJECT, NOW)
        assert refused.value.reason == "malformed-envelope"


@pytest.mark.promise("one-thing-changed")
@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_no_changed_bit_is_accepted(bit: int) -> None:
    octets = bytearray(GOOD.write())

    for place in range(len(octets)):
        octets[place] ^= bit
        with pytest.raises(ReceiptRefusedError):
            check_receipt(bytes(octets), KEYS, SUBJECT, NOW)
        octets[place] ^= bit


def test_a_refusal_of_another_file_names_both_hashes() -> None:
    with pytest.raises(ReceiptRefusedError, match=f"{'0a' * 32}, and this one has {'0b' * 32}"):
        check_receipt(GOOD.write(), KEYS, replace(SUBJECT, sha256="0b" * 32), NOW)


def test_a_refusal_says_since_when_a_key_is_revoked_and_why() -> None:
    keys = replace(KEYS, keys={SIGNER.key.key_id: SIGNER.key.revoked(NOW, "a laptop was stolen")})

    with pytest.raises(ReceiptRefusedError, match=r"2026-11-22T12:00:00\.000000Z: a laptop was"):
        check_receipt(GOOD.write(), keys, SUBJECT, NOW)
