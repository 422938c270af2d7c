"""A stand-in for GitHub Actions on this machine: it signs real tokens, over real HTTP.

The demo and the end-to-end tests use it. It publishes discovery and key set, and answers the
request that a running job sends for its identity token. It signs tokens for any job, so use it on
loopback only.
"""

import json
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import time
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

LIFETIME_SECONDS: Final = 300
_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_JWKS_PATH: Final = "/.well-known/jwks"
_JOB_PATH: Final = "/actions/idtoken"
_SHA: Final = "8c7d3f1a0b9e2d4c6f8a1b3c5d7e9f0a2b4c6d8e"


def github_job(
    repository: str = "octo-org/widgets",
    *,
    workflow: str = "release.yml",
    environment: str | None = "release",
    ref: str = "refs/tags/v1.0.0",
    owner_id: str = "9919",
) -> dict[str, Any]:
    """Return the claims that GitHub Actions signs for a job of this repository.

    Claims that depend on each other agree, as in a real token.
    """
    workflow_ref = f"{repository}/.github/workflows/{workflow}@{ref}"
    context = f"environment:{environment}" if environment else f"ref:{ref}"
    claims = {
        "sub": f"repo:{repository}:{context}",
        "ref": ref,
        "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
        "ref_protected": "true",
        "sha": _SHA,
        "repository": repository,
        "repository_id": "70107786",
        "repository_owner": repository.partition("/")[0],
        "repository_owner_id": owner_id,
        "repository_visibility": "private",
        "actor": "octocat",
        "actor_id": "583231",
        "workflow": workflow.partition(".")[0],
        "workflow_ref": workflow_ref,
        "workflow_sha": _SHA,
        "job_workflow_ref": workflow_ref,
        "job_workflow_sha": _SHA,
        "environment": environment,
        "event_name": "push",
        "head_ref": "",
        "base_ref": "",
        "run_id": "11855712345",
        "run_number": "42",
        "run_attempt": "1",
        "runner_environment": "github-hosted",
    }
    return {name: value for name, value in claims.items() if value is not None}


class Issuer:
    """An issuer of identity tokens that listens inside a ``with`` block.

    ``requests`` lists every request that it received, as ``GET /path?query``, and ``issued`` lists
    every token that it has signed.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.issued: list[str] = []
        self.audience = "pytp"
        self._jobs: dict[str, Mapping[str, Any]] = {}
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self._lock = Lock()
        self._server: ThreadingHTTPServer | None = None
        self.rotate()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None  # noqa: S101 - __enter__ made it
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Return the URL that tokens give as their issuer."""
        if self._server is None:
            raise RuntimeError(
                "the issuer is not listening: use it inside `with Issuer() as issuer:`"
            )
        return f"http://127.0.0.1:{self._server.server_port}"

    def rotate(self, *, keep: int = 1) -> str:
        """Sign with a new key from now on and return its id; keep publishing the last old keys."""
        key_id = uuid4().hex
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        with self._lock:
            last = list(self._keys.items())[-keep:] if keep else []
            self._keys = dict([*last, (key_id, key)])
        return key_id

    def token(self, **changes: object) -> str:
        """Return a signed token of a GitHub job with these claims changed; None removes a claim."""
        now = int(time())
        claims = {
            "jti": str(uuid4()),
            "iss": self.url,
            "aud": self.audience,
            "iat": now,
            "nbf": now - LIFETIME_SECONDS,
            "exp": now + LIFETIME_SECONDS,
            **github_job(),
            **changes,
        }
        with self._lock:
            key_id, key = list(self._keys.items())[-1]
        present = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(present, key, algorithm="RS256", headers={"kid": key_id})
        self.issued.append(token)
        return token

    def start_job(self, **changes: object) -> dict[str, str]:
        """Return the environment variables with which a job asks for its identity tokens."""
        request_token = secrets.token_urlsafe(24)
        self._jobs[request_token] = changes
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}{_JOB_PATH}?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": request_token,
        }

    def answer(self, target: str, authorization: str) -> tuple[HTTPStatus, Mapping[str, Any]]:
        """Return status and document for a GET request."""
        self.requests.append(f"GET {target}")
        url = urlsplit(target)
        if url.path == _DISCOVERY_PATH:
            return HTTPStatus.OK, self._discovery()
        if url.path == _JWKS_PATH:
            return HTTPStatus.OK, {"keys": self._public_keys()}
        if url.path == _JOB_PATH:
            return self._answer_job(dict(parse_qsl(url.query)), authorization)
        return HTTPStatus.NOT_FOUND, {"message": "Not Found"}

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": self.url + _JWKS_PATH,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }

    def _public_keys(self) -> list[dict[str, Any]]:
        with self._lock:
            keys = list(self._keys.items())
        return [
            {**RSAAlgorithm.to_jwk(k.public_key(), as_dict=True), "kid": i, "use": "sig"}
            for i, k in keys
        ]

    def _answer_job(
        self, query: Mapping[str, str], authorization: str
    ) -> tuple[HTTPStatus, Mapping[str, Any]]:
        scheme, _, request_token = authorization.partition(" ")
        changes = self._jobs.get(request_token)
        if scheme.lower() != "bearer" or changes is None:
            return HTTPStatus.UNAUTHORIZED, {"message": "Unauthorized"}
        audience = query.get("audience", self.audience)
        token = self.token(**{"aud": audience, **changes})
        return HTTPStatus.OK, {"count": len(token), "value": token}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def _handler_for(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, document = issuer.answer(self.path, self.headers.get("Authorization", ""))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Log nothing, because ``requests`` has everything."""

    return Handler
