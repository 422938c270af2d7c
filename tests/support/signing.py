"""An issuer without a network: it signs identity tokens and answers `fetch`."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.oidc.documents import FetchError
from tests.support.claims import captured

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
GITHUB = "https://token.actions.githubusercontent.com"
ABSENT = object()


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a private key that stays the same for the whole test run: making one is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_jwk(private_key: Any, key_id: str, **members: Any) -> dict[str, Any]:
    kind = (
        jwt.algorithms.RSAAlgorithm
        if isinstance(private_key, rsa.RSAPrivateKey)
        else jwt.algorithms.ECAlgorithm
    )
    jwk = kind.to_jwk(private_key.public_key(), as_dict=True)
    return {**jwk, "kid": key_id, "use": "sig", **members}


def segment(content: object) -> str:
    """Return a segment of a token: of these bytes, or of a document."""
    octets = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sign_segments(header: str, payload: str, key: rsa.RSAPrivateKey | None = None) -> str:
    """Return a token whose RS256 signature is good, over any two segments at all."""
    signed = f"{header}.{payload}"
    signature = (key or rsa_key("key-1")).sign(signed.encode(), PKCS1v15(), SHA256())
    return f"{signed}.{segment(signature)}"


def sign_raw(payload: bytes | None = None, **members: Any) -> str:
    """Return a token with a good signature over this payload and these members of its header."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "key-1", **members}
    present = {name: value for name, value in header.items() if value is not ABSENT}
    body = json.dumps(github_claims()).encode() if payload is None else payload
    return sign_segments(segment(present), segment(body))


def github_claims(now: datetime = NOW, **changes: Any) -> dict[str, Any]:
    """Return what GitHub Actions signs for a release job, with these claims changed."""
    seconds = int(now.timestamp())
    claims = {
        **captured("github"),
        "aud": "acme",
        "iat": seconds,
        "nbf": seconds - 5,
        "exp": seconds + 300,
        "jti": str(uuid4()),
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ABSENT}


@dataclass
class Issuer:
    """Signs tokens for one issuer URL and serves its documents to a `KeySets`."""

    url: str = GITHUB
    keys: dict[str, Any] = field(default_factory=lambda: {"key-1": rsa_key("key-1")})
    fetched: list[str] = field(default_factory=list)
    down: bool = False
    documents: dict[str, bytes | Exception] = field(default_factory=dict)

    @property
    def discovery_url(self) -> str:
        return f"{self.url}/.well-known/openid-configuration"

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/.well-known/jwks"

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        key_id: str = "key-1",
        key: Any = None,
        algorithm: str = "RS256",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the claims as a signed token; a header member set to None is left out."""
        headers = {"kid": key_id, **(header or {})}
        signing_key = key if key is not None else self.keys[key_id]
        payload = json.dumps(dict(claims)).encode()  # jwt.encode would mend what we want broken
        return jwt.PyJWS().encode(payload, signing_key, algorithm=algorithm, headers=headers)

    def token(self, now: datetime = NOW, **changes: Any) -> str:
        """Return a GitHub Actions token with these claims changed."""
        return self.sign(github_claims(now, **{"iss": self.url, **changes}))

    def serve(self, keys: Iterable[Mapping[str, Any]]) -> None:
        """Publish exactly these raw keys."""
        self.documents[self.jwks_url] = json.dumps({"keys": list(keys)}).encode()

    def fetch(self, url: str) -> bytes:
        """Answer as the issuer's web server would; anything else is a failed test."""
        self.fetched.append(url)
        if self.down:
            raise FetchError("down")
        answer = self.documents[url] if url in self.documents else self._default(url)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _default(self, url: str) -> bytes:
        if url == self.discovery_url:
            return json.dumps({"issuer": self.url, "jwks_uri": self.jwks_url}).encode()
        assert url == self.jwks_url, f"unexpected fetch of {url}"
        return json.dumps({"keys": [public_jwk(k, i) for i, k in self.keys.items()]}).encode()
