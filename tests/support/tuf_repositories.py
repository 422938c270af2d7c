"""A repository of TUF without a network, which publishes a trusted root of Sigstore."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from securesystemslib.signer._crypto_signer import CryptoSigner
from tuf.api._payload import MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata
from tuf.ngclient.fetcher import FetcherInterface

URL: Final = "https://tuf.example.com"
_ROLES: Final = ("root", "timestamp", "snapshot", "targets")


@dataclass
class Repository(FetcherInterface):
    """Signs metadata with one key, and answers an updater as its server would."""

    signer: Any = field(default_factory=CryptoSigner.generate_ed25519)
    version: int = 0
    lifetime: timedelta = timedelta(days=7)
    documents: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def __post_init__(self) -> None:
        root = Root(version=1, expires=_end(timedelta(days=365)), consistent_snapshot=True)
        for role in _ROLES:
            root.add_key(self.signer.public_key, role)
        self.root = self._sign(root)

    def publish(self, trusted_root: bytes | None, name: str = "trusted_root.json") -> None:
        """Publish a trusted root, or none, as the next version."""
        self.version += 1
        targets = Targets(version=self.version, expires=_end(self.lifetime))
        if trusted_root is not None:
            target = TargetFile.from_data(name, trusted_root, ["sha256"])
            targets.targets[name] = target
            self.documents[f"targets/{target.hashes['sha256']}.{name}"] = trusted_root
        snapshot = Snapshot(version=self.version, expires=_end(self.lifetime))
        snapshot.meta["targets.json"] = MetaFile(version=self.version)
        timestamp = Timestamp(version=self.version, expires=_end(self.lifetime))
        timestamp.snapshot_meta = MetaFile(version=self.version)
        self.documents |= {
            f"{self.version}.targets.json": self._sign(targets),
            f"{self.version}.snapshot.json": self._sign(snapshot),
            "timestamp.json": self._sign(timestamp),
        }

    def _sign(self, signed: Any) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self.signer)
        return metadata.to_bytes()

    def _fetch(self, url: str) -> Iterator[bytes]:
        assert url.startswith(f"{URL}/"), url
        self.asked.append(url)
        if self.down:
            raise OSError("the network is unreachable")
        document = self.documents.get(url.removeprefix(f"{URL}/"))
        if document is None:
            raise DownloadHTTPError("not found", 404)
        return iter([document])


def _end(lifetime: timedelta) -> datetime:
    return (datetime.now(UTC) + lifetime).replace(microsecond=0)
