"""A file of a session: it is announced, its bytes arrive, or it is deleted."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import urljoin

from pytp_broker.audit.requests import StagedFileEvent
from pytp_broker.content import Content
from pytp_broker.errors import Conflict, FileExists, InvalidUpload
from pytp_broker.index.attesting import check_attestations, save_attestations
from pytp_broker.index.digests import SHA256, compute_digests
from pytp_broker.index.distributions import Distribution
from pytp_broker.index.publishing import check_active, is_published
from pytp_broker.index.releases import check_release
from pytp_broker.index.sessions.announcements import (
    POST_BYTES,
    PUT,
    Announcement,
    check_mechanism,
    check_size,
    read_distribution,
    read_hashes,
)
from pytp_broker.index.sessions.changing import change, find_again
from pytp_broker.index.sessions.entering import Entered
from pytp_broker.index.sessions.staged_bytes import content_key_of, drop
from pytp_broker.index.sessions.transitions import (
    add_file,
    attest_file,
    cancel_file,
    check_attestable,
    check_editable,
    check_way,
    find_file,
)
from pytp_broker.services import Index
from pytp_broker.storage.file_store import Target
from pytp_broker.storage.sessions import Session, StagedFile, UploadStatus

_UPLOAD_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Staged:
    """A file upload session, and the publishing session that it belongs to."""

    session: Session
    file: StagedFile


def find_staged(entered: Entered, filename: str, upload_id: str) -> Staged:
    """Return a file upload session, a former one as canceled; raise NotFound."""
    return Staged(entered.session, find_file(entered.session, filename, upload_id))


def announce(
    entered: Entered, announced: Announcement, index: Index, event: StagedFileEvent
) -> Staged:
    """Begin the upload of a file.

    Raises InvalidUpload, PayloadTooLarge or UnsupportedMechanism for what the client must change,
    and Conflict, FileExists, FileDeleted, InvalidRelease or ProjectClosed for what is in the way.
    """
    session, registry = entered.session, entered.right.caller.registry
    distribution = read_distribution(announced, session)
    event.filename = distribution.filename
    hashes = read_hashes(announced)
    event.sha256 = hashes[SHA256]
    check_mechanism(announced)
    check_size(announced, registry.max_file_size, index)
    check_editable(session)
    check_way(session, is_legacy=False)
    check_free(distribution, hashes[SHA256], registry.name, index)
    check_release(distribution, registry, index)
    return _add(session, announced, hashes, index)


def check_free(distribution: Distribution, sha256: str, registry: str, index: Index) -> None:
    """Check that the project takes files, and has none of this name.

    Raises ProjectClosed, FileExists or FileDeleted.
    """
    entry = index.store.find_entry(registry, distribution.project, distribution.filename)
    check_active(distribution.project, entry.status)
    if is_published(entry, sha256):
        raise FileExists(
            f"`{distribution.filename}` is published with this very sha256, {sha256}: leave it out"
        )


def new_upload_id() -> str:
    """Return an id that no other upload has, so that no other refers to its bytes."""
    return secrets.token_hex(_UPLOAD_ID_BYTES)


def _add(
    session: Session, announced: Announcement, hashes: Mapping[str, str], index: Index
) -> Staged:
    """Add a file to a session, and remove the bytes of the one that it replaces."""
    added = StagedFile(
        upload_id=new_upload_id(),
        filename=announced.filename,
        size=announced.size,
        hashes=hashes,
        mechanism=announced.mechanism,
        status=UploadStatus.PENDING,
        created_at=index.now(),
        expires_at=session.expires_at,
    )
    changed = change(session, partial(add_file, added=added), index)
    replaced = session.files.get(added.filename)
    if replaced is not None:
        drop(session, replaced, index)
    return Staged(changed, changed.files[added.filename])


def put_target(staged: Staged, root_url: str, index: Index) -> Target | None:
    """Return where the client puts the bytes, while the upload takes any by this mechanism.

    A store whose address is on this host says it without the host, which ``root_url`` names.
    """
    file = staged.file
    if file.mechanism != PUT or file.status is not UploadStatus.PENDING:
        return None
    key = content_key_of(staged.session, file)
    target = index.files.upload_target(key, file.size, file.hashes[SHA256], index.now())
    return replace(target, url=urljoin(root_url, target.url))


def receive(staged: Staged, content: Content, index: Index) -> None:
    """Store the bytes of an upload, which are those that were announced.

    Raises InvalidUpload for other bytes; then none are stored, and the client may send the right
    ones. Raises Conflict if the upload takes no bytes.
    """
    session, file = staged.session, staged.file
    check_editable(session)
    if file.status is not UploadStatus.PENDING:
        raise Conflict(f"the upload of `{file.filename}` is `{file.status.value}`")
    if file.mechanism != POST_BYTES:
        raise Conflict(f"`{file.filename}` was announced for {file.mechanism}: send it by that")
    _check_content(file, content)
    index.files.save(content_key_of(session, file), content, file.hashes[SHA256])
    present = find_file(find_again(session, index), file.filename, file.upload_id)
    if present.status is UploadStatus.CANCELED:
        drop(session, file, index)
        raise Conflict(f"the upload of `{file.filename}` was canceled while its bytes arrived")


def attest(staged: Staged, octets: bytes, index: Index) -> None:
    """Store the attestations of an upload, in place of those that were sent before.

    Raises InvalidUpload if their form is wrong, and Conflict if the upload takes none.
    """
    session, file = staged.session, staged.file
    check_editable(session)
    check_attestable(file)
    check_attestations(octets, file.filename, file.hashes[SHA256])
    digest = save_attestations(session.registry, file.filename, octets, index)
    name, upload_id = file.filename, file.upload_id
    add = partial(attest_file, filename=name, upload_id=upload_id, digest=digest)
    change(session, add, index)


def _check_content(file: StagedFile, content: Content) -> None:
    if content.size != file.size:
        raise InvalidUpload(
            f"`{file.filename}` was announced with {file.size} bytes, and {content.size} arrived: "
            "send the bytes again, or delete the file and announce it anew"
        )
    if compute_digests(content, {SHA256})[SHA256] != file.hashes[SHA256]:
        raise InvalidUpload(
            f"the bytes of `{file.filename}` do not have the sha256 that was announced: send them "
            "again, or delete the file and announce it anew"
        )


def delete(staged: Staged, index: Index) -> None:
    """Cancel an upload, or delete an uploaded file; raise Conflict while it is being checked."""
    file = staged.file
    cancel = partial(cancel_file, filename=file.filename, upload_id=file.upload_id)
    changed = change(staged.session, cancel, index)
    drop(changed, file, index)
