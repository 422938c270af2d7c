"""One example of each event, as `docs/audit.md` shows them."""

from typing import Any, Final

from pytp_broker.audit.findings import (
    Attestation,
    KeySet,
    Leak,
    OperatorsToken,
    ProvenanceChange,
    Timestamp,
    Verification,
)
from pytp_broker.audit.operations import (
    Apply,
    ConfigurationChange,
    FileDeletion,
    IdentityTokensEnd,
    Import,
    ReceiptKeyChange,
    Reopening,
    Restoration,
    StatusChange,
    TokenCreation,
    Yank,
)
from pytp_broker.audit.record import AuditRecord
from pytp_broker.audit.requests import (
    Burn,
    Disclosure,
    Exchange,
    FileCompletion,
    Introspection,
    Other,
    ReadExchange,
    SessionPublication,
    Upload,
)
from pytp_broker.errors import FileExists, NotFound
from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.redaction import Legible

_HOST: Final = "packages.example.com"
_ADDRESS: Final = "192.0.2.1"
_HASH: Final = "3f8a90c2d1e4"
_PUBLISHER: Final = "0d5f4c1e"
_GITHUB: Final = "https://token.actions.githubusercontent.com"
_OLIVE: Final = "arn:aws:iam::123456789012:user/olive"
_SESSION: Final[dict[str, Any]] = {
    "host": _HOST,
    "source_ip": _ADDRESS,
    "registry": "acme",
    "project": "widgets",
    "version": "1.2.0",
    "session": "5b1d0c7e9a42",
    "publishers": [_PUBLISHER],
    "token_hash": _HASH,
}

