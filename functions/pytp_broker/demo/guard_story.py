"""The story of `pytp-broker demo --guard pypiserver`: another index takes a registry's tokens."""

import hashlib
import os
import secrets
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.demo.clients import Clients, StepError, uv
from pytp_broker.demo.packages import TinyPackage
from pytp_broker.demo.story import Step, play_steps
from pytp_broker.http import paths

if TYPE_CHECKING:
    from pytp_broker.demo.issuer import Issuer
    from pytp_broker.demo.process import ServerProcess
    from pytp_broker.demo.sigstore import Sigstore

_PYPISERVER: Final = "pypiserver>=2.4"
_CLIENT: Final = "pypiserver"
_REPOSITORY: Final = "octo-org/widgets"
_INSTALL_SECONDS: Final = 120
_WIDTH: Final = 110
_CONFIGURATION: Final = """\
[[issuers]]
url = "{issuer}"
provider = "github"

[[registries]]
name = "acme"
issuers = ["{issuer}"]
[[registries.publishers]]
projects = ["hello-acme"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
environment = "release"
[[registries.introspection_clients]]
id = "pypiserver"
secret_sha256 = "{secret}"
"""


def play() -> bool:
    """Play the story; say whether every step went as it should. The first that did not ends it."""
    began = time.monotonic()
    with ExitStack() as stack:
        stage = _set_up(stack)
        return play_steps(_story(stage), stage, {"acme": _REPOSITORY}, began)


def _story(stage: "GuardStage") -> list[Step]:
    return [
        ("pypiserver is installed, and runs behind its guard", stage.say_where),
        ("uv publishes to pypiserver with a token of its job", stage.publish),
        ("without a token, uv installs nothing from pypiserver", stage.install_without_token),
        ("with a token, uv installs from pypiserver", stage.install_with_token),
        ("a file of another project is refused", stage.publish_foreign_file),
        ("a burned token is refused at once", stage.use_burned_token),
    ]


def _set_up(stack: ExitStack) -> "GuardStage":
    from pytp_broker.demo.issuer import Issuer
    from pytp_broker.demo.process import ServerProcess
    from pytp_broker.demo.sigstore import Sigstore

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pytp-broker-demo-")))
    issuer = stack.enter_context(Issuer())
    secret, config = secrets.token_urlsafe(32), folder / "broker.toml"
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    config.write_text(_CONFIGURATION.format(issuer=issuer.url, secret=hashed))
    server = stack.enter_context(ServerProcess(config, folder / "server.log"))
    url = stack.enter_context(_guarded_pypiserver(folder, server, secret))
    return GuardStage(folder, issuer, Sigstore(), server, url)


