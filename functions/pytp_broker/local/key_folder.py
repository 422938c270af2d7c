"""The private keys of receipts on one machine: a folder with a file for each.

A file's name is the key's id. It is made before the store knows the key, and is never removed. Who
reads such a file can sign receipts in the broker's name, so we refuse one that others may read.
"""

import os
import stat
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.receipt_keys import ReceiptKey, key_from_point

FOLDER: Final = "receipt-keys"
# A group may read it: Kubernetes gives the files of a volume to the group of the pod.
_OTHERS: Final = stat.S_IRWXO


class KeyFileError(Exception):
    """A private key cannot be used; the text says which file, why, and what to do."""


class KeyFolder:
    """The private keys in a data folder, and the KeyMaker of such a broker."""

    # The signer reads the folder, with the same clock.
    delay: ClassVar[timedelta] = timedelta(0)
    lead: ClassVar[timedelta] = timedelta(0)

    def __init__(self, data: Path) -> None:
        self._data = data
        self._folder = data / FOLDER

    def make(self, not_before: datetime) -> ReceiptKey:
        """Write a new private key, durably; return its public key. Raises StoreUnavailable."""
        private_key = ec.generate_private_key(ec.SECP256R1())
        key = key_from_point(_point_of(private_key), not_before)
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._path(key), pem)
        except OSError as error:
            cause = f"{self._folder}: {error.strerror}"
            raise StoreUnavailable("the key cannot be written", operator_detail=cause) from None
        return key

    def make_first(self, not_before: datetime) -> None:
        """Return None: ``serve`` makes the first key when it starts."""

    def has(self, key: ReceiptKey) -> bool:
        """Say whether there is a file for a key, good or bad."""
        return self._path(key).exists()

    def load(self, key: ReceiptKey) -> ec.EllipticCurvePrivateKey:
        """Return the private key of a public one; raise KeyFileError."""
        path = self._path(key)
        try:
            private_key = load_pem_private_key(_read(path), password=None)
        except FileNotFoundError:
            raise KeyFileError(f"{path} is missing; {self._cure}") from None
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a passphrase
            raise KeyFileError(f"{path} is not a private key in PEM; {self._cure}") from None
        if not isinstance(private_key, ec.EllipticCurvePrivateKey) or not _is_of(private_key, key):
            raise KeyFileError(f"{path} is the private key of another key; {self._cure}")
        return private_key

    @property
    def _cure(self) -> str:
        return (
            "restore it from a backup of the data folder, or make a new key: "
            f"pytp-broker receipt-key rotate --data {self._data}"
        )

    def _path(self, key: ReceiptKey) -> Path:
        return self._folder / f"{key.key_id}.pem"


def _read(path: Path) -> bytes:
    """Return the content of a file that no other user can read; raise KeyFileError, OSError."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and mode & _OTHERS:  # pragma: no branch - Windows has no such mode
            raise KeyFileError(
                f"other users may read {path}, so others can have the private key: revoke the key "
                f"with `pytp-broker receipt-key revoke`, or run `chmod 600 {path}` if you know "
                "that nobody has read it"
            )
        return file.read()


def _write(path: Path, content: bytes) -> None:
    """Write a new file that nobody but its owner can read at any moment."""
    with open(path, "xb", opener=partial(os.open, mode=0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_folders(path.parent, path.parent.parent)


def _sync_folders(*folders: Path) -> None:
    """Make new names durable: a power failure must not take a key that the store knows."""
    for folder in folders if os.name == "posix" else ():  # pragma: no branch - nor on Windows
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_of(private_key: ec.EllipticCurvePrivateKey, key: ReceiptKey) -> bool:
    if not isinstance(private_key.curve, ec.SECP256R1):
        return False
    return key_from_point(_point_of(private_key), key.not_before).key_id == key.key_id


def _point_of(private_key: ec.EllipticCurvePrivateKey) -> bytes:
    return private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
