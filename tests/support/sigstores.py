"""A Sigstore of our own: it makes real attestations (PEP 740) for any identity, without a network.

It has a certificate authority (as Fulcio), a log of certificates (CT) and a transparency log (as
Rekor), each with a key of its own, and the trusted root that names them. What it makes differs from
the public one's by nothing but the keys, so the real library verifies it.

    sigstore = Sigstore()
    text = sigstore.attest("widgets-1.0-py3-none-any.whl", sha256, github(captured("github")))
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PUBLISH: Final = "https://docs.pypi.org/attestations/publish/v1"
SLSA: Final = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LIFETIME: Final = timedelta(minutes=10)

_FULCIO_ARC: Final = "1.3.6.1.4.1.57264.1"
_FIRST_DER_CLAIM: Final = 8
_SCT_LIST: Final = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_END: Final = datetime(2036, 1, 1, tzinfo=UTC)

Change = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a certificate says of a job: its name, and Fulcio's extensions by their last number."""

    name: x509.GeneralName
    claims: Mapping[int, str]

    def but(self, **changes: str) -> "Identity":
        """Return the identity with these claims changed, as in ``but(_12="…")``."""
        numbered = {int(number[1:]): text for number, text in changes.items()}
        return replace(self, claims={**self.claims, **numbered})

    def without(self, *numbers: int) -> "Identity":
        return replace(self, claims={n: c for n, c in self.claims.items() if n not in numbers})


def github(claims: Mapping[str, Any], server: str = "https://github.com") -> Identity:
    """Return the identity that Fulcio takes from an identity token of GitHub Actions."""
    repository, owner = claims["repository"], claims["repository_owner"]
    run = f"{server}/{repository}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}"
    return Identity(
        x509.UniformResourceIdentifier(f"{server}/{claims['job_workflow_ref']}"),
        {
            8: claims["iss"],
            9: f"{server}/{claims['job_workflow_ref']}",
            10: claims["job_workflow_sha"],
            11: claims["runner_environment"],
            12: f"{server}/{repository}",
            13: claims["sha"],
            14: claims["ref"],
            15: claims["repository_id"],
            16: f"{server}/{owner}",
            17: claims["repository_owner_id"],
            18: f"{server}/{claims['workflow_ref']}",
            19: claims["workflow_sha"],
            20: claims["event_name"],
            21: run,
            22: claims["repository_visibility"],
        },
    )


def gitlab(claims: Mapping[str, Any]) -> Identity:
    """Return the identity that Fulcio takes from an identity token of GitLab."""
    server, config = claims["iss"], f"https://{claims['ci_config_ref_uri']}"
    return Identity(
        x509.UniformResourceIdentifier(config),
        {
            8: server,
            9: config,
            10: claims["ci_config_sha"],
            11: claims["runner_environment"],
            12: f"{server}/{claims['project_path']}",
            13: claims["sha"],
            14: claims["ref_path"],
            15: claims["project_id"],
            16: f"{server}/{claims['namespace_path']}",
            17: claims["namespace_id"],
            18: config,
            19: claims["ci_config_sha"],
            20: claims["pipeline_source"],
            21: f"{server}/{claims['project_path']}/-/jobs/{claims['job_id']}",
            22: claims["project_visibility"],
        },
    )


def google(email: str) -> Identity:
    """Return the identity that Fulcio takes from an identity token of Google."""
    issuer = "https://accounts.google.com"
    return Identity(x509.RFC822Name(email), {1: issuer, 8: issuer})


