"""A stand-in for Sigstore on this machine: it makes real attestations (PEP 740) for any job.

The demo and the tests use it. It has a certificate authority (as Fulcio), a log of certificates
(CT) and a transparency log (as Rekor), each with a key of its own, and the trusted root that names
them. What it makes differs from the public one's by nothing but the keys, so the real library
verifies it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from pytp_broker.demo.sigstore_authority import Authority, Identity, Leaf
from pytp_broker.demo.sigstore_bytes import to_base64
from pytp_broker.demo.sigstore_logs import CertificateLog, TransparencyLog
from pytp_broker.provenance.dsse import STATEMENT_TYPE, canonical, encode_signed

# A certificate counts at the time at which the log took the signature, not at that of the reader.
MOMENT: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PUBLISH: Final = "https://docs.pypi.org/attestations/publish/v1"

Change = Callable[[Any], Any]


@dataclass
class Sigstore:
    """A certificate authority and its logs; each step of ``attest`` may be taken alone.

    With ``authority_of``, it has the authority of another one, and a transparency log of its own.
    """

    organization: str = "sigstore.example.com"
    authority_of: "Sigstore | None" = None
    authority: Authority = field(init=False)
    certificates: CertificateLog = field(init=False)
    log: TransparencyLog = field(init=False)

    def __post_init__(self) -> None:
        other = self.authority_of
        self.authority = other.authority if other else Authority(self.organization)
        self.certificates = other.certificates if other else CertificateLog()
        self.log = TransparencyLog(f"rekor.{self.organization}")

    def attest(
        self, filename: str, sha256: str, identity: Identity, *, at: datetime = MOMENT
    ) -> str:
        """Return the JSON array of one attestation, as a client sends it."""
        return json.dumps([self.attestation(statement(filename, sha256), identity, at=at)])

    def attestation(
        self, payload: bytes, identity: Identity, *, at: datetime = MOMENT
    ) -> dict[str, Any]:
        """Return an attestation of any payload by a job with this identity."""
        leaf = self.issue(identity, at=at)
        return self.record(leaf, payload, sign(leaf, payload), at=at + timedelta(seconds=1))

    def issue(self, identity: Identity, *, at: datetime = MOMENT, **changes: Any) -> Leaf:  # noqa: ANN401 - of `Authority.issue`
        """Return a certificate of a job with this identity."""
        return self.authority.issue(identity, self.certificates, at, **changes)

    def record(
        self,
        leaf: Leaf,
        payload: bytes,
        signature: bytes,
        *,
        at: datetime = MOMENT,
        change: Change = lambda body: body,
    ) -> dict[str, Any]:
        """Return the attestation of what was signed, with its entry in the transparency log."""
        body = canonical(change(_entry_body(leaf, payload, signature)))
        return {
            "version": 1,
            "verification_material": {
                "certificate": to_base64(leaf.der),
                "transparency_entries": [self.log.add(body, "dsse", "0.0.1", at)],
            },
            "envelope": {"statement": to_base64(payload), "signature": to_base64(signature)},
        }

    def trusted_root(self) -> dict[str, Any]:
        """Return the document by which others verify what this Sigstore makes."""
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.log.document()],
            "certificateAuthorities": [self.authority.document()],
            "ctlogs": [self.certificates.document(f"https://ctfe.{self.organization}")],
            "timestampAuthorities": [],
        }

    def write_trusted_root(self, path: Path) -> Path:
        """Write the trusted root into a file, and return its path."""
        path.write_text(json.dumps(self.trusted_root()))
        return path


def statement(
    filename: str,
    sha256: str,
    kind: str = PUBLISH,
    predicate: Any = None,  # noqa: ANN401 - any JSON
    **changes: Any,  # noqa: ANN401
) -> bytes:
    """Return an in-toto statement about a file, as PyPI's clients write it."""
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": filename, "digest": {"sha256": sha256}}],
            "predicateType": kind,
            "predicate": predicate,
            **changes,
        },
        separators=(",", ":"),
    ).encode()


def sign(leaf: Leaf, payload: bytes, payload_type: str = STATEMENT_TYPE) -> bytes:
    """Return the signature of a payload in its envelope (DSSE)."""
    signature: bytes = leaf.key.sign(encode_signed(payload, payload_type), ec.ECDSA(SHA256()))
    return signature


def _entry_body(leaf: Leaf, payload: bytes, signature: bytes) -> dict[str, Any]:
    """Return what Rekor keeps of an envelope."""
    pem = leaf.certificate.public_bytes(Encoding.PEM)
    hashes = [
        {"algorithm": "sha256", "value": hashlib.sha256(each).hexdigest()}
        for each in (payload, b"the envelope, as the client wrote it")
    ]
    return {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": hashes[1],
            "payloadHash": hashes[0],
            "signatures": [{"signature": to_base64(signature), "verifier": to_base64(pem)}],
        },
    }
