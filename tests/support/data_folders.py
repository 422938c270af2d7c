"""The data folder of a broker on one machine, with files, keys and tokens, as `serve` leaves it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytp_broker.content import Held
from pytp_broker.local.backups.manifest import MANIFEST
from pytp_broker.local.certificates import issue_certificate
from pytp_broker.local.key_folder import KeyFolder
from pytp_broker.storage.data_folder import open_data_folder
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import attestations_key, keys_of, receipt_key
from tests.support import samples
from tests.support.samples import NOW


class DataFolder:
    """A data folder; ``publish`` adds a file to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        issue_certificate(path / "tls", ["x.example.com"], NOW)
        with open_data_folder(path) as storage:
            storage.store.apply(samples.configuration(), [samples.publisher()])
            storage.store.save_receipt_key(KeyFolder(path).make(NOW), None)

    def publish(self, name: str = "1.0", **changes: Any) -> PublishedFile:
        """Store a file with its receipt and its attestations, then its record."""
        content = f"the bytes of {name}".encode()
        filename = f"widgets-{name}.tar.gz"
        file = samples.file(
            filename,
            version=name,
            sha256=digest(content),
            receipt_sha256=digest(b"receipt"),
            attestations_sha256=digest(b"attestations"),
            **changes,
        )
        receipt = receipt_key("acme", digest(b"receipt"), filename)
        attestations = attestations_key("acme", digest(b"attestations"), filename)
        with open_data_folder(self.path) as storage:
            for key, octets in (
                (keys_of(file)[0], content),
                (keys_of(file)[1], b"metadata"),
                (receipt, b"receipt"),
                (attestations, b"attestations"),
            ):
                storage.files.save(key, Held(octets), digest(octets))
            storage.store.add_file(file)
        return file

    def stored(self, key: str) -> Path:
        """Return where the bytes under a key are."""
        return self.path / "files" / key

    def state(self) -> dict[str, object]:
        """Return what a reader and an operator see."""
        return state_of(self.path)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def state_of(path: Path) -> dict[str, object]:
    """Return the files with their bytes, the configuration and the keys of a data folder."""
    with open_data_folder(path) as storage:
        found = {}
        for file in storage.store.list_files("acme", "widgets"):
            with storage.files.open(keys_of(file)[0]) as content:
                found[file.filename] = bytes(content.read_at(0, content.size))
        configuration = storage.store.load_configuration()
        return {
            "files": found,
            "configuration": replace(configuration, identity_tokens_from=None),
            "keys": storage.store.list_receipt_keys(),
            "private": sorted(p.read_bytes() for p in (path / "receipt-keys").glob("*.pem")),
        }


def change_manifest(folder: Path, **members: Any) -> None:
    """Write other members into the manifest of a backup."""
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))
