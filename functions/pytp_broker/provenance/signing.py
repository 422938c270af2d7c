"""Sign receipts: with a key of KMS on AWS, or with a key in the data folder of one machine."""

from datetime import datetime, timedelta
from typing import Protocol

from pytp_broker.errors import ReceiptUnsigned
from pytp_broker.provenance.dsse import Signature
from pytp_broker.provenance.receipt_keys import ReceiptKey


class Signer(Protocol):
    """Signs with the key that is in force now."""

    def sign(self, message: bytes) -> Signature:
        """Return the signature of a message: ECDSA on P-256 with SHA-256, in DER.

        Raises ReceiptUnsigned if nothing can be signed now.
        """


class KeyMaker(Protocol):
    """Makes private keys where the signer finds them, for the operator's commands."""

    @property
    def delay(self) -> timedelta:
        """Return how long it may take until a new key can sign everywhere."""

    @property
    def lead(self) -> timedelta:
        """Return by how much our clock may be ahead of those that choose a key."""

    def make(self, not_before: datetime) -> ReceiptKey:
        """Make a private key; return its public key. Raises StoreUnavailable."""

    def make_first(self, not_before: datetime) -> ReceiptKey | None:
        """Return the key for a broker without any; None if it cannot be made. As ``make``."""


class NoSigner:
    """The signer of a function that publishes nothing: nobody asks it."""

    def sign(self, message: bytes) -> Signature:
        """Raise ReceiptUnsigned."""
        raise ReceiptUnsigned(f"no signer for {len(message)} bytes")
