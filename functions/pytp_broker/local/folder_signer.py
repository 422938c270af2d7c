"""Sign receipts with a key in the data folder."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.errors import ReceiptUnsigned
from pytp_broker.local.key_folder import KeyFileError, KeyFolder
from pytp_broker.provenance.dsse import Signature
from pytp_broker.provenance.receipt_keys import ReceiptKey, oldest_first
from pytp_broker.storage.protocols import Store


class FolderSigner:
    """A Signer with the private keys of a data folder.

    It reads the store and the file for each signature. So a new key and a revocation take effect at
    once, and it notices a file that is missing or that others may read.
    """

    def __init__(
        self,
        folder: KeyFolder,
        list_keys: Callable[[], Sequence[ReceiptKey]],
        now: Callable[[], datetime],
    ) -> None:
        self._folder, self._list_keys, self._now = folder, list_keys, now

    def sign(self, message: bytes) -> Signature:
        """Return the signature of a message with the newest key that is here.

        Raises StoreUnavailable.
        """
        key = self._choose()
        try:
            private_key = self._folder.load(key)
        except KeyFileError as error:
            raise ReceiptUnsigned(str(error)) from None
        return Signature(key.key_id, private_key.sign(message, ec.ECDSA(SHA256())))

    def _choose(self) -> ReceiptKey:
        """Return the newest key in force with a file, or else the newest; raise StoreUnavailable.

        Two servers on one stand-in for DynamoDB have a folder each, and so a key each.
        """
        keys = in_force(self._list_keys(), self._now())
        if not keys:
            raise ReceiptUnsigned(
                "no key of receipts is in force: make a new one with "
                "`pytp-broker receipt-key rotate`"
            )
        return next((key for key in reversed(keys) if self._folder.has(key)), keys[-1])


def open_signer(
    data: Path, store: Store, now: Callable[[], datetime], *, may_replace: bool = False
) -> FolderSigner:
    """Return the signer of a data folder, and make the first key if there is none.

    With ``may_replace`` it also makes a key if no file of those in force is here; else their files
    are lost, and an operator must decide. Raises StoreUnavailable.
    """
    folder = KeyFolder(data)
    keys = store.list_receipt_keys()
    is_lost = not any(folder.has(key) for key in in_force(keys, now()))
    if not keys or (may_replace and is_lost):
        # Another process may do the same at this moment; then there are two keys, both good.
        store.save_receipt_key(folder.make(now()), None)
    return FolderSigner(folder, store.list_receipt_keys, now)


def in_force(keys: Sequence[ReceiptKey], now: datetime) -> Sequence[ReceiptKey]:
    """Return the keys that sign now and that a folder may have, oldest first."""
    return oldest_first(key for key in keys if key.signs_at(now) and not key.location)
