"""Receipts and keys on the disk: nothing is asked, and no connection is opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytp_broker.client.verifying.evidence import (
    MAX_KEYS_BYTES,
    MAX_PROVENANCE_BYTES,
    Trusted,
    read_keys,
)
from pytp_broker.client.verifying.offers import Offered
from pytp_broker.client.verifying.outcome import NotVerifiedError, VerifyError
from pytp_broker.client.verifying.targets import HashedRequirement, Target, Unverifiable
from pytp_broker.names import NormalizedName
from pytp_broker.provenance.dsse import MAX_ENVELOPE_BYTES
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.redaction import printable

# What is called like a file, and ends in one of these, is the file's.
RECEIPT_SUFFIX: Final = ".receipt"
PROVENANCE_SUFFIX: Final = ".provenance"


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """Receipts in files; ``receipts`` is one of them, or a folder, or None: beside each file."""

    trusted: Trusted
    receipts: Path | None

    def find_receipt(self, target: Target) -> bytes:
        """Return the receipt of a file; raise NotVerifiedError."""
        path = self._path(target, RECEIPT_SUFFIX)
        octets = _read(path, MAX_ENVELOPE_BYTES)
        if octets is None:
            raise NotVerifiedError("no-receipt", f"there is no receipt {printable(str(path))}")
        return octets

    def find_provenance(self, target: Target) -> bytes | None:
        """Return the provenance object of a file; None if there is none."""
        return _read(self._path(target, PROVENANCE_SUFFIX), MAX_PROVENANCE_BYTES)

    def find_files(self, requirement: HashedRequirement) -> Iterator[Target | Unverifiable]:
        """Yield the requirement: without its index, nobody knows which files it means."""
        error = NotVerifiedError(
            "no-index", "a requirements file names no files: name the index with --index"
        )
        yield Unverifiable(requirement.project, requirement.source, error, requirement.project)

    def list_files(self, project: NormalizedName) -> Sequence[Offered]:
        """Raise NotVerifiedError: only the index knows all files."""
        raise NotVerifiedError("no-index", f"only the index knows all files of {project}")

    def _path(self, target: Target, suffix: str) -> Path:
        if self.receipts is not None and not self.receipts.is_dir() and suffix == RECEIPT_SUFFIX:
            return self.receipts
        folder = self.receipts if self.receipts and self.receipts.is_dir() else target.folder
        return folder / f"{target.filename}{suffix}"


def read_keys_file(path: Path) -> KeyDocument:
    """Return the keys in a file; raise VerifyError."""
    shown = printable(str(path))
    try:
        octets = _read(path, MAX_KEYS_BYTES)
    except NotVerifiedError as error:
        raise VerifyError(f"--keys {shown}: {error}") from None
    if octets is None:
        raise VerifyError(f"--keys {shown}: there is no such file")
    return read_keys(octets, f"--keys {shown}")


def _read(path: Path, limit: int) -> bytes | None:
    """Return the bytes of a file, or a little more than the limit; None if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"{printable(str(path))} cannot be read: {error.strerror}"
        raise NotVerifiedError("unreadable", why) from None
