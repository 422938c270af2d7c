"""Store what was inspected: the bytes of a file under their hash, and the record of the file."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from pytp_broker.content import Held
from pytp_broker.errors import FileReserved
from pytp_broker.index.inspection import Facts
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import FileStore, keys_of
from pytp_broker.storage.project_files import Announcement
from pytp_broker.storage.protocols import FileRecordStore, ReservedError


def describe(
    facts: Facts, *, registry: str, uploaded_at: datetime, published_by: Mapping[str, str]
) -> PublishedFile:
    """Return the record of a file that passed every check."""
    candidate, metadata = facts.candidate, facts.metadata
    return PublishedFile(
        registry=registry,
        project=candidate.distribution.project,
        version=str(metadata.version),
        filename=candidate.distribution.filename,
        sha256=candidate.sha256,
        size=candidate.content.size,
        metadata_sha256=hashlib.sha256(facts.metadata_file).hexdigest(),
        requires_python=metadata.requires_python,
        uploaded_at=uploaded_at,
        published_by=published_by,
        has_static_dependencies=metadata.has_static_dependencies,
    )


def save_bytes(file: PublishedFile, facts: Facts, files: FileStore) -> None:
    """Store the bytes of a file and of its metadata file; nobody can see them yet."""
    for save in saves(file, facts, files):
        save()


def saves(
    file: PublishedFile, facts: Facts, files: FileStore
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the two calls that store the bytes of a file and of its metadata file."""
    content, metadata = keys_of(file)
    return (
        partial(files.save, content, facts.candidate.content, file.sha256),
        partial(files.save, metadata, Held(facts.metadata_file), file.metadata_sha256),
    )


def make_visible(
    file: PublishedFile, store: FileRecordStore, announcement: Announcement | None = None
) -> None:
    """Make a file visible whose bytes are stored.

    Raises AlreadyPublishedError, or FileReserved while a session publishes a file of its name.
    """
    try:
        store.add_file(file, announcement)
    except ReservedError:
        raise FileReserved(
            f"a publishing session publishes `{file.filename}` right now: wait a minute, then "
            "upload the file again if the registry does not have it"
        ) from None
