"""Stores in memory that keep the promises of the real ones, fail on demand and log their calls."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

from pytp_broker.audit.record import AuditRecord
from pytp_broker.content import Content, Held, read_all
from pytp_broker.errors import StoreUnavailable
from pytp_broker.grants import Trust
from pytp_broker.oidc.keycache import StoredKeySet
from pytp_broker.provenance.attester import AttestationState
from pytp_broker.provenance.receipt_keys import ReceiptKey, oldest_first
from pytp_broker.registries import Configuration
from pytp_broker.storage.file_records import Entry, PublishedFile, Release
from pytp_broker.storage.file_store import STAGED, FileStore, Stored, Target
from pytp_broker.storage.plan import Approve, Describe, Plan, Setup, make_plan, no_records
from pytp_broker.storage.project_files import Announcement, ProjectFiles
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import (
    WHOLE_REGISTRY,
    AlreadyExchangedError,
    AlreadyPublishedError,
    Place,
    ReservedError,
    TooManySessionsError,
    unexpired,
)
from pytp_broker.storage.sessions import (
    INTERRUPTED,
    MAX_SESSIONS,
    Session,
    SessionStatus,
    pack,
)
from pytp_broker.storage.signed_puts import PutSigner, SignedPut
from pytp_broker.storage.survey import (
    DeletedFile,
    GivenStatus,
    Piece,
    TrustedBy,
    YankedRelease,
)
from pytp_broker.storage.withdrawals import Tombstone, Withdrawals
from pytp_broker.tokens import TokenRecord
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.trust.publishers import TrustedPublisher

# The largest upload of the deployments in memory.
MAX_UPLOAD_BYTES = 10_000_000

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Failing")


class Failing:
    """A remote service: it logs every call, and fails a call when a test has asked for that."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._failing: list[str] = []
        self._lock = RLock()

    def fail_next(self, method: str) -> None:
        """Let the next call of this method raise StoreUnavailable, having done nothing."""
        assert callable(getattr(self, method))
        self._failing.append(method)

    def enter(self, method: str) -> None:
        self.calls.append(method)
        if method in self._failing:
            self._failing.remove(method)
            raise StoreUnavailable("the store does not answer")


