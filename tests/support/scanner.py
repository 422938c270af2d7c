"""A secret scanner without a network: it signs disclosures and answers `fetch` with its keys."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pytp_broker.oidc.documents import FetchError
from tests.support.signing import ec_key

TYPE = "pytp_broker_upload_token"
# A well-formed token with fixed digits; those of a new token are random.
LEAKED = "pytp_0Xz2RjQm4tYw8Lb3NcE5sH0UgZaP6xKd1VoiW2yB7rTnJqG9hMuF4lAeDkS3vCpX53Nbq07"
URL = "https://github.com/octo-org/widgets/blob/main/release.sh"


def match(token: str, **changes: Any) -> dict[str, Any]:
    return {"token": token, "type": TYPE, "url": URL, "source": "content", **changes}


def feedback(token: str, label: str) -> dict[str, str]:
    token_hash = hashlib.sha256(token.encode()).hexdigest()
    return {"token_hash": token_hash, "token_type": TYPE, "label": label}


def pem(private_key: Any) -> str:
    public_key = private_key.public_key()
    return str(public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@dataclass
class SecretScanner:
    """Signs as GitHub does. `fetched` lists requests; `down` and `document` change answers."""

    keys_url: str = "https://scanning.example.com/keys"
    keys: dict[str, Any] = field(default_factory=lambda: {"scan-1": ec_key("scan-1")})
    fetched: list[str] = field(default_factory=list)
    down: bool = False
    document: bytes | None = None

    def sign(self, body: bytes, key_id: str = "scan-1", key: Any = None) -> Mapping[str, str]:
        """Return the headers of a signed request."""
        private_key = key or self.keys[key_id]
        signature = private_key.sign(body, ECDSA(SHA256()))
        return {
            "github-public-key-identifier": key_id,
            "github-public-key-signature": base64.b64encode(signature).decode(),
        }

    def public_keys(self) -> list[dict[str, Any]]:
        return [
            {"key_identifier": key_id, "key": pem(key), "is_current": key_id == list(self.keys)[-1]}
            for key_id, key in self.keys.items()
        ]

    def fetch(self, url: str) -> bytes:
        assert url == self.keys_url, f"unexpected fetch of {url}"
        self.fetched.append(url)
        if self.down:
            raise FetchError("down")
        if self.document is not None:
            return self.document
        return json.dumps({"public_keys": self.public_keys()}).encode()
