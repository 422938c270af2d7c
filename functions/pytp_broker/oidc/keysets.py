"""Cache of issuers' signing keys, which discovery finds.

A key set is taken from memory, then from the store (so that a cold start survives an issuer's
outage), then from the issuer. It is refreshed when it is old, or when a token names an unknown key.
All instances together refresh it at most once per cooldown, and share it through the store. A
failure starts the cooldown as well, because an attacker can freely choose the key id of an
unverified token.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final, Protocol

from pytp_broker.audit.findings import KeySet, KeySetReason
from pytp_broker.audit.record import Audit, AuditRecord
from pytp_broker.errors import InvalidToken, IssuerUnavailable, StoreUnavailable
from pytp_broker.oidc.discovery import fetch_key_set
from pytp_broker.oidc.documents import Fetch, FetchError, Reach
from pytp_broker.oidc.jwks import RawKeys, VerificationKey, find_faults, read_key_set
from pytp_broker.registries import PUBLIC_ACCESS, Access, Issuer

COOLDOWN: Final = timedelta(seconds=60)
# A key that the issuer withdraws is useless after this time, also when it publishes no other.
MAX_AGE: Final = timedelta(hours=1)
# While the issuer does not answer, its last good keys are served for this time.
MAX_STALE: Final = timedelta(hours=24)
# Another instance refreshes: we look again for what it found after this time.
LOOK_AGAIN: Final = timedelta(seconds=5)
# If we have no key set at all, we wait for the other instance: half of a client's patience.
WAIT_SECONDS: Final = 0.25
MAX_WAITS: Final = 10

_NO_USABLE_KEY: Final = "the issuer publishes no key that can verify its tokens"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def _reach_nobody(_access: Access) -> Fetch:
    raise FetchError("this broker reaches no issuer with `private`, `ca_file` or `proxy`")


@dataclass(frozen=True, slots=True)
class StoredKeySet:
    """An issuer's last good key set, as fetched."""

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


@dataclass(frozen=True, slots=True)
class _KeySet:
    """The usable keys of one fetch; replaced as a whole, so that no reader sees half of it.

    ``good_for`` bounds how long the keys are served while no newer ones can be fetched.
    """

    keys: Mapping[str, VerificationKey] = field(default_factory=dict)
    fetched_at: datetime = _NEVER
    good_for: timedelta = MAX_STALE

    def age(self, now: datetime) -> timedelta:
        return now - self.fetched_at

    def fresh_key(self, key_id: str, now: datetime) -> VerificationKey | None:
        return self.keys.get(key_id) if self.age(now) < MAX_AGE else None

    def stale_key(self, key_id: str, now: datetime) -> VerificationKey | None:
        return self.keys.get(key_id) if self.age(now) < self.good_for else None


@dataclass(slots=True)
class _Cached:
    """What one instance knows of an issuer. Before ``due_at`` neither store nor issuer is asked."""

    key_set: _KeySet = field(default_factory=_KeySet)
    due_at: datetime = _NEVER
    lock: Lock = field(default_factory=Lock)


