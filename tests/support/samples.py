"""Samples for the contract tests: one good object of each kind, with changes."""

import json
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pytp_broker.audit.operations import ConfigurationChange
from pytp_broker.audit.record import AuditRecord
from pytp_broker.grants import Grant, Permission
from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.registries import Access, Configuration, Issuer, Registry
from pytp_broker.storage.file_records import PublishedFile, Release
from pytp_broker.storage.sessions import Session, SessionStatus, StagedFile, UploadStatus
from pytp_broker.storage.withdrawals import Tombstone
from pytp_broker.tokens import Listing, TokenRecord
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher
from pytp_broker.trust.readers import READERS

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GITHUB = "https://token.actions.githubusercontent.com"
ISSUER = Issuer(GITHUB, "github", ("RS256",), ("keys.example.com",))
OTHER_ISSUER = Issuer(
    "https://ghes.example.com/_services/token",
    "github",
    ("RS256", "ES256"),
    access=Access(is_private=True, ca_pem="PEM", proxy="http://proxy.example.com:3128"),
)
ACME = Registry(
    "acme",
    (GITHUB, OTHER_ISSUER.url),
    audience="acme",
    hosts=("acme.example.com",),
    token_lifetime_seconds=1800,
    shared_host_exchange=False,
)
OTHER = Registry("other", (GITHUB,))


@dataclass(frozen=True)
class Table:
    """A DynamoDB table of the test's own."""

    client: Any
    name: str

    def dump(self) -> list[dict[str, Any]]:
        """Return every item, in the order of its keys."""
        items = self.client.scan(TableName=self.name, ConsistentRead=True)["Items"]
        return sorted(items, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def configuration(*registries: Registry, **changes: Any) -> Configuration:
    found = registries or (ACME, OTHER)
    issuers = {issuer.url: issuer for issuer in (ISSUER, OTHER_ISSUER)}
    return replace(Configuration(issuers, {r.name: r for r in found}), **changes)


def publisher(publisher_id: str = "id-1", **changes: Any) -> TrustedPublisher:
    return replace(
        TrustedPublisher(
            publisher_id=publisher_id,
            registry="acme",
            issuer=GITHUB,
            provider=PROVIDERS["github"],
            projects=("widgets",),
            fields={
                "repository": "octo-org/widgets",
                "workflow": "release.yml",
                "events": ("push", "release"),
            },
            claims={"actor": "octo*"},
        ),
        **changes,
    )


def reader(publisher_id: str = "reader-1", **changes: Any) -> TrustedPublisher:
    fields = {"owner": "octo-org", "events": ("push", "pull_request")}
    entry = READERS["github"].form_for(fields)
    sample = publisher(
        publisher_id, provider=entry, projects=(), fields=fields, permission=Permission.READ
    )
    return replace(sample, **changes)


def for_repository(name: str, publisher_id: str, **changes: Any) -> TrustedPublisher:
    fields = {"repository": name, "workflow": "release.yml"}
    return publisher(publisher_id, fields=fields, **changes)


def record(secret: str = "secret", **changes: Any) -> TokenRecord:
    return replace(
        TokenRecord(
            lookup_id="0123456789abcdef0123456789abcdef",
            token_hash=f"hash of {secret}",
            issuer=GITHUB,
            identity={"repository": "octo-org/widgets", "run": "11855712345"},
            grants=(
                Grant("acme", None, Permission.UPLOAD, {"id-1": 0, "id-2": 3}),
                Grant("other", "gizmos", Permission.UPLOAD, {"id-3": 0}),
            ),
            projects={
                "acme": Listing(("widgets", "gadgets"), 2),
                "other": Listing(("gizmos",), 1),
            },
            features=("multi-use-token",),
            issued_at=NOW,
            expires_at=NOW + timedelta(minutes=15),
            kept_until=NOW + timedelta(minutes=20),
            identity_key="key of octo-org/widgets",
            provider="github",
            pins={"repository_id": "70107786"},
        ),
        **changes,
    )


def without_permissions(kept: TokenRecord) -> str:
    """Return the stored document of a token as versions without permissions wrote it."""
    document = kept.document()
    rights = document.pop("rights")
    grants = [[each["registry"], each["project"], each["publisher_ids"]] for each in rights]
    return json.dumps({**document, "grants": grants})


def file(filename: str = "widgets-1.0.tar.gz", **changes: Any) -> PublishedFile:
    return replace(
        PublishedFile(
            registry="acme",
            project="widgets",
            version="1.0",
            filename=filename,
            sha256="0" * 64,
            size=1234,
            metadata_sha256="1" * 64,
            requires_python=">=3.11",
            uploaded_at=NOW + timedelta(microseconds=123456),
            published_by={"issuer": GITHUB, "repository": "octo-org/widgets"},
        ),
        **changes,
    )


def receipt_key(**changes: Any) -> ReceiptKey:
    """Return a key of receipts that begins to sign now (the point of RFC 7517 §A.1)."""
    return replace(
        ReceiptKey(
            x="MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            y="4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            not_before=NOW,
            location="arn:aws:kms:eu-west-1:123456789012:key/1",
        ),
        **changes,
    )


def staged(filename: str = "widgets-1.0.tar.gz", **changes: Any) -> StagedFile:
    """Return a completed file of a session."""
    upload_id = f"{zlib.crc32(filename.encode()):032x}"
    return replace(
        StagedFile(
            upload_id=upload_id,
            filename=filename,
            size=1234,
            hashes={"sha256": "0" * 64},
            mechanism="http-post-bytes",
            status=UploadStatus.COMPLETED,
            created_at=NOW + timedelta(microseconds=123456),
            expires_at=NOW + timedelta(days=7),
            notices=("a wheel would be quicker to install",),
            file=file(filename, upload_id=upload_id),
            former_ids=("f" * 32,),
            published_by={"repository": "octo-org/widgets"},
            attempts=2,
        ),
        **changes,
    )


def session(*files: StagedFile, number: int = 1, **changes: Any) -> Session:
    """Return an open session."""
    return replace(
        Session(
            token=f"stage_{number:043}",
            registry="acme",
            project="widgets",
            version="1.0",
            key="1",
            status=SessionStatus.OPEN,
            created_at=NOW,
            expires_at=NOW + timedelta(days=7),
            revision=1,
            files={each.filename: each for each in files},
            notices=("welcome",),
        ),
        **changes,
    )


def release(filename: str = "widgets-1.0.tar.gz", **changes: Any) -> Release:
    return replace(
        Release(
            registry="acme",
            project="widgets",
            key="1",
            spellings=("1.0",),
            filename=filename,
            sdist=filename,
            opened_at=NOW,
            claimed_at=NOW + timedelta(microseconds=123456),
        ),
        **changes,
    )


def tombstone(reason: str = "contains a password") -> Tombstone:
    """Return the tombstone of a deleted file."""
    return Tombstone(reason, "user olive", NOW.replace(microsecond=0))


def operation(change: str = "+ registry acme", by: str = "user olive") -> AuditRecord:
    return ConfigurationChange(by=by, change=change).accepted()