def circleci(project_id: str, pipeline_definition_id: str, **claims: str) -> Identity:
    """Return the identity that Fulcio takes from an identity token of CircleCI."""
    job = (
        f"https://circleci.com/api/v2/projects/{project_id}/"
        f"pipeline-definitions/{pipeline_definition_id}"
    )
    named = {"vcs_origin": 12, "vcs_ref": 14}
    return Identity(
        x509.UniformResourceIdentifier(job),
        {8: "https://oidc.circleci.com", 9: job, **{named[n]: c for n, c in claims.items()}},
    )


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate of a job, and the key that it is for, which a real job throws away."""

    key: Any
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


class Authority:
    """A certificate authority as Fulcio is one: a root, an intermediate one, short-lived leaves."""

    def __init__(self, organization: str) -> None:
        self.organization = organization
        self.root_key, self.key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        root_name, name = (_name(organization, each) for each in ("root", "intermediate"))
        self.root = _sign_authority(root_name, self.root_key, root_name, self.root_key, None)
        self.certificate = _sign_authority(name, self.key, root_name, self.root_key, 0)

    def issue(
        self,
        identity: Identity,
        log: "CertificateLog",
        at: datetime,
        *,
        lifetime: timedelta = LIFETIME,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        has_timestamp: bool = True,
        key: Any = None,
    ) -> Leaf:
        """Return a certificate with the log's promise to list it; by default for a new key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + lifetime)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(_key_id(key), critical=False)
            .add_extension(_authority_key_id(self.key), critical=False)
            .add_extension(x509.SubjectAlternativeName([identity.name]), critical=True)
        )
        for number, text in identity.claims.items():
            builder = builder.add_extension(_claim(number, text), critical=False)
        if has_timestamp:
            draft = builder.sign(self.key, SHA384())
            promise = log.promise(draft.tbs_certificate_bytes, self.key.public_key(), at)
            builder = builder.add_extension(
                x509.UnrecognizedExtension(_SCT_LIST, _der(0x04, promise)), critical=False
            )
        return Leaf(key, builder.sign(self.key, SHA384()))

    def document(self) -> dict[str, Any]:
        chain = [each.public_bytes(Encoding.DER) for each in (self.certificate, self.root)]
        return {
            "subject": {"organization": self.organization, "commonName": self.organization},
            "uri": f"https://fulcio.{self.organization}",
            "certChain": {"certificates": [{"rawBytes": _base64(each)} for each in chain]},
            "validFor": {"start": _time(_START)},
        }


class CertificateLog:
    """A log of certificates (RFC 6962), which promises to list each one."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def promise(self, certificate: bytes, issuer: ec.EllipticCurvePublicKey, at: datetime) -> bytes:
        """Return a list of one signed certificate timestamp, as a certificate holds it."""
        milliseconds = int(at.timestamp() * 1000).to_bytes(8)
        entry = hashlib.sha256(_public(issuer)).digest() + _sized(certificate, 3)
        signed = b"\0\0" + milliseconds + b"\0\1" + entry + _sized(b"", 2)
        signature = b"\4\3" + _sized(self.key.sign(signed, ec.ECDSA(SHA256())), 2)
        timestamp = b"\0" + self.log_id + milliseconds + _sized(b"", 2) + signature
        return _sized(_sized(timestamp, 2), 2)

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(_public(self.key.public_key())).digest()

    def document(self, url: str) -> dict[str, Any]:
        return _log_document(url, self.key, self.log_id)


class TransparencyLog:
    """A log of signatures as Rekor is one: a Merkle tree (RFC 6962) with a signed head."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.leaves = [b"another entry", b"one more", b"a third"]

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(_public(self.key.public_key())).digest()

    def add(self, body: bytes, kind: str, version: str, at: datetime) -> dict[str, Any]:
        """Add an entry to the log, and return it with the proof that it is there."""
        self.leaves.append(body)
        index, time = len(self.leaves) - 1, int(at.timestamp())
        root = _root(self.leaves)
        return {
            "logIndex": str(index),
            "logId": {"keyId": _base64(self.log_id)},
            "kindVersion": {"kind": kind, "version": version},
            "integratedTime": str(time),
            "inclusionPromise": {"signedEntryTimestamp": self._promise(body, index, time)},
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": _base64(root),
                "treeSize": str(len(self.leaves)),
                "hashes": [_base64(each) for each in _proof(index, self.leaves)],
                "checkpoint": {"envelope": self.sign_head(len(self.leaves), root)},
            },
            "canonicalizedBody": _base64(body),
        }

    def sign_head(self, size: int, root: bytes) -> str:
        note = f"{self.origin} - 1\n{size}\n{_base64(root)}\n"
        signature = self.log_id[:4] + self.key.sign(note.encode(), ec.ECDSA(SHA256()))
        return f"{note}\n\N{EM DASH} {self.origin} {_base64(signature)}\n"

    def _promise(self, body: bytes, index: int, time: int) -> str:
        promised = {
            "body": _base64(body),
            "integratedTime": time,
            "logID": self.log_id.hex(),
            "logIndex": index,
        }
        return _base64(self.key.sign(_canonical(promised), ec.ECDSA(SHA256())))

    def document(self) -> dict[str, Any]:
        return _log_document(f"https://{self.origin}", self.key, self.log_id)


