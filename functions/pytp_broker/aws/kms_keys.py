"""The keys of receipts in AWS KMS, as the operator's commands make and find them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from pytp_broker.aws.api.errors import CallError
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.receipt_keys import ReceiptKey, key_from_point

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

# The upload function may sign with the keys that have this tag with the name of its stack.
TAG: Final = "pytp-broker-stack"


@dataclass(frozen=True, slots=True)
class KmsKeys:
    """Makes keys for the stack of this name.

    ``of_template`` is the key that the stack's template has made. ``given`` is a key that the
    operator has made, to be used in place of a new one.
    """

    make_client: Callable[[], "KMSClient"]
    stack: str | None = None
    of_template: str | None = None
    given: str | None = None

    # A new key, and a permission that depends on its tag, may take "several minutes" to be known
    # everywhere in KMS (AWS KMS Developer Guide, "Eventual consistency").
    delay: ClassVar[timedelta] = timedelta(minutes=5)
    # The clock of an operator's machine may be ahead of those of the functions.
    lead: ClassVar[timedelta] = timedelta(minutes=5)

    def make(self, not_before: datetime) -> ReceiptKey:
        """Return the public key of a new private key, or of the given one.

        Raises StoreUnavailable.
        """
        return self._read(self.given or self._create(), not_before)

    def make_first(self, not_before: datetime) -> ReceiptKey | None:
        """Return the key that the stack came with, if it has one; raise StoreUnavailable."""
        return self._read(self.of_template, not_before) if self.of_template else None

    def _create(self) -> str:
        if self.stack is None:
            raise StoreUnavailable(
                "--table does not say for which stack a new key would be: name the broker with "
                "--stack, or a key of KMS with --kms-key"
            )
        with _failures_told("make a key"):
            answer = self.make_client().create_key(
                Description=f"Signs the receipts of published files ({self.stack})",
                KeySpec="ECC_NIST_P256",
                KeyUsage="SIGN_VERIFY",
                Tags=[{"TagKey": TAG, "TagValue": self.stack}],
            )
        return answer["KeyMetadata"]["Arn"]

    def _read(self, key_id: str, not_before: datetime) -> ReceiptKey:
        with _failures_told("read the public key"):
            answer = self.make_client().get_public_key(KeyId=key_id)
        public_key = load_der_public_key(answer["PublicKey"])
        if answer["KeyUsage"] != "SIGN_VERIFY" or not _is_on_our_curve(public_key):
            raise StoreUnavailable(
                f"the key {key_id} cannot sign receipts: make one with the key spec ECC_NIST_P256 "
                "and the key usage SIGN_VERIFY"
            )
        point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return key_from_point(point, not_before, location=answer["KeyId"])


def _is_on_our_curve(key: object) -> bool:
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


@contextmanager
def _failures_told(doing: str) -> Iterator[None]:
    """Raise StoreUnavailable while AWS's own error is handled: the command prints that."""
    try:
        yield
    except CallError as error:
        raise StoreUnavailable(f"KMS did not {doing}", operator_detail=error.cause) from None
