"""Read the keys of a JSON Web Key Set (RFC 7517): those that may verify an issuer's tokens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pytp_broker.audit.findings import KeySet, KeySetReason
from pytp_broker.audit.record import AuditRecord
from pytp_broker.oidc.documents import RawKeys
from pytp_broker.oidc.signatures import PublicKey, read_ec, read_okp, read_rsa
from pytp_broker.redaction import printable
from pytp_broker.registries import Issuer

MIN_RSA_BITS: Final = 2048
MAX_KEYS: Final = 100
MAX_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _KeyType:
    """How to read one `kty`: only its public members, so that no private key is ever loaded."""

    parse: Callable[[Mapping[str, Any]], PublicKey]
    members: tuple[str, ...]
    algorithms: tuple[str, ...]


# Asymmetric keys only: with `oct` an attacker who knows a public value could sign (CVE-2022-29217).
_KEY_TYPES: Final = {
    "RSA": _KeyType(
        read_rsa,
        ("kty", "n", "e"),
        ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ),
    "EC": _KeyType(read_ec, ("kty", "crv", "x", "y"), ("ES256", "ES384", "ES512")),
    "OKP": _KeyType(read_okp, ("kty", "crv", "x"), ("EdDSA",)),
}
ASYMMETRIC_ALGORITHMS: Final = tuple(a for t in _KEY_TYPES.values() for a in t.algorithms)
# The members that we keep of a published key. An issuer may publish secret ones by mistake.
PUBLIC_MEMBERS: Final = ("kid", "kty", "use", "key_ops", "alg", "n", "e", "crv", "x", "y")


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms that it may verify."""

    public_key: PublicKey
    algorithms: tuple[str, ...]


def read_key_set(raw_keys: RawKeys, issuer: Issuer) -> dict[str, VerificationKey]:
    """Return the usable keys by their id; a bad key is skipped, never the set.

    Two different keys with one id are both skipped: nobody can say which is meant (RFC 7517 §4.5).
    """
    found: dict[str, VerificationKey] = {}
    for key_id, raw_keys_of_id in _by_key_id(raw_keys).items():
        read = (_read_key(raw_key, issuer) for raw_key in raw_keys_of_id)
        same = _only_key([key for key in read if key is not None])
        if same is not None:
            found[key_id] = same
    return found


def _only_key(keys: Sequence[VerificationKey]) -> VerificationKey | None:
    """Return the keys as one key for all of their algorithms; None if they differ."""
    if not keys or any(key.public_key != keys[0].public_key for key in keys):
        return None
    algorithms = dict.fromkeys(name for key in keys for name in key.algorithms)
    return VerificationKey(keys[0].public_key, tuple(algorithms))


def _by_key_id(raw_keys: RawKeys) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for raw_key in raw_keys:
        key_id = raw_key.get("kid")
        if isinstance(key_id, str):
            found.setdefault(key_id, []).append(raw_key)
    return found


def _read_key(raw_key: Mapping[str, Any], issuer: Issuer) -> VerificationKey | None:
    if not _is_for_signatures(raw_key):
        return None
    try:
        public_key = _parse_key(raw_key)
    except _UnusableKeyError:
        return None
    algorithms = tuple(
        name
        for name in issuer.algorithms
        if name in _KEY_TYPES[raw_key["kty"]].algorithms and raw_key.get("alg", name) == name
    )
    return VerificationKey(public_key, algorithms) if algorithms else None


class _UnusableKeyError(Exception):
    """A key is malformed, weak, or of a kind that an issuer must not publish."""


def _parse_key(raw_key: Mapping[str, Any]) -> PublicKey:
    key_type = _KEY_TYPES.get(str(raw_key.get("kty")))
    if key_type is None:
        raise _UnusableKeyError
    try:
        public_key = key_type.parse({name: raw_key[name] for name in key_type.members})
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise _UnusableKeyError from None
    if isinstance(public_key, RSAPublicKey) and public_key.key_size < MIN_RSA_BITS:
        raise _UnusableKeyError
    return public_key


def _is_for_signatures(raw_key: Mapping[str, Any]) -> bool:
    operations = raw_key.get("key_ops", ["verify"])
    return (
        raw_key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def find_faults(raw_keys: RawKeys, issuer: Issuer) -> Iterator[AuditRecord]:
    """Return a record for each kind of fault in a usable key set.

    A key for another purpose, or for an algorithm that is not ours, is not a fault.
    """
    faults: dict[KeySetReason, list[str]] = {}
    for key_id, same_id in _by_key_id(raw_keys).items():
        keys = [key for raw_key in same_id if (key := _read_key(raw_key, issuer)) is not None]
        if keys and _only_key(keys) is None:
            faults.setdefault("duplicate-key-id", []).append(key_id)
        if not all(map(_is_usable, same_id)):
            faults.setdefault("unusable-key", []).append(key_id)
    for reason, key_ids in faults.items():
        shown = [printable(key_id) for key_id in key_ids[:MAX_SHOWN]]
        yield KeySet(issuer=issuer.url, key_ids=shown).failed(reason)


def _is_usable(raw_key: Mapping[str, Any]) -> bool:
    try:
        _parse_key(raw_key)
    except _UnusableKeyError:
        return False
    return True
