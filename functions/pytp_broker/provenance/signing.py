"""Sign receipts: with a key of KMS on AWS, or with a key in the data folder of one machine."""

from typing import Protocol

from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.dsse import Signature


class Signer(Protocol):
    """Signs with the key that is in force now."""

    def sign(self, message: bytes) -> Signature:
        """Return the signature of a message: ECDSA on P-256 with SHA-256, in DER.

        Raises StoreUnavailable if nothing can be signed now.
        """


class NoSigner:
    """The signer of a function that publishes nothing: nobody asks it."""

    def sign(self, message: bytes) -> Signature:
        """Raise StoreUnavailable."""
        raise StoreUnavailable(
            "no receipt can be made here", operator_detail=f"no signer for {len(message)} bytes"
        )
