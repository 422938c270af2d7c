"""Issuers' key sets: found by discovery, cached, aged, and never refreshed more than needed.

A key set is taken from memory, then from the store (so that a cold start survives an issuer's
outage), then from the issuer. It is refreshed when it is old, or when a token names an unknown
key; either way at most once per cooldown, and a failure starts the cooldown as well: the key id
of an unverified token is an attacker's free choice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from pytp_broker.errors import InvalidPayload, InvalidToken, IssuerUnavailable, StoreUnavailable
from pytp_broker.messages import parse_json_object
from pytp_broker.registries import Issuer

COOLDOWN: Final = timedelta(seconds=60)
# A key that the issuer withdraws is dead after this time.
MAX_AGE: Final = timedelta(hours=1)
# While the issuer is down its last good keys are served for this time.
MAX_STALE: Final = timedelta(hours=24)
MIN_RSA_BITS: Final = 2048
MAX_KEYS: Final = 100

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _KeyType:
    """How to read one `kty`: its public members only, so that no private one is ever loaded."""

    parse: Callable[[dict[str, Any]], Any]
    members: tuple[str, ...]
    algorithms: tuple[str, ...]


# Asymmetric keys only: with `oct` an attacker who knows a public value could sign (CVE-2022-29217).
_KEY_TYPES: Final = {
    "RSA": _KeyType(
        RSAAlgorithm.from_jwk,
        ("kty", "n", "e"),
        ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ),
    "EC": _KeyType(ECAlgorithm.from_jwk, ("kty", "crv", "x", "y"), ("ES256", "ES384", "ES512")),
    "OKP": _KeyType(OKPAlgorithm.from_jwk, ("kty", "crv", "x"), ("EdDSA",)),
}
ASYMMETRIC_ALGORITHMS: Final = tuple(a for t in _KEY_TYPES.values() for a in t.algorithms)


class FetchError(Exception):
    """A document of the issuer cannot be had, or is not what it must be."""


class Fetch(Protocol):
    """Get a small document over HTTPS within its own limits of time and size."""

    def __call__(self, url: str) -> bytes:
        """Return the body; raise FetchError."""


@dataclass(frozen=True, slots=True)
class StoredKeySet:
    """An issuer's last good key set, as fetched."""

    keys: Sequence[Mapping[str, Any]]
    fetched_at: datetime


class KeySetStore(Protocol):
    """Where good key sets survive a cold start."""

    def find_key_set(self, issuer_url: str) -> StoredKeySet | None:
        """Return the issuer's last good key set."""

    def save_key_set(self, issuer_url: str, key_set: StoredKeySet) -> None:
        """Keep a good key set."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms that it may verify."""

    public_key: Any
    algorithms: tuple[str, ...]


@dataclass(slots=True)
class _CachedKeySet:
    keys: Mapping[str, VerificationKey] = field(default_factory=dict)
    fetched_at: datetime = _NEVER
    attempted_at: datetime = _NEVER
    failed: bool = False

    def age(self, now: datetime) -> timedelta:
        return now - self.fetched_at


class KeySets:
    """The key sets of all issuers."""

    def __init__(self, fetch: Fetch, store: KeySetStore) -> None:
        self._fetch = fetch
        self._store = store
        self._cache: dict[str, _CachedKeySet] = {}
        self._locks: dict[str, Lock] = {}

    def find_key(self, issuer: Issuer, unverified_key_id: str, now: datetime) -> VerificationKey:
        """Return the issuer's key of this id.

        Raises InvalidToken when the issuer has no such key, IssuerUnavailable when we cannot know.
        """
        cached = self._cache.get(issuer.url)
        key = _fresh_key(cached, unverified_key_id, now)
        if key is None:
            # One refresh at a time; whoever waited finds its result.
            with self._locks.setdefault(issuer.url, Lock()):
                cached = self._load(issuer)
                key = _fresh_key(cached, unverified_key_id, now)
                if key is None:
                    self._refresh(cached, issuer, now)
                    key = _usable_key(cached, unverified_key_id, now)
        return key

    def _load(self, issuer: Issuer) -> _CachedKeySet:
        if issuer.url not in self._cache:
            self._cache[issuer.url] = self._load_stored(issuer)
        return self._cache[issuer.url]

    def _load_stored(self, issuer: Issuer) -> _CachedKeySet:
        try:
            stored = self._store.find_key_set(issuer.url)
        except StoreUnavailable:
            return _CachedKeySet()
        if stored is None:
            return _CachedKeySet()
        return _CachedKeySet(read_key_set(stored.keys, issuer), stored.fetched_at)

    def _refresh(self, cached: _CachedKeySet, issuer: Issuer, now: datetime) -> None:
        if now - cached.attempted_at < COOLDOWN:
            return
        cached.attempted_at = now
        try:
            raw_keys = fetch_key_set(issuer, self._fetch)
        except FetchError:
            raw_keys = []
        keys = read_key_set(raw_keys, issuer)
        cached.failed = not keys
        if cached.failed:
            return  # an empty set never replaces a good one
        cached.keys, cached.fetched_at = keys, now
        self._save(issuer, StoredKeySet(raw_keys, now))

    def _save(self, issuer: Issuer, key_set: StoredKeySet) -> None:
        try:
            self._store.save_key_set(issuer.url, key_set)
        except StoreUnavailable:
            return  # kept for cold starts only; the exchange at hand does not need it


