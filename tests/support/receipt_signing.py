"""A signer of receipts without a store: its key is known, and it fails when a test asks for it."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pytp_broker.provenance.dsse import Signature
from pytp_broker.provenance.receipt_keys import KeyDocument, ReceiptKey, key_from_point
from tests.support.fakes import Failing, remote

# Long before the clock of any test.
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def make_private_key(name: str = "receipts") -> ec.EllipticCurvePrivateKey:
    """Return the private key of this name, which is the same in every process."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()) >> 1  # below the group's order
    return ec.derive_private_key(number, ec.SECP256R1())


def receipt_key_of(
    private_key: ec.EllipticCurvePrivateKey, not_before: datetime, location: str = ""
) -> ReceiptKey:
    """Return the public key of a private one, as a store keeps it."""
    point = private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key_from_point(point, not_before, location)


class TestSigner(Failing):
    """A Signer: ``fail_next("sign")`` lets its next call raise StoreUnavailable."""

    __test__ = False  # it is not a class of tests

    def __init__(self, name: str = "receipts", not_before: datetime = BEGIN) -> None:
        super().__init__()
        self._private_key = make_private_key(name)
        self.key = receipt_key_of(self._private_key, not_before)

    @remote
    def sign(self, message: bytes) -> Signature:
        octets = self._private_key.sign(message, ec.ECDSA(SHA256()))
        return Signature(self.key.key_id, octets)

    def published(self, host: str, registry: str | None = None) -> KeyDocument:
        """Return the keys as a deployment publishes them."""
        return KeyDocument(host, {self.key.key_id: self.key}, registry)


def after(seconds: float) -> datetime:
    """Return a time so many seconds after the key begins to sign."""
    return BEGIN + timedelta(seconds=seconds)