@contextmanager
def _guarded_pypiserver(folder: Path, server: "ServerProcess", secret: str) -> Iterator[str]:
    """Install pypiserver from its package and run it behind the guard; yield its address."""
    library, packages = folder / "pypiserver", folder / "packages"
    packages.mkdir()
    target = ("--quiet", "--python", sys.executable, "--target", str(library))
    _install(uv(), "pip", "install", *target, _PYPISERVER)
    variables = {
        "PYTHONPATH": os.pathsep.join(
            [*filter(None, [os.environ.get("PYTHONPATH")]), str(library)]
        ),
        "PYTP_GUARD_REGISTRY": f"{server.url}/acme/",
        "PYTP_GUARD_CLIENT": _CLIENT,
        "PYTP_GUARD_SECRET": secret,
        "REQUESTS_CA_BUNDLE": str(server.ca_file),
        "NO_PROXY": "*",
    }
    command = (sys.executable, "-m", "pytp_broker.guards.pypiserver", "--packages", str(packages))
    with (folder / "guard.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            (*command, "--port", "0"),
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is piped
            url = process.stdout.readline().strip()
            if not url:
                raise StepError(f"the guard does not start: {(folder / 'guard.log').read_text()}")
            yield url
        finally:
            process.terminate()


def _install(*command: str) -> None:
    done = subprocess.run(  # noqa: S603 - uv
        command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
    )
    if done.returncode:
        raise StepError(f"pypiserver cannot be installed: {done.stderr.strip()}")


class GuardStage(Clients):
    """Every step of the story."""

    def __init__(
        self,
        folder: Path,
        issuer: "Issuer",
        sigstore: "Sigstore",
        server: "ServerProcess",
        url: str,
    ) -> None:
        super().__init__(folder, issuer, sigstore, server)
        self._url = url

    def say_where(self) -> list[str]:
        """Say where the guard listens."""
        return [f"python -m pytp_broker.guards.pypiserver   listens at {self._url}"]

    def publish(self) -> list[str]:
        """Let `run` exchange the job's identity, publish with uv, and burn the token."""
        files = self._package("acme").build(self._folder / "dist")
        registry = paths.LEGACY.url(f"{self.server.url}/acme")
        run = (sys.executable, "-m", "pytp_broker.cli", "run", "--url", registry, "--")
        command = (uv(), "publish", "--publish-url", self._url, *map(str, files))
        environment = {**self._job(_REPOSITORY), "NO_PROXY": "*"}
        self._run(*run, *command, environment=environment)
        return [
            f"pytp-broker run --url {registry} -- uv publish --publish-url {self._url}",
            f"pypiserver has {', '.join(sorted(self._stored()))}",
        ]

    def install_without_token(self) -> list[str]:
        """Try to install from pypiserver without a token."""
        said = self._run(*self._uv_install("nothing"), succeeds=False)
        if "401" not in said:
            raise StepError(f"uv was not asked for a token: {_last_line(said)}")
        return ["401, with WWW-Authenticate: Basic"]

    def install_with_token(self) -> list[str]:
        """Install with a token that may read."""
        package, target = self._package("acme"), self._folder / "site"
        name = "UV_INDEX_GUARDED"
        credentials = {f"{name}_USERNAME": "__token__", f"{name}_PASSWORD": self._token()}
        self._run(*self._uv_install("site"), environment=credentials)
        return self._greet(package, target)

    def publish_foreign_file(self) -> list[str]:
        """Publish another project with a token for `hello-acme`."""
        files = TinyPackage("hello-umbrella").build(self._folder / "foreign")
        return [self._refused(self._token(), files)]

    def use_burned_token(self) -> list[str]:
        """Publish a new version with a token that is burned."""
        token = self._token()
        self._ask(paths.BURN.url("/acme"), {"token": token})
        files = TinyPackage("hello-acme", version="2.0.0").build(self._folder / "later")
        return [self._refused(token, files)]

    def _refused(self, token: str, files: tuple[Path, ...]) -> str:
        """Return why the guard refuses files, as uv says it; nothing of them may be stored."""
        command = (uv(), "publish", "--publish-url", self._url, *map(str, files))
        before = self._stored()
        token_variable = {"UV_PUBLISH_TOKEN": token}
        said = self._run(*command, environment=token_variable, succeeds=False)
        if self._stored() != before:
            raise StepError("a refused file was stored")
        return _last_line(said)

    def _stored(self) -> set[str]:
        return {path.name for path in (self._folder / "packages").iterdir()}

    def _token(self) -> str:
        _, answer = self._mint("acme", self.issuer.token(aud=self._audience("acme")))
        return str(answer["token"])

    def _uv_install(self, folder: str) -> tuple[str, ...]:
        options = ("--no-cache", "--python", sys.executable, "--target", str(self._folder / folder))
        index = ("--default-index", f"guarded={self._url}simple/")
        return (uv(), "pip", "install", *options, *index, "hello-acme")


def _last_line(said: str) -> str:
    """Return the last line of what a client printed, as it fits on the screen."""
    line = said.strip().splitlines()[-1].strip()
    return textwrap.fill(line, _WIDTH, subsequent_indent="      ", max_lines=3)
