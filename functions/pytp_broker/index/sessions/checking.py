"""Check the bytes of an upload to a session, exactly as those of a legacy upload are checked."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

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


def check_upload(
    session: Session, staged: StagedFile, published_by: Mapping[str, str], index: Index
) -> PublishedFile:
    """Return the record of an uploaded file that publishing will make visible.

    Its metadata file is stored beside it. Raises InvalidUpload.
    """
    key = content_key_of(session, staged)
    stored = _find(key, staged, index)
    with ExitStack() as stack:
        try:
            content = stack.enter_context(index.files.open(key))
        except KeyError:
            raise _no_bytes(staged) from None
        _check_digests(staged, stored, content)
        facts = inspect(_candidate(staged, content))
        file = _describe(facts, session, staged, published_by, index)
    metadata = Held(facts.metadata_file)
    index.files.save(key + METADATA_SUFFIX, metadata, file.metadata_sha256)
    return file


def _find(key: str, staged: StagedFile, index: Index) -> Stored:
    stored = index.files.find(key)
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
