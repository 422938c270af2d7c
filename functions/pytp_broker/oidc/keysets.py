"""The key sets of all issuers, each in a cache of its own.

All instances together refresh an issuer's key set at most once per cooldown, and share it through
the store.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pytp_broker.audit.record import Audit, AuditRecord
from pytp_broker.errors import InvalidToken, IssuerUnavailable
from pytp_broker.oidc.discovery import fetch_key_set
from pytp_broker.oidc.documents import RawKeys, Reach
from pytp_broker.oidc.jwks import VerificationKey, find_faults, read_key_set
from pytp_broker.oidc.keycache import KeyCache, KeySetStore, NoKeysError, Terms, UnknownKeyError
from pytp_broker.registries import Issuer

COOLDOWN: Final = timedelta(seconds=60)
# A key that the issuer withdraws is useless after this time, even if the issuer publishes no other.
MAX_AGE: Final = timedelta(hours=1)
# While the issuer does not answer, its last good keys are served for this time.
MAX_STALE: Final = timedelta(hours=24)
_TERMS: Final = Terms(COOLDOWN, MAX_AGE, MAX_STALE, alarm_age=MAX_AGE, is_shared=True)


class KeySets:
    """The key sets of all issuers.

    ``reach`` returns what fetches the documents of an issuer. Each issuer has its own access: no
    other issuer may use its authorities or its network.
    """

    def __init__(
        self,
        reach: Reach,
        store: KeySetStore,
        audit: Audit,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reach = reach
        self._store = store
        self._audit = audit
        self._wait = wait
        # The key is the whole issuer, not its URL: changed algorithms must not use an old entry.
        self._caches: dict[Issuer, KeyCache[VerificationKey]] = {}

    def find_key(self, issuer: Issuer, unverified_key_id: str, now: datetime) -> VerificationKey:
        """Return the issuer's key of this id.

        Raises InvalidToken when the issuer has no such key, IssuerUnavailable when we cannot know.
        """
        try:
            return self._cache_for(issuer).find_key(unverified_key_id, now)
        except UnknownKeyError:
            raise InvalidToken(
                "the identity token is signed with a key that its issuer does not publish"
            ) from None
        except NoKeysError as error:
            raise IssuerUnavailable(
                "the issuer's key set cannot be fetched; try again in a minute",
                retry_after_seconds=error.retry_after_seconds,
            ) from None

    def key_at_hand(
        self, issuer: Issuer, unverified_key_id: str, now: datetime
    ) -> VerificationKey | None:
        """Return the issuer's key of this id, if it is in memory and fresh."""
        return self._cache_for(issuer).key_at_hand(unverified_key_id, now)

    def ages(self, now: datetime) -> list[tuple[Issuer, timedelta]]:
        """Return the issuers whose keys are in memory, and how old these are."""
        known = [(issuer, cache.age(now)) for issuer, cache in tuple(self._caches.items())]
        return [(issuer, age) for issuer, age in known if age is not None]

    def _cache_for(self, issuer: Issuer) -> KeyCache[VerificationKey]:
        cache = self._caches.get(issuer)
        if cache is not None:
            return cache
        source = _IssuerKeys(issuer, self._reach)
        cache = KeyCache(source, _TERMS, self._store, self._audit, self._wait)
        # Two threads may come here together. Both take the entry that is there first.
        return self._caches.setdefault(issuer, cache)


@dataclass(frozen=True, slots=True)
class _IssuerKeys:
    """An issuer as a source of keys."""

    issuer: Issuer
    reach: Reach

    @property
    def url(self) -> str:
        return self.issuer.url

    def fetch(self) -> RawKeys:
        return fetch_key_set(self.issuer, self.reach(self.issuer.access))

    def read(self, raw_keys: RawKeys) -> Mapping[str, VerificationKey]:
        return read_key_set(raw_keys, self.issuer)

    def find_faults(self, raw_keys: RawKeys) -> Iterator[AuditRecord]:
        return find_faults(raw_keys, self.issuer)
