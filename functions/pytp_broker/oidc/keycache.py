"""Cache of the public keys of one source: an issuer, or secret scanning.

Keys are taken from memory, then from the store (so that a cold start survives an outage of the
source), then from the source. They are fetched anew when they are old, or when a request names an
unknown key. A failed fetch starts the cooldown as well, because an attacker can freely choose the
key id of a request that nobody has verified yet. It never replaces good keys.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final, Generic, Protocol, TypeVar

from pytp_broker.audit.findings import KeySet, KeySetReason
from pytp_broker.audit.record import Audit, AuditRecord
from pytp_broker.errors import StoreUnavailable
from pytp_broker.oidc.documents import FetchError, RawKeys

# Another instance refreshes: we look again for what it found after this time.
LOOK_AGAIN: Final = timedelta(seconds=5)
# If we have no keys at all, we wait for the other instance: half of a client's patience.
WAIT_SECONDS: Final = 0.25
MAX_WAITS: Final = 10

NO_USABLE_KEY: Final = "it publishes no key that we can use"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

Key = TypeVar("Key")
Key_co = TypeVar("Key_co", covariant=True)


class UnknownKeyError(Exception):
    """The source does not publish the key, as far as we could see a moment ago."""


class NoKeysError(Exception):
    """We cannot know whether the source publishes the key, because its keys cannot be fetched."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class StoredKeySet:
    """The last good key set of a source, as fetched."""

    keys: RawKeys
    fetched_at: datetime


class KeySetStore(Protocol):
    """Store that keeps good key sets over a cold start and decides which instance refreshes."""

    def find_key_set(self, issuer_url: str) -> StoredKeySet | None:
        """Return the issuer's last good key set."""

    def save_key_set(self, issuer_url: str, key_set: StoredKeySet) -> None:
        """Keep a good key set."""

    def claim_key_set_refresh(self, issuer_url: str, now: datetime, cooldown: timedelta) -> bool:
        """Claim the issuer's next refresh, in one conditional write; say whether it is ours.

        No claim succeeds within a cooldown of the last one. A claim dated in the future comes from
        a wrong clock. It holds no longer than a cooldown, because otherwise it would never end.
        """


class Source(Protocol[Key_co]):
    """Publisher of keys, and the way to read them."""

    @property
    def url(self) -> str:
        """Return the name of the source in the store and in audit records."""

    def fetch(self) -> RawKeys:
        """Return the keys as published; raise FetchError."""

    def read(self, raw_keys: RawKeys) -> Mapping[str, Key_co]:
        """Return the usable keys by their id."""

    def find_faults(self, raw_keys: RawKeys) -> Iterable[AuditRecord]:
        """Return a record for each kind of fault in a key set that is otherwise good."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long the keys of a source are good, and how often they may be fetched.

    A key is fresh for ``max_age`` after it was last seen. While no newer keys can be fetched, it is
    good for ``max_stale``; a fetch that fails is recorded as `stale` from ``alarm_age`` on. There
    is one fetch in a ``cooldown``: of all instances together if ``is_shared``, or of each one.
    """

    cooldown: timedelta
    max_age: timedelta
    max_stale: timedelta
    alarm_age: timedelta
    is_shared: bool

    def failure(self, age: timedelta) -> KeySetReason:
        """Return the reason that is recorded when keys of this age cannot be replaced."""
        if age < self.alarm_age:
            return "refresh-failed"
        return "stale" if age < self.max_stale else "no-keys"


@dataclass(frozen=True, slots=True)
class _KeySet(Generic[Key]):
    """The usable keys of one fetch; replaced as a whole, so that no reader sees half of it.

    ``good_for`` bounds how long the keys are served while no newer ones can be fetched.
    """

    fresh_for: timedelta
    good_for: timedelta
    keys: Mapping[str, Key] = field(default_factory=dict)
    fetched_at: datetime = _NEVER

    def age(self, now: datetime) -> timedelta:
        return now - self.fetched_at

    def fresh_key(self, key_id: str, now: datetime) -> Key | None:
        return self.keys.get(key_id) if self.age(now) < self.fresh_for else None

    def good_key(self, key_id: str, now: datetime) -> Key | None:
        return self.keys.get(key_id) if self.age(now) < self.good_for else None


