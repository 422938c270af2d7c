"""Sign receipts with a key of AWS KMS, which nobody can read."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.api.kms import Kms
from pytp_broker.errors import ReceiptUnsigned
from pytp_broker.provenance.checking import ReceiptRefusedError, check_signature
from pytp_broker.provenance.dsse import Signature
from pytp_broker.provenance.receipt_keys import ReceiptKey, signing_key
from pytp_broker.services import Services
from pytp_broker.storage.cache import ReceiptKeyCache

# KMS takes no longer message.
_MAX_RAW_BYTES: Final = 4096


class KmsSigner:
    """A Signer that asks KMS. Some commands sign nothing, so the client may be made late."""

    def __init__(
        self,
        make_client: Callable[[], Kms],
        keys: ReceiptKeyCache,
        now: Callable[[], datetime],
    ) -> None:
        self._make_client, self._keys, self._now = make_client, keys, now

    def sign(self, message: bytes) -> Signature:
        """Return the signature of a message with the newest key in force.

        Raises ReceiptUnsigned if KMS does not answer, or answers with anything else.
        """
        key = self._choose()
        content, kind = _content_of(message)
        try:
            answer = self._make_client().sign(
                KeyId=key.location,
                Message=content,
                MessageType=kind,
                SigningAlgorithm="ECDSA_SHA_256",
            )
        except CallError as error:
            raise ReceiptUnsigned(f"key {key.key_id}: {error.cause}") from None
        signature = Signature(key.key_id, answer.get("Signature", b""))
        _check(signature, message, key)
        return signature

    def _choose(self) -> ReceiptKey:
        keys = [key for key in self._keys.current() if key.location]
        key = signing_key(keys, self._now())
        if key is None:
            raise ReceiptUnsigned(
                "no key of receipts is in force: run `pytp-broker apply` after the first "
                "deployment, or make a new key with `pytp-broker receipt-key rotate`"
            )
        return key


def open_signer(client: Kms) -> Callable[[Services], KmsSigner]:
    """Return what makes the signer of a function, whose client is made while it starts."""

    def make(services: Services) -> KmsSigner:
        keys = ReceiptKeyCache(services.store.list_receipt_keys)
        return KmsSigner(lambda: client, keys, services.now)

    return make


def _content_of(message: bytes) -> tuple[bytes, Literal["RAW", "DIGEST"]]:
    """Return what KMS gets of a message: all of a short one, and the hash of another.

    The signatures are the same. We could always send the hash, but moto signs no hash.
    """
    if len(message) <= _MAX_RAW_BYTES:
        return message, "RAW"
    return hashlib.sha256(message).digest(), "DIGEST"


def _check(signature: Signature, message: bytes, key: ReceiptKey) -> None:
    """Check that the key that we publish verifies what KMS has signed.

    A receipt is never made again. So one that nobody can verify, such as after a mistake in the
    key's row, would stay for as long as its file.
    """
    try:
        check_signature(signature, message, key)
    except ReceiptRefusedError as error:
        raise ReceiptUnsigned(f"key {key.key_id}: the answer of KMS is wrong: {error}") from None