EXAMPLES: Final[tuple[AuditRecord, ...]] = (
    Exchange(
        host=_HOST,
        path="/acme/_/oidc/mint-token",
        source_ip=_ADDRESS,
        issuer=_GITHUB,
        provider="github",
        repository=Legible("octo-org/widgets"),
        workflow=Legible("octo-org/widgets/.github/workflows/release.yml@refs/tags/v1.2.0"),
        environment=Legible("release"),
        ref=Legible("refs/tags/v1.2.0"),
        sha=Legible("8c7d3f1a0b9e2d4c6f8a1b3c5d7e9f0a2b4c6d8e"),
        run=Legible("11855712345"),
        actor=Legible("octocat"),
        publishers=[_PUBLISHER],
        projects=["acme/widgets"],
        project_count=1,
        token_hash=_HASH,
    ).accepted(),
    ReadExchange(
        host=_HOST,
        path="/acme/_/oidc/mint-read-token",
        source_ip=_ADDRESS,
        registry="acme",
        issuer=_GITHUB,
        provider="github",
        repository=Legible("octo-org/gadgets"),
        workflow=Legible("octo-org/gadgets/.github/workflows/test.yml@refs/pull/7/merge"),
        ref=Legible("refs/pull/7/merge"),
        sha=Legible("8c7d3f1a0b9e2d4c6f8a1b3c5d7e9f0a2b4c6d8e"),
        run=Legible("11855712346"),
        actor=Legible("octocat"),
        publishers=[_PUBLISHER],
        token_hash=_HASH,
    ).accepted(),
    Upload(
        host=_HOST,
        path="/acme/legacy/",
        source_ip=_ADDRESS,
        registry="acme",
        project="widgets",
        publishers=[_PUBLISHER],
        token_hash=_HASH,
        filename="widgets-1.2.0.tar.gz",
        sha256="0" * 64,
    ).refused(FileExists("`widgets-1.2.0.tar.gz` is published with another sha256")),
    SessionPublication(
        path="/acme/upload/[a token]/publish",
        filenames=["widgets-1.2.0-py3-none-any.whl", "widgets-1.2.0.tar.gz"],
        file_count=2,
        **_SESSION,
    ).accepted(),
    FileCompletion(
        path=f"/acme/upload/[a token]/files/widgets-1.2.0.tar.gz/{'c' * 32}/complete",
        filename="widgets-1.2.0.tar.gz",
        sha256="0" * 64,
        **_SESSION,
    ).accepted(),
    Burn(
        host=_HOST,
        path="/_/oidc/burn-token",
        source_ip=_ADDRESS,
        token_hash=_HASH,
        burned=True,
    ).accepted(),
    Introspection(
        host=_HOST,
        path="/acme/_/token/introspect",
        source_ip=_ADDRESS,
        registry="acme",
        client="devpi",
        project="widgets",
        filename="",
        token_hash=_HASH,
        active=True,
    ).accepted(),
    Disclosure(
        host=_HOST, path="/_/secrets/disclose-token", source_ip=_ADDRESS, matches=1
    ).accepted(),
    Other(host=_HOST, path="/acmee/legacy/", source_ip=_ADDRESS).refused(
        NotFound("there is nothing at this address")
    ),
    Leak(
        type="pytp_broker_upload_token",
        url="https://github.com/octo-org/widgets/blob/main/release.sh",
        source="commit",
        burned=True,
        token_hash=_HASH,
    ).accepted(),
    OperatorsToken(
        registry="acme",
        projects=["acme/widgets"],
        made_by=_OLIVE,
        why="GitHub Actions is down",
        token_hash=_HASH,
    ).accepted(),
    Verification(
        registry="acme", filename="widgets-1.2.0-cp313-cp313-manylinux_2_28_x86_64.whl"
    ).accepted(),
    Timestamp(registry="acme", filename="widgets-1.2.0-py3-none-any.whl").missing(
        "the time-stamping authority did not answer in time"
    ),
    ProvenanceChange(
        registry="acme",
        project="widgets",
        version="1.2.0",
        filenames=["widgets-1.2.0-py3-none-any.whl"],
        basis="publication",
        provenance=["full", "changed"],
        compared_with="1.1.0",
        new_sources=[f"octo-org/widgets (.github/workflows/nightly.yml) at {_GITHUB}"],
    ).accepted(),
    Attestation(
        registry="acme", project="widgets", filename="widgets-1.2.0-py3-none-any.whl"
    ).settled(
        AttestationState(
            AttestationStatus.REFUSED, "the certificate names the repository octo-org/other"
        )
    ),
    KeySet(issuer="https://gitlab.example.com").failed(
        "stale", "the issuer did not answer in time"
    ),
    TokenCreation(
        by=_OLIVE,
        registry="acme",
        permission="upload",
        project="widgets",
        why="GitHub Actions is down",
        token_hash=_HASH,
        expires_at="2026-11-22T12:15:00+00:00",
    ).accepted(),
    ReceiptKeyChange(
        by=_OLIVE,
        key_id="kX3pZ0S5QmJ3sB8bqFv1n9rJ0k2oYw7cD4eT6uL1iHg",
        key_change="revoked",
        key_time="2026-11-22T12:00:00.000000Z",
        why="the disk was stolen",
    ).accepted(),
    IdentityTokensEnd(by=_OLIVE, issued_before="2026-11-22T12:00:30+00:00").accepted(),
    Restoration(by="olive", backup_time="2026-11-22T03:00:00+00:00").accepted(),
    Apply(by=_OLIVE, configuration_sha256="0" * 64, plan_sha256="1" * 64).accepted(),
    ConfigurationChange(
        by=_OLIVE,
        change="+ publisher acme github octo-org/widgets -> widgets",
        publisher=_PUBLISHER,
        rules=[
            "repository = octo-org/widgets",
            "workflow = release.yml",
            "repository_owner_id = 9919",
        ],
    ).accepted(),
    Reopening(
        by=_OLIVE,
        registry="acme",
        project="widgets",
        version="1.0",
        until="2026-11-23T12:00:00+00:00",
    ).accepted(),
    Yank(
        by=_OLIVE,
        registry="acme",
        project="widgets",
        version="1.0",
        yanked=True,
        why="loses data; use 1.1",
    ).accepted(),
    StatusChange(
        by=_OLIVE,
        registry="acme",
        project="widgets",
        status="archived",
        why="use gadgets instead",
    ).accepted(),
    FileDeletion(
        by=_OLIVE,
        registry="acme",
        project="widgets",
        filename="widgets-1.0-py3-none-any.whl",
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        why="contains a password",
    ).accepted(),
    Import(
        by=_OLIVE,
        registry="acme",
        import_source="https://pypi.example.com/simple/",
        imported=198,
        not_imported=2,
    ).accepted(),
)