class KeySets:
    """The key sets of all issuers."""

    def __init__(
        self,
        fetch: Fetch,
        store: KeySetStore,
        audit: Audit,
        wait: Callable[[float], None] = time.sleep,
        reach: Reach = _reach_nobody,
    ) -> None:
        self._fetch = fetch
        self._reach = reach
        self._store = store
        self._audit = audit
        self._wait = wait
        # The key is the whole issuer, not its URL: changed algorithms must not use an old entry.
        self._cache: dict[Issuer, _Cached] = {}

    def find_key(self, issuer: Issuer, unverified_key_id: str, now: datetime) -> VerificationKey:
        """Return the issuer's key of this id.

        Raises InvalidToken when the issuer has no such key, IssuerUnavailable when we cannot know.
        """
        cached = self._cache.setdefault(issuer, _Cached())
        key = cached.key_set.fresh_key(unverified_key_id, now)
        if key is None:
            self._renew(cached, issuer, unverified_key_id, now)
            key = _usable_key(cached, unverified_key_id, now)
        return key

    def _renew(self, cached: _Cached, issuer: Issuer, key_id: str, now: datetime) -> None:
        """Bring the key set up to date, if that is due.

        One thread at a time. A thread without a stale key to use waits for it and takes its result.
        """
        must_wait = cached.key_set.stale_key(key_id, now) is None
        if not cached.lock.acquire(blocking=must_wait):
            return
        try:
            if now >= cached.due_at and cached.key_set.fresh_key(key_id, now) is None:
                self._look(cached, issuer, key_id, now)
        finally:
            cached.lock.release()

    def _look(self, cached: _Cached, issuer: Issuer, key_id: str, now: datetime) -> None:
        self._take_stored(cached, issuer, now)
        if cached.key_set.fresh_key(key_id, now) is not None:
            return
        if self._claim(issuer, now):
            cached.due_at = now + COOLDOWN
            self._refresh(cached, issuer, now)
        else:
            self._wait_for_another(cached, issuer, now)
            is_answered = cached.key_set.age(now) < COOLDOWN
            cached.due_at = (
                cached.key_set.fetched_at + COOLDOWN if is_answered else now + LOOK_AGAIN
            )

    def _take_stored(self, cached: _Cached, issuer: Issuer, now: datetime) -> None:
        try:
            stored = self._store.find_key_set(issuer.url)
        except StoreUnavailable:
            return
        # A set dated in the future comes from a wrong clock and would never expire: ignore it.
        if stored and cached.key_set.fetched_at < stored.fetched_at < now + COOLDOWN:
            cached.key_set = _KeySet(read_key_set(stored.keys, issuer), stored.fetched_at)

    def _claim(self, issuer: Issuer, now: datetime) -> bool:
        try:
            return self._store.claim_key_set_refresh(issuer.url, now, COOLDOWN)
        except StoreUnavailable:
            return True  # without the store every instance keeps its own cooldown

    def _wait_for_another(self, cached: _Cached, issuer: Issuer, now: datetime) -> None:
        # Many instances start together when a deployment or an issuer is new: one fetches.
        for _ in range(MAX_WAITS):
            if cached.key_set.age(now) < MAX_STALE:
                return
            self._wait(WAIT_SECONDS)
            self._take_stored(cached, issuer, now)

    def _refresh(self, cached: _Cached, issuer: Issuer, now: datetime) -> None:
        try:
            raw_keys = fetch_key_set(issuer, self._fetch_for(issuer))
        except FetchError as error:
            self._audit(_failure(issuer, cached.key_set.age(now), error.explanation))
            return
        keys = read_key_set(raw_keys, issuer)
        if not keys:
            self._withdraw(cached, issuer, raw_keys, now)
            return
        cached.key_set = _KeySet(keys, now)
        for record in find_faults(raw_keys, issuer):
            self._audit(record)
        self._save(issuer, StoredKeySet(raw_keys, now))

    def _withdraw(self, cached: _Cached, issuer: Issuer, raw_keys: RawKeys, now: datetime) -> None:
        """Record that the issuer answered without a usable key.

        It may be the issuer's mistake, so fresh keys stay in force; but it may be an emergency, so
        they are never served stale. The store tells the other instances.
        """
        known = cached.key_set
        if known.keys and known.age(now) < MAX_AGE:
            self._audit(_failure(issuer, known.age(now), _NO_USABLE_KEY))
            cached.key_set = replace(known, good_for=MAX_AGE)
            return
        self._audit(_failure(issuer, MAX_STALE, _NO_USABLE_KEY))
        # An issuer that has never published a key is not ready yet, so it has not withdrawn any.
        if raw_keys or known.fetched_at != _NEVER:
            cached.key_set = _KeySet({}, now)
            self._save(issuer, StoredKeySet(raw_keys, now))

    def _fetch_for(self, issuer: Issuer) -> Fetch:
        # Each issuer has its own access: no other issuer may use its authorities or its network.
        return self._fetch if issuer.access == PUBLIC_ACCESS else self._reach(issuer.access)

    def _save(self, issuer: Issuer, key_set: StoredKeySet) -> None:
        try:
            self._store.save_key_set(issuer.url, key_set)
        except StoreUnavailable:
            return  # kept for others and for cold starts; the exchange at hand does not need it


def _usable_key(cached: _Cached, key_id: str, now: datetime) -> VerificationKey:
    # A refresh was tried or refused before this, so stale keys count now, for a bounded time.
    key = cached.key_set.stale_key(key_id, now)
    if key is not None:
        return key
    if cached.key_set.age(now) < COOLDOWN:
        raise InvalidToken(
            "the identity token is signed with a key that its issuer does not publish"
        )
    # No refresh is due although the set is older than a cooldown, so the last refresh failed.
    raise IssuerUnavailable(
        "the issuer's key set cannot be fetched; try again in a minute",
        retry_after_seconds=max(1, math.ceil((cached.due_at - now).total_seconds())),
    )


def _failure(issuer: Issuer, age: timedelta, detail: str) -> AuditRecord:
    """Return the record of a refresh that failed: what alarms count."""
    return KeySet(issuer=issuer.url).failed(_failure_reason(age), detail)


def _failure_reason(age: timedelta) -> KeySetReason:
    if age < MAX_AGE:
        return "refresh-failed"
    return "stale" if age < MAX_STALE else "no-keys"