class KeyCache(Generic[Key]):
    """The keys of one source. Before ``_due_at`` neither the store nor the source is asked."""

    def __init__(
        self,
        source: Source[Key],
        terms: Terms,
        store: KeySetStore,
        audit: Audit,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._terms = terms
        self._store = store
        self._audit = audit
        self._wait = wait
        self._known: _KeySet[Key] = _KeySet(terms.max_age, terms.max_stale)
        self._due_at = _NEVER
        self._lock = Lock()

    def age(self, now: datetime) -> timedelta | None:
        """Return how old the keys in memory are; None if there are none."""
        known = self._known
        return None if known.fetched_at == _NEVER else known.age(now)

    def key_at_hand(self, key_id: str, now: datetime) -> Key | None:
        """Return the key of this id, if it is in memory and fresh."""
        return self._known.fresh_key(key_id, now)

    def find_key(self, key_id: str, now: datetime) -> Key:
        """Return the key of this id; raise UnknownKeyError, or NoKeysError when we cannot know."""
        key = self._known.fresh_key(key_id, now)
        if key is None:
            self._renew(key_id, now)
            # A refresh was tried or refused, so older keys count now, for a bounded time.
            key = self._known.good_key(key_id, now)
        if key is None:
            raise self._lack(now)
        return key

    def _lack(self, now: datetime) -> UnknownKeyError | NoKeysError:
        if self._known.age(now) < self._terms.cooldown:
            return UnknownKeyError()
        # No refresh is due although the keys are older than a cooldown, so the last one failed.
        return NoKeysError(max(1, math.ceil((self._due_at - now).total_seconds())))

    def _renew(self, key_id: str, now: datetime) -> None:
        """Bring the keys up to date, if that is due.

        One thread does this at a time. A thread without an older key waits for that thread and uses
        its result.
        """
        must_wait = self._known.good_key(key_id, now) is None
        if not self._lock.acquire(blocking=must_wait):
            return
        try:
            if now >= self._due_at and self._known.fresh_key(key_id, now) is None:
                self._look(key_id, now)
        finally:
            self._lock.release()

    def _look(self, key_id: str, now: datetime) -> None:
        self._take_stored(now)
        if self._known.fresh_key(key_id, now) is not None:
            return
        if self._claim(now):
            self._due_at = now + self._terms.cooldown
            self._refresh(now)
        else:
            self._wait_for_another(now)
            is_answered = self._known.age(now) < self._terms.cooldown
            self._due_at = (
                self._known.fetched_at + self._terms.cooldown if is_answered else now + LOOK_AGAIN
            )

    def _take_stored(self, now: datetime) -> None:
        try:
            stored = self._store.find_key_set(self._source.url)
        except StoreUnavailable:
            return
        # Keys dated in the future come from a wrong clock and would never expire: ignore them.
        latest = now + self._terms.cooldown
        if stored and self._known.fetched_at < stored.fetched_at < latest:
            self._know(self._source.read(stored.keys), stored.fetched_at)

    def _know(self, keys: Mapping[str, Key], fetched_at: datetime) -> None:
        self._known = _KeySet(self._terms.max_age, self._terms.max_stale, keys, fetched_at)

    def _claim(self, now: datetime) -> bool:
        if not self._terms.is_shared:
            return True
        try:
            return self._store.claim_key_set_refresh(self._source.url, now, self._terms.cooldown)
        except StoreUnavailable:
            return True  # without the store every instance keeps its own cooldown

    def _wait_for_another(self, now: datetime) -> None:
        # Many instances start together when a deployment or an issuer is new: one fetches.
        for _ in range(MAX_WAITS):
            if self._known.age(now) < self._terms.max_stale:
                return
            self._wait(WAIT_SECONDS)
            self._take_stored(now)

    def _refresh(self, now: datetime) -> None:
        try:
            raw_keys = self._source.fetch()
        except FetchError as error:
            self._record_failure(self._known.age(now), error.explanation)
            return
        keys = self._source.read(raw_keys)
        if not keys:
            self._withdraw(raw_keys, now)
            return
        self._know(keys, now)
        for record in self._source.find_faults(raw_keys):
            self._audit(record)
        self._save(raw_keys, now)

    def _withdraw(self, raw_keys: RawKeys, now: datetime) -> None:
        """Record that the source answered without a usable key.

        It may be a mistake, so fresh keys stay in force; but it may be an emergency, so they are
        never served stale. The store tells the other instances.
        """
        known = self._known
        if known.keys and known.age(now) < self._terms.max_age:
            self._record_failure(known.age(now), NO_USABLE_KEY)
            self._known = replace(known, good_for=known.fresh_for)
            return
        self._record_failure(self._terms.max_stale, NO_USABLE_KEY)
        # A source that has never published a key is not ready yet, so it has not withdrawn any.
        if raw_keys or known.fetched_at != _NEVER:
            self._know({}, now)
            self._save(raw_keys, now)

    def _record_failure(self, age: timedelta, detail: str) -> None:
        """Record a refresh that failed: what alarms count."""
        self._audit(KeySet(issuer=self._source.url).failed(self._terms.failure(age), detail))

    def _save(self, raw_keys: RawKeys, now: datetime) -> None:
        try:
            self._store.save_key_set(self._source.url, StoredKeySet(raw_keys, now))
        except StoreUnavailable:
            return  # kept for others and for cold starts; the request at hand does not need it
