"""Prepare a file that has passed every check: all that must be there before anybody can see it.

Its bytes and its receipt are stored, its project's listing is marked, its release is claimed, and a
single-use token is used up. Each of these may fail without harm: what was stored stays unused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytp_broker.access import Right, check_unused, use_up
from pytp_broker.audit.findings import ProvenanceChange
from pytp_broker.audit.record import hash_prefix
from pytp_broker.audit.requests import Upload
from pytp_broker.index.attesting import attach
from pytp_broker.index.inspection import Facts
from pytp_broker.index.provenance import list_changes
from pytp_broker.index.receipts import Notary, certify, hash_record, make_nonce
from pytp_broker.index.releases import Admission, claim_release
from pytp_broker.index.storing import describe, saves
from pytp_broker.services import Index
from pytp_broker.storage.file_records import PublishedFile, Release
from pytp_broker.storage.project_files import Announcement
from pytp_broker.tokens import file_use


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that is ready to become visible, and what was found and written for it before."""

    file: PublishedFile
    announcement: Announcement
    claimed: Release
    changes: Sequence[ProvenanceChange]


def prepare(
    facts: Facts, right: Right, admission: Admission, index: Index, event: Upload
) -> Prepared:
    """Store and write all that must be there before the file becomes visible.

    The file has passed every check. Nothing here depends on another thing here, but for two pairs:
    a receipt is signed and then stored, and a single-use token is not used up for a release that
    refuses the file. Raises Unauthorized for a single-use token that has been used up,
    InvalidRelease if the release has changed meanwhile, and what ``attach`` raises.
    """
    file = _describe(facts, right, index)
    event.nonce = make_nonce()
    audited = hash_record(event.accepted())
    with index.side_by_side() as begin:
        storing = [begin(call) for call in saves(file, facts, index.files)]
        certifying = begin(lambda: certify(file, audited, Notary.of(index)))
        announcing = begin(lambda: announce(file, index))
        claiming = begin(lambda: claim(file, right, admission, index))
        for stored in storing:
            stored.result()
        certified, announcement = certifying.result(), announcing.result()
        claimed = claiming.result()
    changes = list_changes(announcement.files, [file], right.caller.configuration.issuers)
    return Prepared(certified, announcement, claimed, changes)


def _describe(facts: Facts, right: Right, index: Index) -> PublishedFile:
    file = describe(
        facts,
        registry=right.caller.registry.name,
        uploaded_at=index.now(),
        published_by=describe_publication(right),
    )
    check_unused(right.record, _use(file))
    return attach(file, facts.candidate.attestations, right.caller.registry, index)


def announce(file: PublishedFile, index: Index) -> Announcement:
    """Announce a file to its project."""
    return index.store.announce_file(file.registry, file.project, file.filename)


def claim(file: PublishedFile, right: Right, admission: Admission, index: Index) -> Release:
    """Claim a release for the file, and then use up a single-use token."""
    claimed = claim_release(admission, index)
    use_up(right.record, _use(file), index)
    return claimed


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
