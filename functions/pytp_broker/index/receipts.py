"""Make the receipt of a file before anybody can see the file, and say what it says.

A file whose receipt cannot be made does not become visible. A receipt that was made for a file that
is refused later stays in the file store, where no address leads to it.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from pytp_broker.audit.record import AuditRecord
from pytp_broker.content import Held
from pytp_broker.index.countersigning import NO_TIMESTAMPS, Countersigner
from pytp_broker.provenance.dsse import Envelope, canonical, encode_signed
from pytp_broker.provenance.receipts import Kind, Publication, Receipt
from pytp_broker.provenance.signing import Signer
from pytp_broker.services import Clock, Index
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import FileStore, receipt_key
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Provider, Role

# KMS takes some ten milliseconds for a signature, and S3 as many for a receipt. A session of a
# thousand files may not take half a minute, and KMS must not see more requests than it allows.
_FEW: Final = 4
_THREADS: Final = 16
# A receipt must stay smaller than its verifiers read.
MAX_PUBLISHERS: Final = 100
_NONCE_BYTES: Final = 16

# What is recorded of the jobs of nearly all providers.
_CLAIMS: Final = ("repository", "workflow", "environment", "ref", "sha", "run", "actor")


@dataclass(frozen=True, slots=True)
class Notary:
    """What makes the receipts of a publication: its host name, who signs, where they are kept.

    ``countersigner`` gets their timestamps.
    """

    host: str
    signer: Signer
    files: FileStore
    now: Clock
    countersigner: Countersigner = NO_TIMESTAMPS

    @classmethod
    def of(cls, index: Index) -> "Notary":
        """Return what makes the receipts of a publication that begins now."""
        countersigner = Countersigner.of(index)
        return cls(index.shared_host, index.signer, index.files, index.now, countersigner)


def make_nonce() -> str:
    """Return the random number that an audit record needs before receipts may have its hash.

    Without it a reader of a receipt could try all addresses, and learn from where somebody
    published.
    """
    return secrets.token_hex(_NONCE_BYTES)


def hash_record(record: AuditRecord) -> str:
    """Return the hash of an audit record as its receipts have it."""
    return hashlib.sha256(canonical(record.document())).hexdigest()


def certify(file: PublishedFile, audit_sha256: str, notary: Notary) -> PublishedFile:
    """Make the receipt of a file and store it; return the record with its hash.

    ``audit_sha256`` is the hash of the audit record that the publication leaves. Raises
    StoreUnavailable if nothing can be signed or stored now.
    """
    payload = describe(file, audit_sha256, notary).write()
    signature = notary.signer.sign(encode_signed(payload))
    timestamp = notary.countersigner.stamp(file, signature.octets)
    octets = Envelope(payload, signature, timestamp).write()
    sha256 = hashlib.sha256(octets).hexdigest()
    notary.files.save(receipt_key(file.registry, sha256, file.filename), Held(octets), sha256)
    return replace(file, receipt_sha256=sha256)


def certify_all(
    files: Sequence[PublishedFile], audit_sha256: str, notary: Notary
) -> list[PublishedFile]:
    """Make the receipts of files that become visible at once; return their records in this order.

    Raises StoreUnavailable if one of them cannot be made.
    """
    if len(files) <= _FEW:
        return [certify(file, audit_sha256, notary) for file in files]
    with ThreadPoolExecutor(_THREADS, "receipts") as threads:
        # After a failure `map` cancels those that have not begun.
        return list(threads.map(lambda file: certify(file, audit_sha256, notary), files))


def describe(file: PublishedFile, audit_sha256: str, notary: Notary) -> Receipt:
    """Return what the receipt of a file says."""
    return Receipt(
        filename=file.filename,
        sha256=file.sha256,
        size=file.size,
        host=notary.host,
        registry=file.registry,
        project=file.project,
        version=file.version,
        uploaded_at=file.uploaded_at,
        signed_at=notary.now(),
        publication=describe_publication(file.published_by),
        audit_sha256=audit_sha256,
    )


def describe_publication(published_by: Mapping[str, str]) -> Publication:
    """Return who published, as far as everybody may know it who reads the registry.

    The name of an operator and the source of an import may tell of the inside of a company, so they
    are in the audit record alone.
    """
    token_hash = published_by.get("token_hash")
    if "operator" in published_by:
        reason = published_by.get("reason")
        return Publication(kind=Kind.OPERATOR, reason=reason, token_hash=token_hash)
    if "issuer" not in published_by:
        return Publication(kind=Kind.IMPORT)
    issuer, name = published_by["issuer"], published_by.get("provider")
    provider = PROVIDERS.get(name or "")
    return Publication(
        kind=Kind.JOB,
        issuer=issuer,
        provider=name,
        claims=_read_claims(published_by, provider),
        pins=_read_pins(published_by, provider),
        publishers=_read_publishers(published_by),
        run_url=None if provider is None else provider.find_run_url(issuer, published_by),
        token_hash=token_hash,
    )


def _read_claims(published_by: Mapping[str, str], provider: Provider | None) -> dict[str, str]:
    names = _CLAIMS if provider is None else provider.recorded
    return {name: published_by[name] for name in names if name in published_by}


def _read_pins(published_by: Mapping[str, str], provider: Provider | None) -> dict[str, str]:
    names = () if provider is None else (each.name for each in provider.fields_of(Role.PIN))
    return {name: published_by[name] for name in names if name in published_by}


def _read_publishers(published_by: Mapping[str, str]) -> tuple[str, ...]:
    ids = published_by.get("publishers", "")
    return tuple(ids.split(", "))[:MAX_PUBLISHERS] if ids else ()
