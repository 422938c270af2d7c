"""Do what was asked of a Verifier, after the request that asked for it.

The attestations of a published file may be verified twice at once: both write what the attester
says. Whatever fails is tried again, and the file stays ``pending`` until then.
"""

from pytp_broker.errors import StoreUnavailable
from pytp_broker.index.attesting import PENDING, ask, event_of, read_attestations, record_state
from pytp_broker.index.provenance import find_lost_attestations, report_changes
from pytp_broker.index.sessions.checking import Reading, as_it_is
from pytp_broker.index.sessions.verifying import verify_upload
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.verifier import AttestationPlace, Place, UploadPlace


def verify(place: Place, index: Index, reading: Reading = as_it_is) -> None:
    """Verify what is at a place; raise StoreUnavailable if it could not be verified."""
    if isinstance(place, UploadPlace):
        verify_upload(place, index, reading)
    else:
        verify_attestations(place, index)


def verify_attestations(place: AttestationPlace, index: Index) -> None:
    """Verify the attestations of a file that are ``pending``, and keep what is known then.

    Nothing happens if they are not. Raises StoreUnavailable.
    """
    file = index.store.find_entry(place.registry, place.project, place.filename).file
    if file is None or file.attestation_state != PENDING:
        return
    try:
        settled = _settle(file, index)
        record_state(settled, index)
        _report_loss(settled, index)
    except StoreUnavailable as problem:
        index.audit(event_of(file).refused(problem))
        raise


def _settle(file: PublishedFile, index: Index) -> PublishedFile:
    state = ask(file, read_attestations(file, index), index)
    index.store.save_attestation_state(file.registry, file.project, file.filename, state)
    return file.with_attestation_state(state)


def _report_loss(file: PublishedFile, index: Index) -> None:
    """Record if the release has lost attestations, because those of this file are not verified.

    The state is stored before we look, so that of two files that are verified at once, one sees the
    state of the other.
    """
    if not file.is_attested:
        report_changes(find_lost_attestations(file, index), index)
