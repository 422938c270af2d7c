"""A registry that signs receipts and serves them, without sockets: what `verify` asks."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pytp_broker.client.transport import UnreachableError
from pytp_broker.client.uploads.wire import Reply, Request
from pytp_broker.provenance.dsse import Envelope
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.provenance.receipts import Kind, Publication, Receipt, write_time
from tests.support.distributions import Distribution
from tests.support.receipt_signing import TestSigner

HOST: Final = "packages.example.com"
BASE: Final = f"https://{HOST}/acme"
INDEX: Final = f"{BASE}/simple/"
KEYS_URL: Final = f"https://{HOST}/.well-known/pytp-receipt-keys"
NOW: Final = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ISSUER: Final = "https://token.actions.githubusercontent.com"
RUN: Final = "https://github.com/octo-org/widgets/actions/runs/1"
JOB: Final = Publication(
    kind=Kind.JOB,
    issuer=ISSUER,
    provider="github",
    claims={
        "repository": "octo-org/widgets",
        "workflow": "octo-org/widgets/.github/workflows/release.yml@refs/tags/v1.0",
        "ref": "refs/tags/v1.0",
        "sha": "6e5a2c0f" * 5,
        "run": "1",
        "environment": "release",
    },
    pins={"repository_owner_id": "9919"},
    publishers=("publisher-1",),
    run_url=RUN,
    token_hash="1f2e3d4c5b6a",
)


@dataclass
class SigningRegistry:
    """A registry `acme` whose index `send` asks; ``asked`` has every request, in order."""

    signer: TestSigner = field(default_factory=TestSigner)
    replies: dict[str, Reply | Exception] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    needs: str | None = None

    def __post_init__(self) -> None:
        self.serve(KEYS_URL, json.dumps(self.keys().document()).encode())

    def keys(self, host: str = HOST, registry: str | None = None) -> KeyDocument:
        return self.signer.published(host, registry)

    def receipt(self, file: Distribution, **changes: Any) -> Receipt:
        """Return what the registry says of a file of `widgets 1.0`."""
        receipt = Receipt(
            filename=file.filename,
            sha256=file.sha256,
            size=len(file.content),
            host=HOST,
            registry="acme",
            project="widgets",
            version="1.0",
            uploaded_at=NOW,
            signed_at=NOW,
            publication=JOB,
        )
        return replace(receipt, **changes)

    def sign(self, receipt: Receipt) -> bytes:
        return self.envelope(receipt.write())

    def envelope(self, payload: bytes) -> bytes:
        envelope = Envelope(payload, self.signer.sign(b""))
        return replace(envelope, signature=self.signer.sign(envelope.signed_bytes)).write()

    def serve(self, url: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.replies[url] = Reply(status, "", headers, body)

    def publish(self, file: Distribution, **changes: Any) -> None:
        """Serve a file's receipt."""
        receipt = self.receipt(file, **changes)
        self.serve(url_of(file, "receipt", receipt.version), self.sign(receipt))

    def show(
        self, project: str, *files: Distribution, attested: Collection[Distribution] = ()
    ) -> None:
        """Serve the page of a project, whose files came one second after the other.

        It links the provenance of those that are ``attested``.
        """
        listed = [
            {
                "filename": file.filename,
                "hashes": {"sha256": file.sha256},
                "upload-time": write_time(NOW + timedelta(seconds=number)),
                **({"provenance": f"{BASE}/of/{file.filename}"} if file in attested else {}),
            }
            for number, file in enumerate(files)
        ]
        self.serve(f"{INDEX}{project}/", json.dumps({"files": listed}).encode())

    def send(self, request: Request) -> Reply:
        self.asked.append(request)
        if not request.url.startswith(f"https://{HOST}/") and request.url not in self.replies:
            raise UnreachableError("it cannot be reached")
        found = self.replies.get(request.url, Reply(404, "Not Found"))
        if isinstance(found, Exception):
            raise found
        if self.needs and "/.well-known/" not in request.url:
            return found if request.authorization.reveal() == self.needs else Reply(401)
        return found

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.asked]


def url_of(file: Distribution, what: str, version: str = "1.0") -> str:
    """Return where the index has something about a file of `widgets`."""
    return f"{BASE}/integrity/widgets/{version}/{file.filename}/{what}"


def put(folder: Path, file: Distribution) -> Path:
    """Write a distribution into a folder."""
    path = folder / file.filename
    path.write_bytes(file.content)
    return path


def pylock(*packages: Mapping[str, Any]) -> str:
    """Return a lock file with these packages; a value of TOML is written as JSON is."""
    lines = ['lock-version = "1.0"', 'created-by = "test"', "packages = ["]
    lines += [f"  {_inline(package)}," for package in packages]
    return "\n".join([*lines, "]", ""])


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_inline(v)}" for name, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


def locked(file: Distribution, **changes: Any) -> dict[str, Any]:
    """Return a wheel as a lock file has it."""
    url = f"https://files.example.com/{file.filename}"
    return {"url": url, "hashes": {"sha256": file.sha256}} | changes
