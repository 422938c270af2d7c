"""The logs of a stand-in for Sigstore: of certificates (CT), and of signatures (Rekor)."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.demo.sigstore_bytes import public_bytes, sized, to_base64, write_time
from pytp_broker.provenance.dsse import canonical

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class CertificateLog:
    """A log of certificates (RFC 6962), which promises to list each one."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def promise(self, certificate: bytes, issuer: ec.EllipticCurvePublicKey, at: datetime) -> bytes:
        """Return a list of one signed certificate timestamp, as a certificate holds it."""
        milliseconds = int(at.timestamp() * 1000).to_bytes(8)
        entry = hashlib.sha256(public_bytes(issuer)).digest() + sized(certificate, 3)
        signed = b"\0\0" + milliseconds + b"\0\1" + entry + sized(b"", 2)
        signature = b"\4\3" + sized(self.key.sign(signed, ec.ECDSA(SHA256())), 2)
        timestamp = b"\0" + self.log_id + milliseconds + sized(b"", 2) + signature
        return sized(sized(timestamp, 2), 2)

    @property
    def log_id(self) -> bytes:
        """Return the log's id: the hash of the public key."""
        return hashlib.sha256(public_bytes(self.key.public_key())).digest()

    def document(self, url: str) -> dict[str, Any]:
        """Return the log as a trusted root names it."""
        return log_document(url, self.key, self.log_id)


class TransparencyLog:
    """A log of signatures as Rekor is one: a Merkle tree (RFC 6962) with a signed head."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.leaves = [b"another entry", b"one more", b"a third"]

    @property
    def log_id(self) -> bytes:
        """Return the log's id: the hash of the public key."""
        return hashlib.sha256(public_bytes(self.key.public_key())).digest()

    def add(self, body: bytes, kind: str, version: str, at: datetime) -> dict[str, Any]:
        """Add an entry to the log, and return it with the proof that it is there."""
        self.leaves.append(body)
        index, time = len(self.leaves) - 1, int(at.timestamp())
        root = _root(self.leaves)
        return {
            "logIndex": str(index),
            "logId": {"keyId": to_base64(self.log_id)},
            "kindVersion": {"kind": kind, "version": version},
            "integratedTime": str(time),
            "inclusionPromise": {"signedEntryTimestamp": self._promise(body, index, time)},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": to_base64(root),
                "treeSize": str(len(self.leaves)),
                "hashes": [to_base64(each) for each in _proof_of_last(self.leaves)],
                "checkpoint": {"envelope": self.sign_head(len(self.leaves), root)},
            },
            "canonicalizedBody": to_base64(body),
        }

    def sign_head(self, size: int, root: bytes) -> str:
        """Return the signed head of the tree (a checkpoint)."""
        note = f"{self.origin} - 1\n{size}\n{to_base64(root)}\n"
        signature = self.log_id[:4] + self.key.sign(note.encode(), ec.ECDSA(SHA256()))
        return f"{note}\n\N{EM DASH} {self.origin} {to_base64(signature)}\n"

    def _promise(self, body: bytes, index: int, time: int) -> str:
        promised = {
            "body": to_base64(body),
            "integratedTime": time,
            "logID": self.log_id.hex(),
            "logIndex": index,
        }
        return to_base64(self.key.sign(canonical(promised), ec.ECDSA(SHA256())))

    def document(self) -> dict[str, Any]:
        """Return the log as a trusted root names it."""
        return log_document(f"https://{self.origin}", self.key, self.log_id)


def log_document(url: str, key: ec.EllipticCurvePrivateKey, log_id: bytes) -> dict[str, Any]:
    """Return a log as a trusted root names it."""
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": to_base64(public_bytes(key.public_key())),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": write_time(START)},
        },
        "logId": {"keyId": to_base64(log_id)},
    }


# Merkle trees (RFC 6962 §2.1)


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = _split(len(leaves))
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _proof_of_last(leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    return [*_proof_of_last(leaves[split:]), _root(leaves[:split])]


def _split(count: int) -> int:
    """Return the largest power of two that is smaller than this."""
    return 1 << ((count - 1).bit_length() - 1)
