"""The attestations of a file (PEP 740): taken with it, verified for its publisher, and served.

Their publisher is the job whose token published the file, as the file's record has it.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Final

from pytp_broker.audit.findings import Attestation
from pytp_broker.content import Held, read_all
from pytp_broker.errors import InvalidUpload, StoreUnavailable, Withheld
from pytp_broker.provenance.attestations import MalformedAttestationsError, check_form
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
)
from pytp_broker.provenance.publishers import describe_publisher
from pytp_broker.registries import Registry
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import attestations_key
from pytp_broker.storage.sessions import StagedFile
from pytp_broker.verifier import AttestationPlace

PENDING: Final = AttestationState(AttestationStatus.PENDING)
_SERVED: Final = frozenset({AttestationStatus.VERIFIED, AttestationStatus.UNVERIFIED})


def check_attestations(octets: bytes, filename: str, digest: str) -> None:
    """Check the form of the attestations that came with a file; raise InvalidUpload."""
    try:
        check_form(octets, filename, digest)
    except MalformedAttestationsError as mistake:
        raise InvalidUpload(f"the attestations cannot be taken: {mistake}") from None


def check_required(
    octets: bytes | None, published_by: Mapping[str, str], registry: Registry
) -> None:
    """Check that a file has attestations where its registry requires them; raise InvalidUpload.

    An operator has no job that could make them.
    """
    if octets is None and is_required(published_by, registry):
        raise InvalidUpload(
            f"the registry `{registry.name}` takes only files with attestations (PEP 740), and "
            "this one came without: make them in the job with `pypi-attestations sign`, and send "
            "them with the file"
        )


def is_required(published_by: Mapping[str, str], registry: Registry) -> bool:
    """Say whether a file of this publisher must have verified attestations."""
    return registry.require_attestations and "operator" not in published_by


def lacks_attestations(file: PublishedFile, registry: Registry) -> bool:
    """Say whether a file has no verified attestations, and its registry requires them."""
    return is_required(file.published_by, registry) and not file.is_attested


def attach(
    file: PublishedFile, octets: bytes | None, registry: Registry, index: Index
) -> PublishedFile:
    """Store the attestations of a file; return the file's record with what is known of them.

    Where the registry requires them they are verified now. Raises InvalidUpload if they are not
    good, and StoreUnavailable if nobody can say it now.
    """
    check_required(octets, file.published_by, registry)
    if octets is None:
        return file
    state = PENDING
    if is_required(file.published_by, registry):
        state = ask(file, octets, index)
        check_verified(state, registry.name)
    digest = save_attestations(file.registry, file.filename, octets, index)
    return replace(file, attestations_sha256=digest, attestation_state=state)


def save_attestations(registry: str, filename: str, octets: bytes, index: Index) -> str:
    """Store attestations under their hash, which is returned; nobody can see them yet."""
    digest = sha256(octets).hexdigest()
    index.files.save(attestations_key(registry, digest, filename), Held(octets), digest)
    return digest


def check_verified(state: AttestationState, registry: str) -> None:
    """Check that attestations that a registry requires are verified; raise InvalidUpload."""
    if state.status is not AttestationStatus.VERIFIED:
        raise InvalidUpload(
            f"the registry `{registry}` takes only files with verified attestations, and "
            f"these are {state.status.value}: {state.reason}"
        )


def verify_staged(file: PublishedFile, staged: StagedFile, index: Index) -> PublishedFile:
    """Return the record of a file of a session with what is known of its attestations.

    If nobody can verify them now, they stay ``pending`` and are verified after the publish; but if
    the file must have verified ones, this raises StoreUnavailable, or InvalidUpload for others.
    """
    digest = staged.attestations_sha256
    if digest is None:
        return file
    attested = replace(file, attestations_sha256=digest, attestation_state=PENDING)
    try:
        state = ask(attested, read_attestations(attested, index), index)
    except StoreUnavailable:
        if staged.requires_attestations:
            raise
        return attested
    if staged.requires_attestations:
        check_verified(state, file.registry)
    return attested.with_attestation_state(state)


def ask(file: PublishedFile, octets: bytes, index: Index) -> AttestationState:
    """Return what an attester says of a file's attestations; raise StoreUnavailable."""
    return index.attester.verify(
        AttestationQuestion(
            octets.decode(), file.filename, file.sha256, describe_publisher(file.published_by)
        )
    )


def record_state(file: PublishedFile, index: Index) -> None:
    """Leave an audit record of what an attester has said of a file's attestations, if it has."""
    state = file.attestation_state
    if state is not None and state != PENDING:
        index.audit(event_of(file).settled(state))


def event_of(file: PublishedFile) -> Attestation:
    """Return the event of what is found out about a file's attestations."""
    return Attestation(registry=file.registry, project=file.project, filename=file.filename)


def read_attestations(file: PublishedFile, index: Index) -> bytes:
    """Return the attestations of a file as its publisher sent them; raise StoreUnavailable."""
    digest = file.attestations_sha256 or ""
    try:
        with index.files.open(attestations_key(file.registry, digest, file.filename)) as content:
            return read_all(content)
    except KeyError:
        raise StoreUnavailable("the attestations of this file are missing from the store") from None


def ask_if_pending(file: PublishedFile, index: Index) -> None:
    """Let the attestations of a visible file be verified, if that is still to be done.

    The file is published whether or not somebody can be asked now, so a failure is no error. The
    attestations stay ``pending``, and an upload of the same file asks again.
    """
    if file.attestation_state == PENDING:
        with suppress(StoreUnavailable):
            index.verifier.request(AttestationPlace(file.registry, file.project, file.filename))


def check_served(file: PublishedFile) -> None:
    """Check that the provenance of a file may be served; raise Withheld, which says why not."""
    state = file.attestation_state
    if state is None or file.attestations_sha256 is None:
        raise Withheld(f"no provenance is available for `{file.filename}`: it has no attestations")
    if state.status not in _SERVED:
        reason = f" ({state.reason})" if state.reason else ""
        raise Withheld(
            f"no provenance is available for `{file.filename}`: its attestations are "
            f"{state.status.value}{reason}"
        )


def write_provenance(file: PublishedFile, attestations: bytes) -> bytes:
    """Return the provenance object of a file (PEP 740).

    The attestations are in it as they were sent: they are strict JSON, and another writer might
    change a number in them.
    """
    publisher = json.dumps(describe_publisher(file.published_by), separators=(",", ":")).encode()
    return b"".join(
        (
            b'{"version":1,"attestation_bundles":[{"publisher":',
            publisher,
            b',"attestations":',
            attestations.strip(),
            b"}]}",
        )
    )
