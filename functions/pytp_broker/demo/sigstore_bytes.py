"""Bytes as Sigstore's documents and certificates hold them."""

import base64
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key in DER (RFC 5280 §4.1)."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sized(content: bytes, size: int) -> bytes:
    """Return bytes after their length, as TLS writes them."""
    return len(content).to_bytes(size) + content


def to_base64(octets: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(octets).decode()


def write_time(time: datetime) -> str:
    """Return a time in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