def remote(method: Callable[Concatenate[F, P], R]) -> Callable[Concatenate[F, P], R]:
    """Make a method a round trip: logged, atomic, and able to fail."""

    @wraps(method)
    def call(self: F, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            self.enter(method.__name__)
            return method(self, *args, **kwargs)

    return call


class MemoryStore(Failing):
    """The whole Store; tests look at ``tokens``, ``publishers``, ``key_sets`` and ``files``."""

    def __init__(self, configuration: Configuration | None = None) -> None:
        super().__init__()
        self.configuration = configuration or Configuration()
        self.publishers: dict[str, TrustedPublisher] = {}
        self.trust: dict[Place, dict[str, int]] = {}
        self.key_sets: dict[str, StoredKeySet] = {}
        self.refreshes: dict[str, datetime] = {}
        self.receipt_keys: dict[str, ReceiptKey] = {}
        self.tokens: dict[str, TokenRecord] = {}
        self.files: dict[tuple[str, str], PublishedFile] = {}
        self.releases: dict[tuple[str, str, str], Release] = {}
        self.reopened: dict[tuple[str, str, str], datetime] = {}
        self.yanked: dict[Place, dict[str, str]] = {}
        self.deleted: dict[Place, dict[str, Tombstone]] = {}
        self.statuses: dict[Place, ProjectStatus] = {}
        self.operator_records: list[dict[str, Any]] = []
        self.sessions: dict[str, Session] = {}
        self.reserved: dict[tuple[str, str], tuple[str, PublishedFile]] = {}

    @remote
    def load_configuration(self) -> Configuration:
        return with_built_in(self.configuration)

    @remote
    def load_setup(self) -> Setup:
        return self._setup()

    def _setup(self) -> Setup:
        return Setup(self.configuration, {p.rules_hash: p for p in self.publishers.values()})

    @remote
    def apply(
        self,
        configuration: Configuration,
        publishers: Sequence[TrustedPublisher],
        approve: Approve | None = None,
        describe: Describe = no_records,
    ) -> Plan:
        plan = make_plan(self._setup(), configuration, publishers)
        if approve is not None and not approve(plan):
            return plan
        self.operator_records += (
            {"time": at.isoformat(), **record.document()} for record, at in describe(plan)
        )
        kept = self.configuration.identity_tokens_from
        self.configuration = replace(configuration, identity_tokens_from=kept)
        self.tokens = {
            lookup_id: record
            for lookup_id, record in self.tokens.items()
            if record.made_by is None or record.registries[0] in configuration.registries
        }
        self.publishers = {p.publisher_id: p for p in plan.outcome.publishers.values()}
        trust, self.trust = self.trust, {}
        for publisher in self.publishers.values():
            whole = (publisher.registry, WHOLE_REGISTRY)
            self.trust.setdefault(whole, {})[publisher.publisher_id] = 0
            for project in publisher.projects:
                place, publisher_id = (publisher.registry, project), publisher.publisher_id
                since = trust.get(place, {}).get(publisher_id, publisher.generation)
                self.trust.setdefault(place, {})[publisher_id] = since
        return plan

    @remote
    def refuse_identity_tokens(self, before: datetime) -> None:
        before = before.replace(microsecond=0)
        later = max(before, self.configuration.identity_tokens_from or before)
        self.configuration = replace(self.configuration, identity_tokens_from=later)

    @remote
    def survey(self, registry: str) -> Iterator[Piece]:
        return iter(self._pieces(registry))

    def _pieces(self, registry: str) -> list[Piece]:
        trust = ((p, i) for (r, p), ids in self.trust.items() if r == registry and p for i in ids)
        statuses = ((p, s) for (r, p), s in self.statuses.items() if r == registry and s != ACTIVE)
        yanked = [(p, of) for (r, p), of in self.yanked.items() if r == registry]
        deleted = [(p, of) for (r, p), of in self.deleted.items() if r == registry]
        return [
            *(file for file in self.files.values() if file.registry == registry),
            *(TrustedBy(project, publisher_id) for project, publisher_id in trust),
            *(GivenStatus(project, status) for project, status in statuses),
            *(YankedRelease(project, k, why) for project, of in yanked for k, why in of.items()),
            *(DeletedFile(project, n, stone) for project, of in deleted for n, stone in of.items()),
        ]

    @remote
    def list_tokens(self, now: datetime) -> Sequence[TokenRecord]:
        return unexpired(self.tokens.values(), now)

    @remote
    def add_operators_token(self, record: TokenRecord) -> bool:
        (registry,) = record.registries
        if registry in self.configuration.registries:
            self.tokens[record.lookup_id] = record
        return registry in self.configuration.registries

    @remote
    def add_operator_record(self, record: AuditRecord, at: datetime) -> None:
        self.operator_records.append({"time": at.isoformat(), **record.document()})

    @remote
    def list_operator_records(self) -> Sequence[Mapping[str, Any]]:
        return list(self.operator_records)

    @remote
    def newest_operator_records(self, count: int) -> Sequence[Mapping[str, Any]]:
        return self.operator_records[::-1][:count]

    @remote
    def find_key_set(self, issuer_url: str) -> StoredKeySet | None:
        return self.key_sets.get(issuer_url)

    @remote
    def save_key_set(self, issuer_url: str, key_set: StoredKeySet) -> None:
        self.key_sets[issuer_url] = key_set

    @remote
    def claim_key_set_refresh(self, issuer_url: str, now: datetime, cooldown: timedelta) -> bool:
        claimed_at = self.refreshes.get(issuer_url)
        if claimed_at is not None and abs(now - claimed_at) < cooldown:
            return False
        self.refreshes[issuer_url] = now
        return True

    @remote
    def list_receipt_keys(self) -> Sequence[ReceiptKey]:
        return oldest_first(self.receipt_keys.values())

    @remote
    def save_receipt_key(self, key: ReceiptKey, present: ReceiptKey | None) -> bool:
        if self.receipt_keys.get(key.key_id) == present:
            self.receipt_keys[key.key_id] = key
        return self.receipt_keys.get(key.key_id) == key

    @remote
    def list_publishers(self, identity_key: str) -> Sequence[TrustedPublisher]:
        return [p for p in self.publishers.values() if p.identity_key == identity_key]

    @remote
    def pin_publisher(
        self, publisher: TrustedPublisher, pins: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        stored = self.publishers.get(publisher.publisher_id)
        if stored is None:
            return None
        in_force = {**pins, **stored.pins}
        self.publishers[stored.publisher_id] = stored.with_pins(in_force)
        return dict(in_force)

    @remote
    def add_token(self, record: TokenRecord) -> None:
        stored = self.tokens.get(record.lookup_id)
        if stored is None or stored.kept_until < record.issued_at:
            self.tokens[record.lookup_id] = record
        elif stored.token_hash != record.token_hash:
            raise AlreadyExchangedError

    @remote
    def find_token(self, lookup_id: str, place: Place | None) -> tuple[TokenRecord, Trust] | None:
        record = self.tokens.get(lookup_id)
        if record is None:
            return None
        return record, self.trust.get(place, {}) if place else {}

    @remote
    def list_trust(self, places: Sequence[Place]) -> Mapping[Place, Trust]:
        return {place: self.trust.get(place, {}) for place in places}

    @remote
    def use_token(self, record: TokenRecord, file: str) -> bool:
        stored = self.tokens[record.lookup_id]
        if stored.used_for not in {None, file}:
            return False
        self.tokens[record.lookup_id] = replace(stored, used_for=file)
        return True

    @remote
    def burn_token(
        self, lookup_id: str, token_hash: str, registry: str | None, now: datetime
    ) -> bool:
        record = self.tokens.get(lookup_id)
        if record is None or record.token_hash != token_hash or record.burned_at is not None:
            return False
        if registry is not None and registry not in record.registries:
            return False
        self.tokens[lookup_id] = replace(record, burned_at=now)
        return True

    @remote
    def find_entry(self, registry: str, project: str, filename: str) -> Entry:
        found = self.files.get((registry, filename))
        file = found if found is not None and found.project == project else None
        tombstone = self.deleted.get((registry, project), {}).get(filename)
        return Entry(file, tombstone, self.statuses.get((registry, project), ACTIVE))

    @remote
    def announce_file(self, registry: str, project: str, _filename: str) -> Announcement:
        deleted = self.deleted.get((registry, project), {})
        files = self._files_of((registry, project))
        return Announcement([file for file in files if file.filename not in deleted])

    @remote
    def add_file(self, file: PublishedFile, _announcement: Announcement | None = None) -> None:
        if (file.registry, file.filename) in self.files:
            raise AlreadyPublishedError
        if self._is_reserved(file, file.uploaded_at):
            raise ReservedError
        self.files[file.registry, file.filename] = file

    @remote
    def save_attestation_state(
        self, registry: str, project: str, filename: str, state: AttestationState
    ) -> None:
        file = self.files.get((registry, filename))
        if file is not None and file.project == project:
            self.files[registry, filename] = file.with_attestation_state(state)

    @remote
    def find_release(
        self, registry: str, project: str, key: str
    ) -> tuple[Release | None, datetime | None]:
        place = (registry, project, key)
        return self.releases.get(place), self.reopened.get(place)

    @remote
    def save_release(self, release: Release, present: Release | None) -> bool:
        place = (release.registry, release.project, release.key)
        if self.releases.get(place) == present:
            self.releases[place] = release
        return self.releases[place] == release

    @remote
    def reopen_release(self, registry: str, project: str, key: str, until: datetime) -> None:
        self.reopened[registry, project, key] = until

    @remote
    def list_files(self, registry: str, project: str) -> Sequence[PublishedFile]:
        return self._files_of((registry, project))

    def _files_of(self, place: Place) -> list[PublishedFile]:
        files = (f for f in self.files.values() if (f.registry, f.project) == place)
        return sorted(files, key=lambda file: file.filename)

    @remote
    def find_files(self, registry: str, project: str) -> ProjectFiles | None:
        place, files = (registry, project), self._files_of((registry, project))
        deleted = self.deleted.get(place, {})
        visible = [file for file in files if file.filename not in deleted]
        status = self.statuses.get(place, ACTIVE)
        yanked = dict(self.yanked.get(place, {}))
        return ProjectFiles(visible, yanked, status, self._edition_of(place)) if files else None

    @remote
    def find_edition(self, registry: str, project: str) -> str | None:
        place = (registry, project)
        return self._edition_of(place) if self._files_of(place) else None

    def _edition_of(self, place: Place) -> str:
        deleted, yanked = self.deleted.get(place, {}), self.yanked.get(place, {})
        shown = (self._files_of(place), sorted(deleted), yanked, self.statuses.get(place, ACTIVE))
        return hashlib.sha256(repr(shown).encode()).hexdigest()

    @remote
    def list_withdrawn(self, registry: str, project: str) -> Withdrawals:
        place = (registry, project)
        return Withdrawals(dict(self.yanked.get(place, {})), dict(self.deleted.get(place, {})))

    @remote
    def yank_release(self, registry: str, project: str, key: str, reason: str | None) -> None:
        of_project = self.yanked.setdefault((registry, project), {})
        of_project.pop(key, None)
        if reason is not None:
            of_project[key] = reason

    @remote
    def delete_file(
        self, registry: str, project: str, filename: str, tombstone: Tombstone
    ) -> Tombstone:
        return self.deleted.setdefault((registry, project), {}).setdefault(filename, tombstone)

    @remote
    def find_status(self, registry: str, project: str) -> ProjectStatus:
        return self.statuses.get((registry, project), ACTIVE)

    @remote
    def set_status(self, registry: str, project: str, status: ProjectStatus) -> None:
        self.statuses[registry, project] = status

    @remote
    def list_projects(self, registry: str) -> Sequence[str]:
        return sorted({file.project for file in self.files.values() if file.registry == registry})

    @remote
    def add_session(self, session: Session) -> Session:
        place, now = (session.registry, session.project), session.created_at
        of_project = (s for s in self.sessions.values() if (s.registry, s.project) == place)
        live = {s.key: s for s in of_project if s.is_live(now)}
        if session.key in live:
            return live[session.key]
        if len(live) >= MAX_SESSIONS:
            raise TooManySessionsError
        self._replace(session)
        return session

    @remote
    def find_session(self, token: str) -> Session | None:
        return self.sessions.get(token)

    @remote
    def save_session(self, session: Session, present: Session) -> bool:
        return self._save(session, present.revision)

    def _save(self, session: Session, present: int) -> bool:
        stored = self.sessions.get(session.token)
        if stored is not None and stored.revision == present:
            self._replace(session)
        return self.sessions.get(session.token) == session

    def _replace(self, session: Session) -> None:
        pack(session)
        self.sessions[session.token] = session

    @remote
    def reserve(self, session: Session, files: Sequence[PublishedFile]) -> Sequence[str]:
        now = session.processing_since or session.created_at
        taken = [f.filename for f in files if self._is_taken(f, session, now)]
        if not taken:
            mine = {(f.registry, f.filename): (session.reservation, f) for f in files}
            self.reserved.update(mine)
        return taken

    @remote
    def publish_session(self, session: Session) -> bool:
        is_published = self._save(session, session.revision - 1)
        if is_published:
            found = [f for mark, f in self.reserved.values() if session.is_publication_of(mark)]
            self.files.update({(f.registry, f.filename): f for f in found})
        self._release(session.published_reservation)
        stored = self.sessions.get(session.token)
        return stored is not None and stored.is_publication_of(session.published_reservation)

    @remote
    def release(self, session: Session) -> None:
        self._release(session.reservation)

    def _release(self, reservation: str) -> None:
        kept = {place: held for place, held in self.reserved.items() if held[0] != reservation}
        self.reserved = kept

    @remote
    def list_sessions(self, now: datetime) -> Sequence[Session]:
        live = (session for session in self.sessions.values() if session.is_live(now))
        return sorted(live, key=lambda session: (session.created_at, session.token))

    def _is_taken(self, file: PublishedFile, session: Session, now: datetime) -> bool:
        place = (file.registry, file.filename)
        mine = place in self.reserved and self.reserved[place][0] == session.reservation
        return place in self.files or (not mine and self._is_reserved(file, now))

    def _is_reserved(self, file: PublishedFile, now: datetime) -> bool:
        reservation, _ = self.reserved.get((file.registry, file.filename), ("", file))
        session = self.sessions.get(reservation.partition("#")[0])
        if session is None or session.reservation != reservation:
            return False
        if session.is_interrupted(now):
            self._save(session.failed(INTERRUPTED), session.revision)
            return False
        return session.status is SessionStatus.PROCESSING


def stored_bytes(files: FileStore, key: str) -> bytes:
    """Return the bytes under a key; raise KeyError."""
    with files.open(key) as content:
        return read_all(content)


class MemoryFiles(Failing):
    """A FileStore. With ``elsewhere`` set, bytes are downloaded from that URL."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: dict[str, bytes] = {}
        self.kept: set[str] = set()
        self.put_signer = PutSigner(b"of every test")
        self.elsewhere: str | None = None

    @remote
    def save(self, key: str, content: Content, sha256: str) -> None:
        octets = bytes(content.read_at(0, content.size))
        assert hashlib.sha256(octets).hexdigest() == sha256, "the hash of other bytes"
        assert self.contents.setdefault(key, octets) == octets, "the same key, other bytes"

    @remote
    def open(self, key: str) -> AbstractContextManager[Content]:
        return nullcontext(Held(self.contents[key]))

    @remote
    def upload_target(self, key: str, size: int, sha256: str, now: datetime) -> Target:
        return self.put_signer.sign(SignedPut(key, size, sha256), now)

    @remote
    def find(self, key: str) -> Stored | None:
        octets = self.contents.get(key)
        return None if octets is None else Stored(len(octets), None)

    @remote
    def keep(self, key: str) -> None:
        assert key.startswith(STAGED)
        if key not in self.contents:
            raise KeyError(key)
        self.kept.add(key)

    @remote
    def drop(self, key: str) -> None:
        assert key.startswith(STAGED)
        if key not in self.kept:
            self.contents.pop(key, None)

    def download_url(self, key: str, filename: str) -> str | None:
        return None if self.elsewhere is None else f"{self.elsewhere}/{key}"
