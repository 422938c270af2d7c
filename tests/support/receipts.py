"""Receipts of files in a test: who makes them, and what a consumer finds in them."""

from datetime import datetime
from typing import Final

from pytp_broker.index.receipts import Notary
from pytp_broker.provenance.checking import Subject, check_receipt
from pytp_broker.provenance.receipts import Receipt
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import FileStore, receipt_key
from tests.support.deployment import HOST
from tests.support.fakes import stored_bytes
from tests.support.receipt_signing import TestSigner
from tests.support.signing import NOW

AUDIT: Final = "a" * 64


def notary(files: FileStore, now: datetime = NOW) -> Notary:
    """Return what makes the receipts of a deployment in a test."""
    return Notary(HOST, TestSigner(), files, lambda: now)


def read_receipt(file: PublishedFile, files: FileStore, now: datetime = NOW) -> Receipt:
    """Return the stored receipt of a file, after every check that a consumer makes."""
    assert file.receipt_sha256 is not None
    octets = stored_bytes(files, receipt_key(file.registry, file.receipt_sha256, file.filename))
    subject = Subject(file.filename, file.sha256, file.size, file.registry)
    return check_receipt(octets, TestSigner().published(HOST), subject, now)