@dataclass
class Sigstore:
    """A certificate authority and its logs. Tests may take a step of ``attest`` on their own.

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

    def attest(self, filename: str, sha256: str, identity: Identity, *, at: datetime = NOW) -> str:
        """Return the JSON array of one attestation, as a client sends it."""
        return json.dumps([self.attestation(statement(filename, sha256), identity, at=at)])

    def attestation(
        self, payload: bytes, identity: Identity, *, at: datetime = NOW
    ) -> dict[str, Any]:
        """Return an attestation of any payload by a job with this identity."""
        leaf = self.issue(identity, at=at)
        return self.record(leaf, payload, sign(leaf, payload), at=at + timedelta(seconds=1))

    def issue(self, identity: Identity, *, at: datetime = NOW, **changes: Any) -> Leaf:
        return self.authority.issue(identity, self.certificates, at, **changes)

    def record(
        self,
        leaf: Leaf,
        payload: bytes,
        signature: bytes,
        *,
        at: datetime = NOW,
        change: Change = lambda body: body,
    ) -> dict[str, Any]:
        """Return the attestation of what was signed, with its entry in the transparency log."""
        body = _canonical(change(_entry_body(leaf, payload, signature)))
        return {
            "version": 1,
            "verification_material": {
                "certificate": _base64(leaf.der),
                "transparency_entries": [self.log.add(body, "dsse", "0.0.1", at)],
            },
            "envelope": {"statement": _base64(payload), "signature": _base64(signature)},
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
        path.write_text(json.dumps(self.trusted_root()))
        return path


def statement(
    filename: str, sha256: str, kind: str = PUBLISH, predicate: Any = None, **changes: Any
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


def sign(leaf: Leaf, payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return the signature of a payload in its envelope (DSSE)."""
    kind = payload_type.encode()
    signed = b" ".join((b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload))
    signature: bytes = leaf.key.sign(signed, ec.ECDSA(SHA256()))
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
            "signatures": [{"signature": _base64(signature), "verifier": _base64(pem)}],
        },
    }


def _log_document(url: str, key: ec.EllipticCurvePrivateKey, log_id: bytes) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": _base64(_public(key.public_key())),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": _time(_START)},
        },
        "logId": {"keyId": _base64(log_id)},
    }


# --- Merkle trees (RFC 6962 §2.1) ---------------------------------------------------------------


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = _split(len(leaves))
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*_proof(index, leaves[:split]), _root(leaves[split:])]
    return [*_proof(index - split, leaves[split:]), _root(leaves[:split])]


def _split(count: int) -> int:
    """Return the largest power of two that is smaller than this."""
    return 1 << ((count - 1).bit_length() - 1)


# --- Certificates -------------------------------------------------------------------------------


def _sign_authority(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    path_length: int | None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(_key_id(key), critical=False)
        .add_extension(_authority_key_id(issuer_key), critical=False)
    )
    return builder.sign(issuer_key, SHA384())


def _name(organization: str, name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organization} {name}"),
        ]
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        key_cert_sign=not signs,
        crl_sign=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_id(key: Any) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _authority_key_id(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _claim(number: int, text: str) -> x509.UnrecognizedExtension:
    """Return an extension of Fulcio. The first ones are bare texts, and the later ones are DER."""
    octets = text.encode() if number < _FIRST_DER_CLAIM else _der(0x0C, text.encode())
    return x509.UnrecognizedExtension(ObjectIdentifier(f"{_FULCIO_ARC}.{number}"), octets)


def _der(tag: int, content: bytes) -> bytes:
    """Return an element of DER with its length, which may need several bytes."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


# --- Bytes --------------------------------------------------------------------------------------


def _public(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sized(content: bytes, size: int) -> bytes:
    """Return bytes after their length, as TLS writes them."""
    return len(content).to_bytes(size) + content


def _canonical(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
