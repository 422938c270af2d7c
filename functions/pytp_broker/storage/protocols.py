"""What every store can do for the broker and the index, as protocols.

Every method is one round trip unless it says otherwise, and raises StoreUnavailable when the store
does not answer. Two stores fulfil it today: SQLite (``sqlite``) and DynamoDB (``aws``); one
contract test suite holds them together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

from pytp_broker.audit.record import AuditRecord
from pytp_broker.grants import Trust
from pytp_broker.oidc.keycache import KeySetStore
from pytp_broker.provenance.attester import AttestationState
from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.registries import Configuration
from pytp_broker.side_by_side import SideBySide, in_order
from pytp_broker.storage.file_records import Entry, PublishedFile, Release
from pytp_broker.storage.file_store import FileStore
from pytp_broker.storage.plan import Approve, Describe, Plan, Setup, no_records
from pytp_broker.storage.project_files import Announcement, ProjectFiles
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.sessions import Session
from pytp_broker.storage.survey import Piece
from pytp_broker.storage.withdrawals import Tombstone, Withdrawals
from pytp_broker.tokens import TokenRecord
from pytp_broker.trust.publishers import TrustedPublisher

# A registry and one project in it, or WHOLE_REGISTRY.
Place: TypeAlias = tuple[str, str]

# In the place of a project's name, which is never empty: the registry itself, which trusts each of
# its publishers. Their generation there is 0, so every token of a publisher is covered.
WHOLE_REGISTRY: Final = ""


class AlreadyExchangedError(Exception):
    """The identity token of this record has been exchanged before."""


class AlreadyPublishedError(Exception):
    """The file name is taken in this registry."""


class ReservedError(Exception):
    """A publishing session has reserved the file name, and publishes it right now."""


class TooManySessionsError(Exception):
    """The project has as many live publishing sessions as it may have."""


class ConfigurationStore(Protocol):
    """Store of the configuration, which the operator writes and every function reads."""

    def load_configuration(self) -> Configuration:
        """Return the configuration that is in force now.

        It has what the operator has written, and the issuers that are built in.
        """


class TokenStore(KeySetStore, Protocol):
    """Store of publishers and upload tokens, for the exchange and for checks of a token."""

    def list_publishers(self, identity_key: str) -> Sequence[TrustedPublisher]:
        """Return every publisher of all registries with this identity key, in one query."""

    def pin_publisher(
        self, publisher: TrustedPublisher, pins: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """Pin immutable ids on first use; return the pins now in force.

        The first of two racing writers wins, and both get the winner's pins. None when the
        publisher has been removed.
        """

    def add_token(self, record: TokenRecord) -> None:
        """Store the record and so mark its identity token used, in one conditional write.

        Raise AlreadyExchangedError when its lookup id is taken, unless by an earlier attempt of
        this very write (same token hash).
        """

    def find_token(self, lookup_id: str, place: Place | None) -> tuple[TokenRecord, Trust] | None:
        """Return the record and the publishers that a project trusts now; none without a place.

        Publishers that the token is not from may be left out. One round trip for both. None when
        there is no such record; the caller checks expiry.
        """

    def list_trust(self, places: Sequence[Place]) -> Mapping[Place, Trust]:
        """Return the publishers that each of these projects trusts now.

        One round trip for every hundred; a project that trusts nobody may be left out.
        """

    def use_token(self, record: TokenRecord, file: str) -> bool:
        """Mark a live single-use token used for a file; say whether it may be.

        True for the first file, and again for the same file, so that a client whose answer was lost
        may repeat its request. False for any other file. Of two calls at the same time, one wins.
        """

    def burn_token(
        self, lookup_id: str, token_hash: str, registry: str | None, now: datetime
    ) -> bool:
        """End a token early; say whether there was one to end.

        This ends only a token with this hash that is good in ``registry``, or in any if that is
        None.
        """


def unexpired(records: Iterable[TokenRecord], now: datetime) -> list[TokenRecord]:
    """Return the records whose tokens have not expired, by time of issue."""
    live = (record for record in records if now < record.expires_at)
    return sorted(live, key=lambda record: (record.issued_at, record.lookup_id))


class FileRecordStore(Protocol):
    """Store of the records of published files and releases, for the index."""

    def find_entry(self, registry: str, project: str, filename: str) -> Entry:
        """Return the file of this name in a project, its tombstone, and the project's status.

        One round trip for all of them.
        """

    def announce_file(self, registry: str, project: str, filename: str) -> Announcement:
        """Prepare that a file of this name becomes visible; return what its project shows now.

        Nobody sees a difference. It takes the round trips of ``find_files``, and those that it may
        make side by side with them.
        """

    def add_file(self, file: PublishedFile, announcement: Announcement | None = None) -> None:
        """Make the file visible; raise AlreadyPublishedError when the name is taken.

        Raise ReservedError while a session that publishes has reserved the name. It announces a
        file that was not announced. After the one write that makes the file visible, it brings the
        listing of the project up to date.
        """

    def save_attestation_state(
        self, registry: str, project: str, filename: str, state: AttestationState
    ) -> None:
        """Keep what is known now of a file's attestations, beside the file's record.

        The later of two writers wins. Nothing happens if there is no such file. Not one round trip:
        it also brings the listing up to date.
        """

    def find_release(
        self, registry: str, project: str, key: str
    ) -> tuple[Release | None, datetime | None]:
        """Return the record of a release, and until when the operator has reopened it.

        Each is None when there is none. One round trip for both.
        """

    def save_release(self, release: Release, present: Release | None) -> bool:
        """Replace the present record, or None, by this one; say whether it is stored now.

        False if the stored record is another one: of two writers at the same time, one wins.
        """

    def list_files(self, registry: str, project: str) -> Sequence[PublishedFile]:
        """Return all files of a project, ordered by name: deleted ones, too."""

    def find_files(self, registry: str, project: str) -> ProjectFiles | None:
        """Return what a project's page shows; None if the project never had a file.

        One round trip for a project of any size, unless somebody changes it right now; or two, if
        it has so many files that the listing is not in the store itself.
        """

    def find_edition(self, registry: str, project: str) -> str | None:
        """Return the edition that ``find_files`` would return now, without reading the files.

        None if the project never had a file, or if that needs more than a look: ``find_files``
        knows. One round trip for a small row, whatever the size of the project; and one more if an
        operator ever gave it a status.
        """

    def list_withdrawn(self, registry: str, project: str) -> Withdrawals:
        """Return the yanked releases and the deleted files of a project, in one round trip."""

    def find_status(self, registry: str, project: str) -> ProjectStatus:
        """Return the status that an operator has given a project; without one it is active."""

    def list_projects(self, registry: str) -> Sequence[str]:
        """Return the normalised names of all projects with a file, ordered.

        A project whose files are all deleted is one of them.
        """


class SessionStore(Protocol):
    """Store of publishing sessions, which make all their files visible in one write.

    Not one round trip each: a method takes one for each file that it reserves, and some more.
    """

    def add_session(self, session: Session) -> Session:
        """Store a new session; return the one that is in force, which may be another.

        Another one is in force if it is live for the same version. Raise TooManySessionsError if
        the project has MAX_SESSIONS live ones.
        """

    def find_session(self, token: str) -> Session | None:
        """Return the session of this token. One round trip."""

    def save_session(self, session: Session, present: Session) -> bool:
        """Replace the present revision by this one; say whether this one is stored now.

        False if the stored revision is another one: of two writers at the same time, one wins.
        Raise SessionTooLargeError.
        """

    def reserve(self, session: Session, files: Sequence[PublishedFile]) -> Sequence[str]:
        """Reserve the names of files for a session that is ``processing``; nobody sees them yet.

        Return the names that are taken. If there is one, none is reserved. A name is taken if it is
        published, or if another session that publishes right now has reserved it.
        """

    def publish_session(self, session: Session) -> bool:
        """Make all files visible that the revision before this ``published`` one has reserved.

        One write does it: readers see all of them or none. False if the stored revision is another
        one; then none is visible. The call may be repeated after it was interrupted.
        """

    def release(self, session: Session) -> None:
        """Give the names free again that this ``processing`` session has reserved.

        Save the next revision first: until then the session might still be published.
        """


class ReceiptKeyStore(Protocol):
    """Store of the public keys of receipts, for those who sign and for those who verify."""

    def list_receipt_keys(self) -> Sequence[ReceiptKey]:
        """Return every key that there ever was, oldest first."""


class RuntimeStore(
    ConfigurationStore, TokenStore, FileRecordStore, SessionStore, ReceiptKeyStore, Protocol
):
    """Store as the functions of a deployment use it; it changes nothing that an operator writes."""


class OperatorStore(Protocol):
    """Store methods for the operator's commands; no function of the deployment may call them."""

    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: Approve | None = None,
        describe: Describe = no_records,
    ) -> Plan:
        """Bring the store to this configuration; return the plan that did it.

        The plan is made from what the store holds at that moment. The store calls
        ``approve`` with the plan before the first write; if that returns false, the store writes
        nothing. It keeps the operator's records that ``describe`` returns for the plan: with the
        changes if it has transactions, and else before them. So a change has its record, whatever
        interrupts the call. An apply may be repeated, also after a crash. It takes rights away
        before it gives new ones. Not one round trip.
        """

    def refuse_identity_tokens(self, before: datetime) -> None:
        """Refuse identity tokens that were issued before this time; a later time stays.

        Seconds count, and no fraction of one.
        """

    def load_setup(self) -> Setup:
        """Return all that operators have written: the configuration and every publisher.

        Not one round trip: it reads everything there is.
        """

    def survey(self, registry: str) -> Iterator[Piece]:
        """Yield all that is known of a registry's projects, in any order.

        These are files, deleted ones too, what operators said of them, and the publishers that
        projects trust. Not one round trip: it reads everything there is, and raises
        StoreUnavailable in the middle of it, too.
        """

    def list_sessions(self, now: datetime) -> Sequence[Session]:
        """Return every live publishing session, by time of creation.

        Not one round trip: it reads everything there is.
        """

    def list_tokens(self, now: datetime) -> Sequence[TokenRecord]:
        """Return every token that has not expired, even if burned or used, by time of issue.

        Not one round trip: it reads everything there is.
        """

    def add_operators_token(self, record: TokenRecord) -> bool:
        """Store a token that an operator made; say whether its registry is there.

        It may take several round trips. False if the registry is not there; then nothing is stored.
        When ``apply`` removes a registry, it also removes these tokens, so that a registry that is
        added again with the same name does not have them.
        """

    def add_operator_record(self, record: AuditRecord, at: datetime) -> None:
        """Keep an audit record of what an operator does; it is never removed."""

    def reopen_release(self, registry: str, project: str, key: str, until: datetime) -> None:
        """Let a release take files until this time, even if its record says that it is closed."""

    def yank_release(self, registry: str, project: str, key: str, reason: str | None) -> None:
        """Yank a release with all its files, those that follow included; without a reason, unyank.

        The later of two writers wins.
        """

    def delete_file(
        self, registry: str, project: str, filename: str, tombstone: Tombstone
    ) -> Tombstone:
        """Give a published file a tombstone; return the one that is in force now.

        The first of two writers wins, and both get the winner's tombstone. Nothing removes one.
        """

    def set_status(self, registry: str, project: str, status: ProjectStatus) -> None:
        """Give a project a status; the later of two writers wins."""

    def save_receipt_key(self, key: ReceiptKey, present: ReceiptKey | None) -> bool:
        """Replace the present key of this id, or None, by this one; say whether it is stored now.

        False if the stored key is another one: of two writers at the same time, one wins. Nothing
        removes a key, because old receipts need it.
        """

    def list_operator_records(self) -> Sequence[Mapping[str, Any]]:
        """Return operators' records in their order, each with its ``time``. Not one round trip."""

    def newest_operator_records(self, count: int) -> Sequence[Mapping[str, Any]]:
        """Return so many of operators' records, the newest first.

        One round trip, or a few if the records are long.
        """


class Store(RuntimeStore, OperatorStore, Protocol):
    """A complete store: what the functions call, and what the operator's commands call."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a broker keeps its records and the bytes of its files.

    ``side_by_side`` makes calls to them at the same time, if they are on other machines.
    """

    store: Store
    files: FileStore
    side_by_side: SideBySide = in_order