def _fresh_key(cached: _CachedKeySet | None, key_id: str, now: datetime) -> VerificationKey | None:
    if cached is None or cached.age(now) >= MAX_AGE:
        return None
    return cached.keys.get(key_id)


def _usable_key(cached: _CachedKeySet, key_id: str, now: datetime) -> VerificationKey:
    # Reached after a refresh was tried or refused: stale keys count now, but not for ever.
    key = cached.keys.get(key_id) if cached.age(now) < MAX_STALE else None
    if key is not None:
        return key
    if cached.failed:
        raise IssuerUnavailable(
            "the issuer's key set cannot be fetched; try again in a minute",
            retry_after_seconds=int(COOLDOWN.total_seconds()),
        )
    raise InvalidToken("the identity token is signed with a key that its issuer does not publish")


def fetch_key_set(issuer: Issuer, fetch: Fetch) -> Sequence[Mapping[str, Any]]:
    """Return the keys of an issuer as it publishes them (OpenID Connect Discovery §4).

    Raises FetchError.
    """
    discovery_url = issuer.url.rstrip("/") + "/.well-known/openid-configuration"
    discovery = _parse(fetch(discovery_url))
    if discovery.get("issuer") != issuer.url:
        raise FetchError("the discovery document names another issuer")
    jwks_url = discovery.get("jwks_uri")
    if not isinstance(jwks_url, str) or not _may_fetch(jwks_url, issuer):
        raise FetchError("the discovery document's jwks_uri is not on an allowed host")
    keys = _parse(fetch(jwks_url)).get("keys")
    if not isinstance(keys, list):
        raise FetchError("the key set has no list of keys")
    return [key for key in keys[:MAX_KEYS] if isinstance(key, dict)]


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return parse_json_object(body)
    except InvalidPayload as problem:
        raise FetchError(problem.detail) from None


def _may_fetch(jwks_url: str, issuer: Issuer) -> bool:
    try:
        url, home = urlsplit(jwks_url), urlsplit(issuer.url)
        allowed = url.netloc == home.netloc or (
            url.netloc in issuer.jwks_hosts and url.scheme == "https"
        )
    except ValueError:
        return False
    # Plain http is an issuer's only where the configuration allows it: on loopback, locally.
    return allowed and url.scheme == home.scheme and jwks_url.isprintable()


def read_key_set(
    raw_keys: Sequence[Mapping[str, Any]], issuer: Issuer
) -> dict[str, VerificationKey]:
    """Return the usable keys by their id; a bad key is skipped, never the set.

    Two different keys with one id are both skipped: nobody can say which is meant (RFC 7517 §4.5).
    """
    found: dict[str, VerificationKey] = {}
    sources: dict[str, str] = {}
    for raw_key in raw_keys:
        key_id, source = raw_key.get("kid"), json.dumps(raw_key, sort_keys=True)
        if not isinstance(key_id, str) or sources.get(key_id) == source:
            continue
        if key_id in sources:
            found.pop(key_id, None)
            continue
        sources[key_id] = source
        key = _read_key(raw_key, issuer)
        if key is not None:
            found[key_id] = key
    return found


def _read_key(raw_key: Mapping[str, Any], issuer: Issuer) -> VerificationKey | None:
    key_type = _KEY_TYPES.get(str(raw_key.get("kty")))
    if key_type is None or not _is_for_signatures(raw_key):
        return None
    try:
        public_key = key_type.parse({name: raw_key[name] for name in key_type.members})
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(public_key, RSAPublicKey) and public_key.key_size < MIN_RSA_BITS:
        return None
    algorithms = tuple(
        name
        for name in issuer.algorithms
        if name in key_type.algorithms and raw_key.get("alg", name) == name
    )
    return VerificationKey(public_key, algorithms) if algorithms else None


def _is_for_signatures(raw_key: Mapping[str, Any]) -> bool:
    operations = raw_key.get("key_ops", ["verify"])
    return (
        raw_key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )
