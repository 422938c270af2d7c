"""Two registries side by side: `pytp-broker serve` and peryx, with one issuer and one certificate.

peryx (https://github.com/tox-dev/peryx) speaks PyPI's Trusted Publishing, too. `make bench`
installs it into `.venv-peers`.
"""

import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trustme

from pytp_broker.demo.issuer import github_job
from pytp_broker.demo.process import ServerProcess
from tests.support.configurations import github_publisher, registry
from tests.support.misbehaving import MisbehavingIssuer
from tests.support.ports import free_port
from tests.support.released import ROOT
from tests.support.signing import github_claims

PERYX: Final = ROOT / ".venv-peers" / "bin" / "peryx"
AUDIENCE: Final = "acme"
_START_SECONDS: Final = 60
_PERYX_CONFIGURATION: Final = """
[tls]
cert = "{certificate}"
key = "{private_key}"

[auth]
signing_key_file = "{signing_key}"
token_ttl_secs = 900
oidc_audience = "{audience}"

[[auth.trusted_publisher]]
id = "widgets"
issuer = "{issuer}"
repository = "hosted"
subject = "repo:octo-org/widgets:*"
projects = ["widgets"]

[auth.trusted_publisher.claims]
repository_owner_id = "9919"
environment = "release"

[[index]]
ecosystem = "pypi"
name = "hosted"
hosted = true
"""


class PeerIssuer(MisbehavingIssuer):
    """An issuer over https that says what peryx wants to read, and signs jobs of now."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context)
        document = {
            "issuer": self.url,
            "jwks_uri": self.jwks_url,
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        self.documents[self.discovery_url] = json.dumps(document).encode()

    def identity(self, **changes: Any) -> str:
        """Return the identity token of a release job; peryx refuses what is of the future."""
        claims = github_claims(datetime.now(UTC), **{**github_job(), "iss": self.url})
        issued_at = int(time.time()) - 1
        times = {"iat": issued_at, "nbf": issued_at, "exp": issued_at + 900}
        return self.sign({**claims, **times, "aud": AUDIENCE, **changes})


@dataclass
class Ours:
    """`pytp-broker serve` with a public registry."""

    folder: Path
    issuer: PeerIssuer
    name: str = "pytp-broker"
    url: str = ""
    ca_file: str = ""
    mint: str = "/acme/_/oidc/mint-token"
    legacy: str = "/acme/legacy/"
    simple: str = "/acme/simple/{}/"
    _server: ServerProcess | None = None

    @property
    def pid(self) -> int:
        assert self._server
        assert self._server._process
        return self._server._process.pid

    def start(self) -> None:
        config = self.folder / "broker.toml"
        issuer = f'[[issuers]]\nurl = "{self.issuer.url}"\nprovider = "github"\n'
        issuer += 'ca_file = "issuer-ca.pem"\nprivate = true\n'
        publisher = github_publisher("widgets", repository_owner_id="9919", environment="release")
        settings = {"audience": AUDIENCE, "access": "public", "refusals_per_minute": 1_000_000}
        config.write_text(
            issuer + registry("acme", publisher, issuers=[self.issuer.url], **settings)
        )
        data = ("--data", str(self.folder / "data"))
        self._server = ServerProcess(config, self.folder / "serve.log", *data)
        self._server.__enter__()
        self.url, self.ca_file = self._server.url, str(self._server.ca_file)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def fill(self, folder: Path) -> None:
        program = (sys.executable, "-m", "pytp_broker.cli", "import", "--registry", "acme")
        where = ("--from-folder", str(folder), "--data", str(self.folder / "data"))
        subprocess.run((*program, *where), check=True, capture_output=True)


@dataclass
class Peryx:
    """`peryx serve` with a hosted index that anybody may read."""

    folder: Path
    issuer: PeerIssuer
    tls: Path
    name: str = "peryx"
    url: str = ""
    ca_file: str = ""
    mint: str = "/_/oidc/mint-token"
    legacy: str = "/hosted/"
    simple: str = "/hosted/simple/{}/"
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        key = self.folder / "signing-key"
        if not key.exists():
            key.write_text(secrets.token_hex(32))
        text = _PERYX_CONFIGURATION.format(
            certificate=self.tls / "server.pem",
            private_key=self.tls / "server.key",
            signing_key=key,
            audience=AUDIENCE,
            issuer=self.issuer.url,
        )
        (self.folder / "peryx.toml").write_text(text)
        with (self.folder / "peryx.log").open("ab") as log:
            self._process = subprocess.Popen(
                (PERYX, "serve", "--port", str(self.port), *self._options),
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self.url, self.ca_file = f"https://127.0.0.1:{self.port}", str(self.tls / "ca.pem")
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def restart(self) -> None:
        self.stop()
        self.start()

    def fill(self, folder: Path) -> None:
        command = (str(PERYX), "import-dir", *self._options, "hosted", str(folder))
        subprocess.run(command, env=self._environment, check=True, capture_output=True)

    @property
    def _options(self) -> tuple[str, ...]:
        return (
            *("--config", str(self.folder / "peryx.toml")),
            *("--data-dir", str(self.folder / "data")),
        )

    @property
    def _environment(self) -> dict[str, str]:
        trusted = str(self.folder.parent / "ours" / "issuer-ca.pem")
        return {**os.environ, "SSL_CERT_FILE": trusted, "NO_PROXY": "*"}

    def _wait(self) -> None:
        assert self._process
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self.folder / "peryx.log").read_text()[-3000:])


@contextmanager
def side_by_side(folder: Path) -> Iterator[tuple[Ours, Peryx]]:
    """Run both registries; they have an issuer and a certificate in common."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    for name in ("ours", "peryx"):
        (folder / name).mkdir()
    authority.cert_pem.write_to_path(str(folder / "ours" / "issuer-ca.pem"))
    with ExitStack() as stack:
        issuer = stack.enter_context(PeerIssuer(context))
        ours = Ours(folder / "ours", issuer)
        ours.start()
        stack.callback(ours.stop)
        peryx = Peryx(folder / "peryx", issuer, folder / "ours" / "data" / "tls")
        peryx.start()
        stack.callback(peryx.stop)
        yield ours, peryx
