"""Receive the bytes of one upload into a file that nobody sees before it is complete and right."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Self

from pytp_broker.file_sizes import write_size
from pytp_broker.storage.signed_puts import SignedPut


class WrongBytesError(Exception):
    """Other bytes came than those that were signed; the text says which."""


class Receiver:
    """An unfinished file for the bytes of one upload. Its context removes it, unless it was moved.

    Every method, and the context, raises OSError when the disk is full or fails.
    """

    def __init__(self, put: SignedPut, incoming: Path) -> None:
        self.put = put
        self._incoming = incoming
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        self._incoming.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()  # writes what it holds back, so a full disk fails here again
        finally:
            self.path.unlink(missing_ok=True)

    def write(self, octets: bytes) -> None:
        """Take the next bytes."""
        self._size += len(octets)
        self._hash.update(octets)
        self._file.write(octets)

    def finish(self) -> None:
        """Check that the bytes are those that were signed, and make them durable.

        Raises WrongBytesError.
        """
        if self._size != self.put.size:
            raise WrongBytesError(
                f"{write_size(self._size)} came, and the address is for {write_size(self.put.size)}"
                ": send the whole file"
            )
        if self._hash.hexdigest() != self.put.sha256:
            raise WrongBytesError(
                f"bytes with the sha256 {self._hash.hexdigest()} came, and the address is for "
                f"{self.put.sha256}: send the file that the upload session was created for"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
