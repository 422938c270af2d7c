"""Receipts are signed by KMS: with the newest key in force, or not at all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.aws.api.errors import UnansweredError
from pytp_broker.aws.kms_signer import KmsSigner, open_signer
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.checking import check_signature
from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.storage.cache import CONFIGURATION_MAX_AGE_SECONDS, ReceiptKeyCache
from tests.support.fakes import MemoryStore
from tests.support.receipt_signing import make_private_key, receipt_key_of
from tests.support.refusals import refused
from tests.support.signing import NOW
from tests.support.world import World

MESSAGE = b"a receipt"


class Kms:
    """A client of KMS that has a private key for each ARN, and counts what it is asked."""

    def __init__(self, **keys: ec.EllipticCurvePrivateKey) -> None:
        self.keys = {_arn(name): key for name, key in keys.items()}
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[bytes], dict[str, Any]] | None = None

    def sign(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        assert request["SigningAlgorithm"] == "ECDSA_SHA_256"
        assert len(request["Message"]) <= 4096
        is_raw = {"RAW": True, "DIGEST": False}[request["MessageType"]]
        algorithm = SHA256() if is_raw else Prehashed(SHA256())
        octets = self.keys[request["KeyId"]].sign(request["Message"], ec.ECDSA(algorithm))
        return {"Signature": octets} if self.answer is None else self.answer(octets)


def _arn(name: str) -> str:
    return f"arn:aws:kms:eu-west-1:123456789012:key/{name}"


class Site:
    """A store with keys, a clock, and the signer of a function."""

    def __init__(self, **keys: timedelta) -> None:
        self.store, self.seconds = MemoryStore(), 0.0
        self.kms = Kms(**{name: make_private_key(name) for name in keys})
        for name, ago in keys.items():
            self.add(receipt_key_of(make_private_key(name), NOW - ago, _arn(name)))
        cache = ReceiptKeyCache(self.store.list_receipt_keys, [lambda: self.seconds])
        self.signer = KmsSigner(lambda: self.kms, cache, lambda: NOW)  # type: ignore[arg-type, return-value]

    def add(self, key: ReceiptKey, present: ReceiptKey | None = None) -> None:
        assert self.store.save_receipt_key(key, present)

    def key(self, name: str) -> ReceiptKey:
        (found,) = (k for k in self.store.receipt_keys.values() if k.location == _arn(name))
        return found

    def refusal(self) -> str:
        """Return what the operator learns; the caller learns nothing of it."""
        with pytest.raises(StoreUnavailable) as refused:
            self.signer.sign(MESSAGE)
        assert refused.value.detail == "the registry cannot sign a receipt now; try again later"
        return refused.value.operator_detail


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 100_000])
def test_kms_signs_a_message_of_any_length_and_the_published_key_verifies_it(size: int) -> None:
    site = Site(first=timedelta(days=1))
    message = b"x" * size

    signature = site.signer.sign(message)

    assert signature.key_id == site.key("first").key_id
    check_signature(signature, message, site.key("first"))


def test_the_newest_key_in_force_signs() -> None:
    site = Site(old=timedelta(days=2), new=timedelta(0), to_come=timedelta(seconds=-1))

    assert site.signer.sign(MESSAGE).key_id == site.key("new").key_id


def test_a_key_whose_private_key_is_elsewhere_signs_nothing() -> None:
    site = Site(first=timedelta(days=1))
    site.add(receipt_key_of(make_private_key("local"), NOW))

    assert site.signer.sign(MESSAGE).key_id == site.key("first").key_id


def test_a_deployment_without_a_key_says_what_to_do() -> None:
    assert "run `pytp-broker apply` after the first deployment" in Site().refusal()


@pytest.mark.promise("revoked-key")
def test_a_revoked_key_signs_nothing_ten_seconds_later() -> None:
    site = Site(first=timedelta(days=1))
    site.signer.sign(MESSAGE)
    present = site.key("first")
    site.add(present.revoked(NOW, "lost"), present)

    site.seconds = CONFIGURATION_MAX_AGE_SECONDS

    assert "no key of receipts is in force" in site.refusal()


def test_the_keys_are_read_once_in_ten_seconds() -> None:
    site = Site(first=timedelta(days=1))

    for seconds in (0.0, 5.0, CONFIGURATION_MAX_AGE_SECONDS - 0.1):
        site.seconds = seconds
        site.signer.sign(MESSAGE)

    assert site.store.calls.count("list_receipt_keys") == 1


def test_keys_that_cannot_be_read_are_the_stores_failure() -> None:
    site = Site(first=timedelta(days=1))
    site.store.fail_next("list_receipt_keys")

    with pytest.raises(StoreUnavailable, match="the store does not answer"):
        site.signer.sign(MESSAGE)
    assert site.kms.asked == []


def test_the_signer_of_a_function_reads_the_keys_of_its_store() -> None:
    world, kms = World(), Kms(first=make_private_key("first"))
    key = receipt_key_of(make_private_key("first"), NOW, _arn("first"))
    world.store.save_receipt_key(key, None)
    client: Any = kms

    signature = open_signer(client)(world.index).sign(MESSAGE)

    check_signature(signature, MESSAGE, key)


THROTTLED = refused("Sign", "ThrottlingException")
DENIED = refused("Sign", "AccessDeniedException", "User arn:aws:sts::1:x is not")
SLOW = UnansweredError("Sign", "TimeoutError", "https://kms.example.com")
AWAY = UnansweredError("Sign", "gaierror", "https://kms.example.com")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (THROTTLED, "Sign: ThrottlingException"),
        (DENIED, "Sign: AccessDeniedException"),
        (SLOW, "Sign: TimeoutError"),
        (AWAY, "Sign: gaierror"),
    ],
)
def test_a_kms_that_does_not_sign_is_told_with_its_error_and_without_its_message(
    error: Exception, cause: str
) -> None:
    site = Site(first=timedelta(days=1))

    def fail(_octets: bytes) -> dict[str, Any]:
        raise error

    site.kms.answer = fail

    assert site.refusal() == f"key {site.key('first').key_id}: {cause}"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Signature": b""},
        {"Signature": b"\x30\x06\x02\x01\x00\x02\x01\x00"},
        {"Signature": b"\x00" * 100_000},
        {"Signature": make_private_key("another").sign(MESSAGE, ec.ECDSA(SHA256()))},
    ],
    ids=["nothing", "empty", "zeros", "huge", "of another key"],
)
def test_an_answer_that_the_published_key_does_not_verify_is_refused(
    answer: dict[str, Any],
) -> None:
    site = Site(first=timedelta(days=1))
    site.kms.answer = lambda _octets: answer

    assert "the answer of KMS is wrong" in site.refusal()
