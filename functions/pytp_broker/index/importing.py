"""The story of an import: a file that another index has published becomes visible here.

It has the stages of an upload: ``check_name`` and ``check_digests`` say that it is what the source
offers, ``store_delivery`` inspects it, and ``commit`` makes it visible. The rules for new releases
do not hold for it: old files spell versions in several ways, and their releases are closed. A file
of the same name is never replaced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pytp_broker.content import Content
from pytp_broker.errors import FileDeleted, FileExists, InvalidUpload
from pytp_broker.index.digests import SHA256
from pytp_broker.index.distributions import Distribution, read_as, read_filename
from pytp_broker.index.inspection import Candidate, inspect
from pytp_broker.index.offers import Offer
from pytp_broker.index.receipts import Notary, certify
from pytp_broker.index.storing import describe, make_visible, save_bytes
from pytp_broker.names import NormalizedName
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.protocols import AlreadyPublishedError, FileRecordStore
from pytp_broker.storage.withdrawals import Tombstone

# S3 takes no more in one request.
MAX_FILE_BYTES: Final = 5 * 1000**3

_BOUND_TO_ITS_CONTENT: Final = frozenset({SHA256, "sha384", "sha512", "blake2b", "sha3_256"})


@dataclass(frozen=True, slots=True)
class Transfer:
    """An import as a file's record names it: the registry, the source, and who imports.

    ``audit_sha256`` is the hash of the audit record that says that the import begins.
    """

    registry: str
    source: str
    operator: str
    audit_sha256: str

    @property
    def published_by(self) -> Mapping[str, str]:
        """Return what the record of an imported file keeps in place of a job."""
        return {"imported_from": self.source, "imported_by": self.operator}


@dataclass(frozen=True, slots=True)
class Delivery:
    """The content of an offer as it arrived, with its digests."""

    content: Content
    digests: Mapping[str, str]
    uploaded_at: datetime


def check_name(offer: Offer, project: NormalizedName) -> Distribution:
    """Return what the file's name says; raise InvalidUpload, also for another project's file."""
    distribution = read_as(offer.filename, project)
    if distribution is None:
        raise InvalidUpload(
            f"the file name is for the project `{read_filename(offer.filename)[0].project}`, "
            f"but the source offers it for `{project}`"
        )
    return distribution


def store_delivery(
    distribution: Distribution, delivery: Delivery, transfer: Transfer, notary: Notary
) -> PublishedFile:
    """Check what was delivered, and store it with its receipt; nobody can see it yet.

    Raises InvalidUpload.
    """
    facts = inspect(Candidate(distribution, delivery.content, delivery.digests[SHA256]))
    file = describe(
        facts,
        registry=transfer.registry,
        uploaded_at=delivery.uploaded_at,
        published_by=transfer.published_by,
    )
    save_bytes(file, facts, notary.files)
    return certify(file, transfer.audit_sha256, notary)


def commit(file: PublishedFile, store: FileRecordStore) -> bool:
    """Make the file visible; return False if the very same file is visible already.

    Raises FileExists if other content has the name, FileDeleted, or FileReserved.
    """
    try:
        make_visible(file, store)
    except AlreadyPublishedError:
        _check_taken(file, store)
        return False
    return True


def _check_taken(file: PublishedFile, store: FileRecordStore) -> None:
    """Check that the name is taken by the same content; raise FileExists or FileDeleted."""
    place = (file.registry, file.project)
    taken = {each.filename: each for each in store.list_files(*place)}[file.filename]
    check_present(taken, store.list_withdrawn(*place).deleted.get(file.filename), file.sha256)


def check_present(existing: PublishedFile, tombstone: Tombstone | None, sha256: str) -> None:
    """Check that a source offers what is visible here under the same name.

    Raises FileExists, or FileDeleted if an operator has deleted the file here.
    """
    check_not_deleted(existing.filename, tombstone)
    if existing.sha256 != sha256:
        raise FileExists(
            f"`{existing.filename}` is published here with the sha256 {existing.sha256}, "
            f"and the source has {sha256}: a published file never changes"
        )


def check_not_deleted(filename: str, tombstone: Tombstone | None) -> None:
    """Check that no operator has deleted the file of this name here; raise FileDeleted."""
    if tombstone is not None:
        raise FileDeleted(
            f"an operator has deleted `{filename}` here ({tombstone.reason}), and the name of a "
            "deleted file is never used again"
        )


def check_digests(offer: Offer, digests: Mapping[str, str]) -> None:
    """Check what arrived against each digest that the source gives; raise InvalidUpload."""
    for algorithm, expected in offer.digests.items():
        if digests[algorithm] != expected.lower():
            raise InvalidUpload(
                f"what arrived has the {algorithm} {digests[algorithm]}, "
                f"and the source says {expected.lower()}: the file or the source is damaged"
            )


def is_verified(offer: Offer) -> bool:
    """Say whether the source gives a digest that no other content can have."""
    return not _BOUND_TO_ITS_CONTENT.isdisjoint(offer.digests)
