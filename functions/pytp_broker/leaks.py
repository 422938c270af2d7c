"""Leaked tokens: read and verify the reports of GitHub's secret scanning.

The protocol is that of GitHub's secret scanning partner program (docs.github.com, "Secret scanning
partner program"): a JSON list of ``{token, type, url, source}``, and an ECDSA P-256 SHA-256
signature over the raw body. Secret scanning lists its public keys as PEM, with their ids, under one
URL.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.audit.record import Audit, AuditRecord
from pytp_broker.errors import InvalidPayload, MalformedRequest, PayloadTooLarge, Unavailable
from pytp_broker.oidc.documents import Fetch, FetchError, RawKeys
from pytp_broker.oidc.keycache import (
    NO_USABLE_KEY,
    KeyCache,
    KeySetStore,
    NoKeysError,
    Terms,
    UnknownKeyError,
)
from pytp_broker.redaction import printable
from pytp_broker.strict_json import parse_json, parse_json_object
from pytp_broker.tokens import MalformedTokenError, UploadToken

GITHUB_KEYS_URL: Final = "https://api.github.com/meta/public_keys/secret_scanning"

MAX_BODY_BYTES: Final = 1024 * 1024
# Each match costs a write of a few milliseconds, and the function has 15 s.
MAX_MATCHES: Final = 500
MAX_KEYS: Final = 100
MAX_HEADER_CHARACTERS: Final = 256

# Anybody can choose the key id of an unsigned request. GitHub answers 60 unauthenticated calls an
# hour from one address, and a function shares its address with strangers, so a refresh may fail for
# days. An old key is not dangerous: a forged report burns only tokens whose text the forger has,
# and anybody may burn those without a report. A report that we refuse because we lack a key may
# never come again. So an empty list withdraws nothing, unlike an issuer's empty key set.
COOLDOWN: Final = timedelta(minutes=5)
MAX_AGE: Final = timedelta(hours=1)
MAX_STALE: Final = timedelta(days=30)
# Old keys are not dangerous, so their age causes no alarm. A fetch may fail from one address and
# not from another, so each instance tries for itself.
_TERMS: Final = Terms(COOLDOWN, MAX_AGE, MAX_STALE, alarm_age=MAX_STALE, is_shared=False)
_NOT_SIGNED: Final = "the request is not signed with a key that secret scanning publishes"

Keys = Mapping[str, EllipticCurvePublicKey]


class DisclosureKeys:
    """Cache of the public keys of secret scanning."""

    def __init__(self, url: str, fetch: Fetch, store: KeySetStore, audit: Audit) -> None:
        self._cache = KeyCache(_ScanningKeys(url, fetch), _TERMS, store, audit)

    def find_key(self, key_id: str, now: datetime) -> EllipticCurvePublicKey:
        """Return the key of this id; raise MalformedRequest or, when we cannot know, Unavailable.

        A key is good for an hour after it was last seen, and for 30 days while no list can be
        fetched.
        """
        try:
            return self._cache.find_key(key_id, now)
        except UnknownKeyError:
            raise MalformedRequest(_NOT_SIGNED) from None
        except NoKeysError as error:
            raise Unavailable(
                "the keys of secret scanning cannot be fetched; try again in a few minutes",
                retry_after_seconds=error.retry_after_seconds,
            ) from None


@dataclass(frozen=True, slots=True)
class _ScanningKeys:
    """Secret scanning as a source of keys."""

    url: str
    get: Fetch

    def fetch(self) -> RawKeys:
        """Return the keys as published; raise FetchError when none is usable.

        So an empty list never replaces a good one.
        """
        try:
            listed = parse_json_object(self.get(self.url)).get("public_keys")
        except InvalidPayload as problem:
            raise FetchError(problem.detail) from None
        raw_keys = listed[:MAX_KEYS] if isinstance(listed, list) else []
        raw_keys = [key for key in raw_keys if isinstance(key, dict)]
        if not self.read(raw_keys):
            raise FetchError(NO_USABLE_KEY)
        return raw_keys

    def read(self, raw_keys: RawKeys) -> Keys:
        """Return the usable keys by their id."""
        return read_keys(raw_keys)

    def find_faults(self, _: RawKeys) -> Sequence[AuditRecord]:
        """Return nothing: an operator cannot do anything about a bad key there."""
        return ()


def read_keys(raw_keys: RawKeys) -> Keys:
    """Return the usable keys, those on P-256, by their id. A bad key is skipped, never the list.

    Keys that are no longer current count too: a report that they signed may still be on the way.
    """
    found: dict[str, EllipticCurvePublicKey] = {}
    for raw_key in raw_keys:
        key_id, key = raw_key.get("key_identifier"), _read_key(raw_key.get("key"))
        if isinstance(key_id, str) and key is not None:
            found.setdefault(key_id, key)
    return found


def _read_key(pem: object) -> EllipticCurvePublicKey | None:
    # Reports are rare, and this also reads X.509 and OpenSSH: it would cost every start.
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(str(pem).encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        return None
    return key


def verify_signature(
    body: bytes, key_id: str, signature: str, keys: DisclosureKeys, now: datetime
) -> None:
    """Check that secret scanning has signed exactly this body.

    Raises MalformedRequest. A request without any signature is refused before a key is fetched.
    """
    if not all(0 < len(text) <= MAX_HEADER_CHARACTERS for text in (key_id, signature)):
        raise MalformedRequest(_NOT_SIGNED)
    try:
        octets = base64.b64decode(signature, validate=True)
        keys.find_key(key_id, now).verify(octets, body, ECDSA(SHA256()))
    except (InvalidSignature, ValueError, binascii.Error):
        raise MalformedRequest(_NOT_SIGNED) from None


@dataclass(frozen=True, slots=True)
class Match:
    """A place where text like our tokens was found; ``token`` is None if it is not a token."""

    token: UploadToken | None
    text_hash: str
    kind: str
    url: str
    source: str

    def feedback(self) -> dict[str, str]:
        """Return the answer that secret scanning expects: whether the text is a credential.

        We judge by its form, which has a checksum. The store would say less, because it forgets a
        token soon after expiry, and the text is a leaked credential even then.
        """
        label = "false_positive" if self.token is None else "true_positive"
        return {"token_hash": self.text_hash, "token_type": printable(self.kind), "label": label}


def read_matches(body: bytes) -> list[Match]:
    """Return the matches in a signed body; raise MalformedRequest or PayloadTooLarge."""
    try:
        listed = parse_json(body)
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        raise MalformedRequest("the body must be a JSON list of matches")
    if len(listed) > MAX_MATCHES:
        raise PayloadTooLarge(f"a disclosure takes at most {MAX_MATCHES} matches")
    return [_read_match(match) for match in listed]


def _read_match(match: object) -> Match:
    if not isinstance(match, dict) or not isinstance(match.get("token"), str):
        raise MalformedRequest("each match must be an object with the member `token`, a string")
    text = match["token"]
    kind, url, source = (_text(match.get(name)) for name in ("type", "url", "source"))
    return Match(_read_token(text), sha256(text.encode()).hexdigest(), kind, url, source)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_token(text: str) -> UploadToken | None:
    try:
        return UploadToken.parse(text)
    except MalformedTokenError:
        return None
