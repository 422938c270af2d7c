"""The clients of the demo: uv, pip, requests of our own, and what the broker logged of them."""

import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.http import paths

if TYPE_CHECKING:
    from pytp_broker.demo.issuer import Issuer
    from pytp_broker.demo.packages import TinyPackage
    from pytp_broker.demo.process import ServerProcess
    from pytp_broker.demo.sigstore import Sigstore
    from pytp_broker.demo.sigstore_authority import Identity

# Files in the folder of the demo: the keys of receipts, and who signs certificates for jobs.
KEYS: Final = "keys.json"
TRUSTED_ROOT: Final = "trusted_root.json"

_CLIENT_SECONDS: Final = 60
_WIDTH: Final = 110


class StepError(Exception):
    """A step of the story went wrong."""


class Clients:
    """The issuer, the Sigstore, the server and the packages, and clients that work with them."""

    def __init__(
        self, folder: Path, issuer: "Issuer", sigstore: "Sigstore", server: "ServerProcess"
    ) -> None:
        self.issuer = issuer
        self.sigstore = sigstore
        self.server = server
        self._folder = folder
        self._seen = {"access": 0, "exchange": 0}

    def _job(self, repository: str, **changes: str) -> dict[str, str]:
        from pytp_broker.demo.issuer import github_job

        return self.issuer.start_job(**github_job(repository, **changes))

    def _package(self, registry: str) -> "TinyPackage":
        from pytp_broker.demo.packages import TinyPackage

        return TinyPackage(f"hello-{registry}", greeting=f"hello from {registry}")

    def _uv_publish(
        self,
        registry: str,
        environment: Mapping[str, str],
        *,
        succeeds: bool,
        identity: "Identity | None" = None,
    ) -> str:
        """Publish a wheel and an sdist, and if the job has an identity, their attestations."""
        files = self._package(registry).build(self._folder / "dist")
        attestations = () if identity is None else [self._attest(each, identity) for each in files]
        url = paths.LEGACY.url(f"{self.server.url}/{registry}")
        command = (uv(), "publish", "--publish-url", url, *map(str, (*files, *attestations)))
        if "GITHUB_ACTIONS" in environment:
            command = (*command, "--trusted-publishing", "always")
        return self._run(*command, environment=environment, succeeds=succeeds)

    def _identity(self, repository: str) -> "Identity":
        """Return the identity by which the Sigstore knows a job of a repository."""
        from pytp_broker.demo.issuer import github_job
        from pytp_broker.demo.sigstore_authority import github

        server = self.issuer.url.replace("http:", "https:")
        return github({**github_job(repository), "iss": self.issuer.url}, server)

    def _attest(self, file: Path, identity: "Identity") -> Path:
        """Let a job sign a file; return the attestation, which is beside the file."""
        from pytp_broker.demo.sigstore import statement

        said = statement(file.name, hashlib.sha256(file.read_bytes()).hexdigest())
        attestation = file.with_name(f"{file.name}.publish.attestation")
        made = self.sigstore.attestation(said, identity, at=datetime.now(UTC))
        attestation.write_text(json.dumps(made))
        return attestation

    def _run(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        succeeds: bool = True,
    ) -> str:
        done = subprocess.run(  # noqa: S603 - uv, pip and the package
            command,
            env=_clean_environment(self._folder, self.server.ca_file) | dict(environment or {}),
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=_CLIENT_SECONDS,
            check=False,
        )
        if (done.returncode == 0) is not succeeds:
            last_line = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise StepError(f"{Path(command[0]).name} exited {done.returncode}: {last_line}")
        return done.stdout or done.stderr

    def _greet(self, package: "TinyPackage", target: Path) -> list[str]:
        said = self._run(sys.executable, str(target / f"{package.module}.py")).strip()
        if said != package.greeting:
            raise StepError(f"the installed package printed {said!r}")
        self._traffic({HTTPStatus.OK})
        return [f'python {package.module}.py: "{said}"']

    def _audience(self, registry: str) -> str:
        return str(self._ask(paths.AUDIENCE.url(f"/{registry}"))[1]["audience"])

    def _mint(self, registry: str, identity_token: str) -> tuple[int, Any]:
        return self._ask(paths.MINT.url(f"/{registry}"), {"token": identity_token})

    def _ask(self, path: str, document: Mapping[str, str] | None = None) -> tuple[int, Any]:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.server.url + path, body)  # noqa: S310 - our own https
        context = ssl.create_default_context(cafile=self.server.ca_file)
        try:
            with urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            ).open(request, timeout=_CLIENT_SECONDS) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def _keep(self, path: str, file: Path) -> None:
        """Write into a file what the server has at a path."""
        status, document = self._ask(path)
        if status != HTTPStatus.OK:
            raise StepError(f"{path} was answered {status}")
        file.write_text(json.dumps(document))

    def _verify(self, file: Path, *, succeeds: bool) -> Mapping[str, Any]:
        """Verify a file by what was kept in `dist`; return what the command says of it."""
        command = (sys.executable, "-m", "pytp_broker.cli", "verify", "--json", str(file))
        options = ("--receipt", "dist", "--keys", KEYS, "--trusted-root", TRUSTED_ROOT)
        verdict: dict[str, Any]
        (verdict,) = json.loads(self._run(*command, *options, succeeds=succeeds))["files"]
        return verdict

    def _traffic(self, expected: set[HTTPStatus]) -> list[str]:
        """Return the requests since the last call; the last one must have an expected status."""
        requests = self._new_events("access")
        if not requests or requests[-1]["status"] not in expected:
            raise StepError(f"expected {sorted(expected)}, saw {_describe(requests)}")
        return _describe(requests)

    def _reason(self) -> str:
        """Return why the last exchange was refused: a sentence of the broker's audit record."""
        exchanges = self._new_events("exchange")
        if not exchanges or exchanges[-1]["outcome"] != "refused":
            raise StepError("the exchange was not refused")
        reason, detail = exchanges[-1]["reason"], exchanges[-1]["detail"].partition(". ")[0]
        text = f"{reason}: {detail}"
        return textwrap.fill(
            text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False, max_lines=3
        )

    def _new_events(self, name: str) -> list[dict[str, Any]]:
        events = self.server.events(name)
        new = events[self._seen[name] :]
        self._seen[name] = len(events)
        return new


def _describe(requests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each request; equal requests in a row share one."""
    counts: dict[str, int] = {}
    for request in requests:
        path = re.sub(r"[0-9a-f]{64}", lambda digest: digest[0][:8] + "…", request["path"])
        line = f"{request['method']:4} {path:68} {request['status']}"
        counts[line] = counts.get(line, 0) + 1
    return [line if count == 1 else f"{line} (x{count})" for line, count in counts.items()]


def uv() -> str:
    """Return the path of uv."""
    from uv import find_uv_bin

    return find_uv_bin()


def _clean_environment(folder: Path, ca_file: str | None) -> dict[str, str]:
    """Return an environment without secrets, proxies or a user's configuration."""
    return {
        "HOME": str(folder),
        "NO_COLOR": "1",
        "PATH": os.defpath,
        "SSL_CERT_FILE": str(ca_file),
        "UV_CACHE_DIR": str(folder / "cache"),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
