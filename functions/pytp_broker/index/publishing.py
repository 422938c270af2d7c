"""The story of an upload: a form comes in, a file becomes visible.

Read ``upload`` from top to bottom. It has three stages: the form says what the client sends, the
inspection says what the file is, and the last stage makes it visible. The right to upload is
checked first, so that a stranger learns nothing about files. The bytes and the receipt are stored
before the one conditional write that makes the file visible, so a crash leaves unused bytes, never
half a file and never a file without a receipt. If the release comes from elsewhere than the one
before it, a record says so first.

On AWS each stage makes its calls side by side: the reads, then what must be there first, then the
decisive write. Nothing is written before every check has passed.
"""

from pytp_broker.access import (
    Caller,
    Right,
    confirm,
    is_old,
    report,
    verify,
)
from pytp_broker.audit.requests import Upload
from pytp_broker.errors import FileDeleted, FileExists, PayloadTooLarge, ProjectClosed
from pytp_broker.file_sizes import write_size
from pytp_broker.index.attesting import ask_if_pending, check_attestations
from pytp_broker.index.digests import SHA256
from pytp_broker.index.distributions import Distribution, parse_filename
from pytp_broker.index.forms import (
    Form,
    check_digests,
    check_form,
    check_protocol,
    compute_sent_digests,
)
from pytp_broker.index.inspection import Candidate, inspect
from pytp_broker.index.preparing import Prepared, prepare
from pytp_broker.index.provenance import report_changes
from pytp_broker.index.releases import (
    check_claim,
    check_found,
    find_release,
)
from pytp_broker.index.storing import make_visible
from pytp_broker.redaction import printable
from pytp_broker.registries import Registry
from pytp_broker.services import Index
from pytp_broker.storage.file_records import Entry
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import AlreadyPublishedError


def upload(form: Form, caller: Caller, index: Index, event: Upload) -> None:
    """Publish the file in a form, or find that it is published already.

    Raises a Problem that says what to correct. No file is visible then.
    """
    with index.side_by_side() as begin:
        # What the store has is asked for before we know the right, and looked at after that.
        finding = begin(lambda: find_entry(_named(form), caller.registry, index))
        finding_release = begin(lambda: find_release(_named(form), caller.registry, index))
        right = admit(form, caller, index, event)
        candidate = read_candidate(form, event)
        entry = finding.result()
        check_open(candidate, entry)
        if entry.file is not None and is_published(entry, candidate.sha256):
            event.unchanged = True
            ask_if_pending(entry.file, index)
            return
        found = finding_release.result()
    admission = check_found(found, candidate.distribution, caller.registry, index)
    facts = inspect(candidate)

    prepared = prepare(facts, right, admission, index, event)
    commit(prepared, candidate, right, index)
    ask_if_pending(prepared.file, index)


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


def _named(form: Form) -> Distribution:
    return parse_filename(form.file.filename)


def find_entry(file: Distribution, registry: Registry, index: Index) -> Entry:
    """Return what the index has under the file's name."""
    return index.store.find_entry(registry.name, file.project, file.filename)


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


def commit(prepared: Prepared, candidate: Candidate, right: Right, index: Index) -> None:
    """Make the file visible.

    Raises FileExists for the later of two files with one name, FileReserved while a session
    publishes a file of its name, ProjectClosed if a slow upload finds the project closed, and what
    ``confirm`` raises for a right that has ended meanwhile.
    """
    file, registry = candidate.distribution, right.caller.registry
    if is_old(right, index):
        check_open(candidate, find_entry(file, registry, index))
    # The last call before the decisive write: a slow one after it would use an ended right.
    confirm(right, index)
    check_claim(prepared.claimed, index)
    report_changes(prepared.changes, index)
    try:
        make_visible(prepared.file, index.store, prepared.announcement)
    except AlreadyPublishedError:
        is_published(find_entry(file, registry, index), candidate.sha256)
