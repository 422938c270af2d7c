"""Envelopes of signed documents (DSSE v1): what is signed, and how it is written.

https://github.com/secure-systems-lab/dsse. The signature covers the type of the payload as well, so
nobody can pass off a signed document as one of another kind.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pytp_broker.strict_json import parse_json

STATEMENT_TYPE: Final = "application/vnd.in-toto+json"
# Ten times as much as the largest receipt.
MAX_ENVELOPE_BYTES: Final = 64 * 1024


class MalformedEnvelopeError(ValueError):
    """The bytes are not an envelope with one signature; the message says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature: ECDSA on P-256 with SHA-256, in DER, and the id of its key."""

    key_id: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload. ``timestamp`` is a reply of a time-stamping authority, if there is one.

    The timestamp (RFC 3161) is of the signature's bytes. It is not part of DSSE, whose readers
    ignore members that they do not know.
    """

    payload: bytes
    signature: Signature
    timestamp: bytes | None = None
    payload_type: str = field(default=STATEMENT_TYPE, kw_only=True)

    @property
    def signed_bytes(self) -> bytes:
        """Return what the signature covers: DSSE's "pre-authentication encoding" (PAE)."""
        return encode_signed(self.payload, self.payload_type)

    def write(self) -> bytes:
        """Return the envelope as JSON; the same envelope has always the same bytes."""
        document: dict[str, Any] = {
            "payload": _encode(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": self.signature.key_id, "sig": _encode(self.signature.octets)}],
        }
        if self.timestamp is not None:
            document["timestamp"] = _encode(self.timestamp)
        return canonical(document)

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """Return the envelope that is written as these bytes; raise MalformedEnvelopeError."""
        if len(octets) > MAX_ENVELOPE_BYTES:
            raise MalformedEnvelopeError(f"it has more than {MAX_ENVELOPE_BYTES} bytes")
        document = _read_object(octets)
        signatures = document.get("signatures")
        if not isinstance(signatures, list) or len(signatures) != 1:
            raise MalformedEnvelopeError("it must have exactly one signature")
        (signature,) = signatures
        if not isinstance(signature, dict):
            raise MalformedEnvelopeError("its signature is not an object")
        timestamp = None if "timestamp" not in document else _bytes_of(document, "timestamp")
        return cls(
            _bytes_of(document, "payload"),
            Signature(_text_of(signature, "keyid"), _bytes_of(signature, "sig")),
            timestamp,
            payload_type=_text_of(document, "payloadType"),
        )


def encode_signed(payload: bytes, payload_type: str = STATEMENT_TYPE) -> bytes:
    """Return what a signature of a payload covers (PAE)."""
    kind = payload_type.encode()
    return b" ".join((b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload))


def canonical(document: object) -> bytes:
    """Return a document as JSON in one way: members sorted, no blanks, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _read_object(octets: bytes) -> dict[str, Any]:
    try:
        document = parse_json(octets)
    except ValueError:
        raise MalformedEnvelopeError("it is not strict JSON") from None
    if not isinstance(document, dict):
        raise MalformedEnvelopeError("it is not a JSON object")
    return document


def _text_of(document: dict[str, Any], name: str) -> str:
    text = document.get(name)
    if not isinstance(text, str) or not text:
        raise MalformedEnvelopeError(f"its `{name}` is not a text")
    return text


def _bytes_of(document: dict[str, Any], name: str) -> bytes:
    """Return bytes in the one base64 that they have; another would be another file."""
    text = _text_of(document, name)
    try:
        octets = base64.b64decode(text, validate=True)
    except ValueError:
        raise MalformedEnvelopeError(f"its `{name}` is not base64") from None
    if _encode(octets) != text:
        raise MalformedEnvelopeError(f"its `{name}` is not base64 in its one form")
    return octets


def _encode(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
