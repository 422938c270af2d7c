"""Check the bytes of an upload to a session, exactly as those of a legacy upload are checked."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeAlias

from pytp_broker.content import Content, Held
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.digests import SHA256, compute_digests
from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.inspection import Candidate, Facts, inspect
from pytp_broker.index.sessions.staged_bytes import content_key_of
from pytp_broker.index.storing import describe
from pytp_broker.names import METADATA_SUFFIX
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import Stored
from pytp_broker.storage.sessions import Session, StagedFile

# What is put between the content of a file and its readers.
Reading: TypeAlias = Callable[[Content], Content]


def as_it_is(content: Content) -> Content:
    """Return the content itself."""
    return content


def check_upload(
    session: Session,
    staged: StagedFile,
    published_by: Mapping[str, str],
    index: Index,
    reading: Reading = as_it_is,
) -> PublishedFile:
    """Return the record of an uploaded file that publishing will make visible.

    Its metadata file is stored beside it. Raises InvalidUpload. Nothing else is written, so it may
    be repeated.
    """
    key = content_key_of(session, staged)
    stored = check_arrived(session, staged, index)
    with ExitStack() as stack:
        try:
            content = reading(stack.enter_context(index.files.open(key)))
        except KeyError:
            raise _no_bytes(staged) from None
        _check_digests(staged, stored, content)
        facts = inspect(_candidate(staged, content))
        file = _describe(facts, session, staged, published_by, index)
    metadata = Held(facts.metadata_file)
    index.files.save(key + METADATA_SUFFIX, metadata, file.metadata_sha256)
    return file


def check_arrived(session: Session, staged: StagedFile, index: Index) -> Stored:
    """Check that as many bytes have arrived as were announced; raise InvalidUpload."""
    stored = index.files.find(content_key_of(session, staged))
    if stored is None:
        raise _no_bytes(staged)
    if stored.size != staged.size:
        raise InvalidUpload(
            f"`{staged.filename}` was announced with {staged.size} bytes, and {stored.size} arrived"
        )
    return stored


def _no_bytes(staged: StagedFile) -> InvalidUpload:
    return InvalidUpload(
        f"no bytes of `{staged.filename}` have arrived: delete the file, announce it anew, and "
        "complete it after its bytes"
    )


def _check_digests(staged: StagedFile, stored: Stored, content: Content) -> None:
    """Check each digest that was sent; a store that has compared one need not do it again."""
    known = {} if stored.sha256 is None else {SHA256: stored.sha256}
    needed = staged.hashes.keys() - known.keys()
    computed = known | (compute_digests(content, needed) if needed else {})
    for name, digest in staged.hashes.items():
        if digest != computed[name]:
            raise InvalidUpload(
                f"the {name} that was announced for `{staged.filename}` is not that of the bytes "
                "that arrived"
            )


def _candidate(staged: StagedFile, content: Content) -> Candidate:
    return Candidate(parse_filename(staged.filename), content, staged.hashes[SHA256])


def _describe(
    facts: Facts,
    session: Session,
    staged: StagedFile,
    published_by: Mapping[str, str],
    index: Index,
) -> PublishedFile:
    """Return the file's record; the time in it becomes that of the publish."""
    file = describe(
        facts, registry=session.registry, uploaded_at=index.now(), published_by=published_by
    )
    return replace(file, upload_id=staged.upload_id)
