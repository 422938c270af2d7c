"""The story of an upload: a form comes in, a file becomes visible.

Read ``upload`` from top to bottom. It has three stages: the form says what the client sends, the
inspection says what the file is, and the last stage makes it visible. The right to upload is
checked first, so that a stranger learns nothing about files. The bytes and the receipt are stored
before the one conditional write that makes the file visible, so a crash leaves unused bytes, never
half a file and never a file without a receipt. If the release comes from elsewhere than the one
before it, a record says so first.
"""

from pytp_broker.access import (
    Caller,
    Right,
    check_unused,
    confirm,
    is_old,
    report,
    use_up,
    verify,
)
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Upload
from pytp_broker.errors import FileDeleted, FileExists, PayloadTooLarge, ProjectClosed
from pytp_broker.file_sizes import write_size
from pytp_broker.index.attesting import ask_if_pending, attach, check_attestations
from pytp_broker.index.digests import SHA256
from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.forms import (
    Form,
    check_digests,
    check_form,
    check_protocol,
    compute_sent_digests,
)
from pytp_broker.index.inspection import Candidate, Facts, inspect
from pytp_broker.index.provenance import find_changes, report_changes
from pytp_broker.index.receipts import Notary, certify, hash_record, make_nonce
from pytp_broker.index.releases import Admission, check_claim, check_release, claim_release
from pytp_broker.index.storing import describe, make_visible, save_bytes
from pytp_broker.redaction import printable
from pytp_broker.registries import Registry
from pytp_broker.services import Index
from pytp_broker.storage.file_records import Entry, PublishedFile
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError
from pytp_broker.tokens import file_use


def upload(form: Form, caller: Caller, index: Index, event: Upload) -> None:
    """Publish the file in a form, or find that it is published already.

    Raises a Problem that says what to correct. No file is visible then.
    """
    right = admit(form, caller, index, event)
    candidate = read_candidate(form, event)
    entry = find_entry(candidate, right, index)
    check_open(candidate, entry)
    if entry.file is not None and is_published(entry, candidate.sha256):
        event.unchanged = True
        ask_if_pending(entry.file, index)
        return
    admission = check_release(candidate.distribution, caller.registry, index)
    facts = inspect(candidate)

    file = store_content(facts, right, index, event)
    commit(file, candidate, right, admission, index)
    ask_if_pending(file, index)


def admit(form: Form, caller: Caller, index: Index, event: Upload) -> Right:
    """Return the caller's right to upload a file of this size to the project of the form.

    Raises Unauthorized, Forbidden or PayloadTooLarge.
    """
    event.project = printable(form.project)
    right = verify(caller, form.project, index)
    report(right, index)
    event.publishers = right.publisher_ids
    check_size(form.file.content.size, caller.registry)
    return right


def read_candidate(form: Form, event: Upload) -> Candidate:
    """Return the file in the form, if the form and the name are right; raise InvalidUpload."""
    check_protocol(form)
    file, digests = form.file, compute_sent_digests(form)
    event.filename, event.sha256 = printable(file.filename), digests[SHA256]
    distribution = parse_filename(file.filename)
    check_form(form, distribution)
    check_digests(form, digests)
    attestations = form.attestations
    if attestations is not None:
        check_attestations(attestations, file.filename, digests[SHA256])
    return Candidate(distribution, file.content, digests[SHA256], attestations)


def check_size(size: int, registry: Registry) -> None:
    """Check that a file is not too large for a registry; raise PayloadTooLarge."""
    if size > registry.max_file_size:
        raise PayloadTooLarge(
            f"the file has {write_size(size)}, and the registry `{registry.name}` takes files of "
            f"{write_size(registry.max_file_size)} at most: make the file smaller, or ask the "
            "registry's operator for a larger `max_file_size`"
        )


def find_entry(candidate: Candidate, right: Right, index: Index) -> Entry:
    """Return what the index has under the file's name."""
    file = candidate.distribution
    return index.store.find_entry(right.caller.registry.name, file.project, file.filename)


def check_open(candidate: Candidate, entry: Entry) -> None:
    """Check that the project takes files; raise ProjectClosed."""
    check_active(candidate.distribution.project, entry.status)


def check_active(project: str, status: ProjectStatus) -> None:
    """Check that a project of this status takes files; raise ProjectClosed."""
    if not status.takes_files:
        raise ProjectClosed(
            f"the project `{project}` is {status.status} and takes no files: {status.reason}; "
            "ask the registry's operator to make it active again"
        )


def is_published(entry: Entry, sha256: str) -> bool:
    """Say whether the file of this hash is published under the name of the entry.

    Raises FileExists if another file has its name, and FileDeleted if an operator has deleted the
    file of its name.
    """
    existing = entry.file
    if existing is None:
        return False
    if entry.tombstone is not None:
        raise FileDeleted(
            f"the registry's operator has deleted `{existing.filename}` "
            f"({entry.tombstone.reason}), and the name of a deleted file is never used again: "
            "publish a new version"
        )
    if existing.sha256 != sha256:
        raise FileExists(
            f"`{existing.filename}` is published with the sha256 {existing.sha256}, "
            "and a published file never changes: publish a new version"
        )
    return True


def store_content(facts: Facts, right: Right, index: Index, event: Upload) -> PublishedFile:
    """Store the bytes and the receipt; return the record that will make the file visible.

    The receipt has the hash of the record of this event, which is complete by then. Raises
    Unauthorized for a single-use token that has been used up, and what ``attach`` raises.
    """
    file = describe(
        facts,
        registry=right.caller.registry.name,
        uploaded_at=index.now(),
        published_by=describe_publication(right),
    )
    check_unused(right.record, _use(file))
    file = attach(file, facts.candidate.attestations, right.caller.registry, index)
    save_bytes(file, facts, index.files)
    event.nonce = make_nonce()
    return certify(file, hash_record(event.accepted()), Notary.of(index))


def commit(
    file: PublishedFile, candidate: Candidate, right: Right, admission: Admission, index: Index
) -> None:
    """Make the file visible.

    Raises FileExists for the later of two files with one name, FileReserved while a session
    publishes a file of its name, InvalidRelease if the release has changed meanwhile, ProjectClosed
    if a slow upload finds the project closed, Unauthorized for a token that has been used up, and
    what ``confirm`` raises for a right that has ended meanwhile.
    """
    changes = find_changes([file], right.caller.configuration.issuers, index)
    use_up(right.record, _use(file), index)
    claimed = claim_release(admission, index)
    if is_old(right, index):
        check_open(candidate, find_entry(candidate, right, index))
    # The last call before the decisive write: a slow one after it would use an ended right.
    confirm(right, index)
    check_claim(claimed, index)
    report_changes(changes, index)
    try:
        make_visible(file, index.store)
    except AlreadyPublishedError:
        is_published(find_entry(candidate, right, index), candidate.sha256)


def describe_publication(right: Right) -> dict[str, str]:
    """Return who publishes: an operator, or the job and the publishers that give the right.

    A job's publication always has an issuer, and an operator's never has one.
    """
    record = right.record
    token_hash = hash_prefix(record.token_hash)
    if record.made_by is not None:
        by = {"operator": record.made_by.operator, "reason": record.made_by.reason}
        return {**by, "token_hash": token_hash}
    provider = {"provider": record.provider} if record.provider else {}
    return {
        "issuer": record.issuer,
        **provider,
        **record.pins,
        **record.identity,
        "publishers": ", ".join(right.publisher_ids),
        "token_hash": token_hash,
    }


def _use(file: PublishedFile) -> str:
    return file_use(file.registry, file.filename, file.sha256)
