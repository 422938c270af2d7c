"""The story of `pytp-broker demo`: real uv, real tokens, a broker and its index."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.demo.clients import KEYS, TRUSTED_ROOT, Clients, StepError, uv
from pytp_broker.demo.screen import Screen
from pytp_broker.http import paths

if TYPE_CHECKING:
    from pytp_broker.demo.issuer import Issuer
    from pytp_broker.demo.process import ServerProcess
    from pytp_broker.demo.sigstore import Sigstore

_REPOSITORIES: Final = {"acme": "octo-org/widgets", "umbrella": "umbrella-corp/gadgets"}
_MASK: Final = "::add-mask::"
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
[[registries.readers]]
[registries.readers.github]
owner = "octo-org"
repository_owner_id = "9919"

[[registries]]
name = "umbrella"
issuers = ["{issuer}"]
access = "public"
require_attestations = true
[[registries.publishers]]
projects = ["hello-umbrella"]
[registries.publishers.github]
repository = "umbrella-corp/gadgets"
repository_owner_id = "9919"
workflow = "release.yml"
"""


def play() -> bool:
    """Play the story; say whether every step went as it should. The first that did not ends it."""
    began = time.monotonic()
    with ExitStack() as stack:
        stage = _set_up(stack)
        return play_steps(_story(stage), stage, _REPOSITORIES, began)


def play_steps(
    story: list["Step"], clients: Clients, repositories: Mapping[str, str], began: float
) -> bool:
    """Show a story step by step; say whether every step went as it should."""
    screen = Screen(is_coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    screen.begin(clients.issuer.url, clients.server.url, repositories)
    played = _play(story, screen)
    screen.end(played, time.monotonic() - began)
    return all(played)


def _set_up(stack: ExitStack) -> "Stage":
    from pytp_broker.demo.issuer import Issuer
    from pytp_broker.demo.process import ServerError, ServerProcess
    from pytp_broker.demo.sigstore import Sigstore

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pytp-broker-demo-")))
    issuer = stack.enter_context(Issuer())
    config = folder / "broker.toml"
    config.write_text(_CONFIGURATION.format(issuer=issuer.url))
    sigstore = Sigstore()
    root = sigstore.write_trusted_root(folder / TRUSTED_ROOT)
    options = ("--trusted-root", str(root))
    try:
        server = stack.enter_context(ServerProcess(config, folder / "server.log", *options))
    except ServerError as error:
        raise StepError(f"the broker does not start: {error}") from None
    return Stage(folder, issuer, sigstore, server)


Step = tuple[str, Callable[[], list[str]]]


def _story(stage: "Stage") -> list[Step]:
    return [
        ("acme: uv publishes a wheel and an sdist", lambda: stage.publish("acme")),
        ("acme is private: without a token, uv installs nothing", stage.install_without_token),
        ("acme: another job of the owner installs with a read token", stage.install_as_reader),
        # As acme, but for the attestations.
        (
            "umbrella: uv publishes, with the attestations that umbrella requires",
            lambda: stage.publish("umbrella")[2:3],
        ),
        ("umbrella is public: pip installs without a token", stage.install_with_pip),
        ("offline, receipt and attestation prove who published the wheel", stage.verify_offline),
        ("a burned upload token is refused", stage.use_burned_token),
        ("acme's upload token is refused at umbrella", stage.use_token_elsewhere),
        ("another repository's job is refused", stage.publish_as_stranger),
        ("another workflow of the repository is refused", stage.publish_from_other_workflow),
        ("an identity token that was used is refused", stage.replay),
    ]


def _play(story: list[Step], screen: Screen) -> list[bool]:
    played: list[bool] = []
    for title, play in story:
        try:
            lines = play()
        except (StepError, OSError, subprocess.SubprocessError) as error:
            screen.show(title, [str(error)], passed=False)
            return [*played, False]
        screen.show(title, lines, passed=True)
        played.append(True)
    return played


class Stage(Clients):
    """Every step of the story."""

    def __init__(
        self, folder: Path, issuer: "Issuer", sigstore: "Sigstore", server: "ServerProcess"
    ) -> None:
        super().__init__(folder, issuer, sigstore, server)
        self._masked: dict[str, str] = {}

    # Steps that must succeed

    def publish(self, registry: str) -> list[str]:
        """Let a job of the trusted repository sign its files, and publish them with uv."""
        repository = _REPOSITORIES[registry]
        identity = self._identity(repository)
        output = self._uv_publish(registry, self._job(repository), succeeds=True, identity=identity)
        self._masked[registry] = output.partition(_MASK)[2].partition("\n")[0]
        return self._traffic({HTTPStatus.OK, HTTPStatus.ACCEPTED})

    def install_as_reader(self) -> list[str]:
        """Let a job that may read, and publish nothing, install with a read token."""
        from pytp_broker.demo.issuer import github_job

        job = github_job("octo-org/app", workflow="test.yml", environment=None)
        identity_token = self.issuer.token(aud=self._audience("acme"), **job)
        status, answer = self._ask(paths.MINT_READ.url("/acme"), {"token": identity_token})
        if status != HTTPStatus.OK:
            raise StepError(f"the exchange for a read token was answered {status}")
        minted = self._traffic({HTTPStatus.OK})[-1:]
        return [*minted, *self.install_with_uv("acme", answer["token"])]

    def install_with_uv(self, registry: str, token: str = "") -> list[str]:
        """Install the package with uv, with a token if there is one, and run it."""
        package, target = self._package(registry), self._folder / f"site-{registry}"
        command = self._uv_install(registry, target)
        self._run(*command, environment=_credentials(registry, token))
        return [" ".join(("uv", *command[1:3], *command[-3:])), *self._greet(package, target)]

    def install_with_pip(self) -> list[str]:
        """Install a public package with pip, where there is one, and run it."""
        if find_spec("pip") is None:
            return self.install_with_uv("umbrella")
        package, target = self._package("umbrella"), self._folder / "site-umbrella"
        options = ("--isolated", "--quiet", "--disable-pip-version-check", "--no-cache-dir")
        trust = ("--cert", str(self.server.ca_file), "--target", str(target))
        index = paths.PROJECTS.url(f"{self.server.url}/umbrella")
        pip = (sys.executable, "-m", "pip", "install")
        self._run(*pip, *options, *trust, "--index-url", index, package.name)
        return [f"pip install --index-url {index} {package.name}", *self._greet(package, target)]

    def verify_offline(self) -> list[str]:
        """Prove who published a wheel, by what was kept of it; a changed wheel must fail."""
        wheel = self._keep_proofs("umbrella")
        changed = self._folder / wheel.name
        changed.write_bytes(wheel.read_bytes() + b"more")
        verified = self._verify(wheel, succeeds=True)
        refused = self._verify(changed, succeeds=False)
        if self._new_events("access"):
            raise StepError("the registry was asked")
        claims = verified["receipt"]["publication"]["claims"]
        attested = f"attestations: {verified['attestations']['status']}"
        return [
            f"pytp-broker verify {wheel.name} --keys {KEYS} --trusted-root {TRUSTED_ROOT}",
            f"{claims['workflow']}, commit {claims['sha'][:7]}",
            f"{attested}; the same wheel, changed: {refused['reason']}",
        ]

    def _keep_proofs(self, registry: str) -> Path:
        """Keep a wheel's receipt and provenance beside it, and the keys; return the wheel."""
        package = self._package(registry)
        (wheel,) = (self._folder / "dist").glob(f"{package.module}-*.whl")
        place = {"project": package.name, "version": package.version, "filename": wheel.name}
        for kind, path in {"receipt": paths.RECEIPT, "provenance": paths.PROVENANCE}.items():
            beside = wheel.with_name(f"{wheel.name}.{kind}")
            self._keep(path.url(f"/{registry}", **place), beside)
        self._keep(paths.RECEIPT_KEYS.url(""), self._folder / KEYS)
        self._traffic({HTTPStatus.OK})
        return wheel

    def _uv_install(self, registry: str, target: Path) -> tuple[str, ...]:
        options = ("--python", sys.executable, "--target", str(target))
        index = paths.PROJECTS.url(f"{self.server.url}/{registry}")
        name = self._package(registry).name
        return (uv(), "pip", "install", *options, "--default-index", f"{registry}={index}", name)

    # Steps that the broker must refuse

    def install_without_token(self) -> list[str]:
        """Try to install from the private registry without a token."""
        self._run(*self._uv_install("acme", self._folder / "nothing"), succeeds=False)
        return self._traffic({HTTPStatus.UNAUTHORIZED})

    def use_burned_token(self) -> list[str]:
        """Upload with the token that uv has used and burned."""
        self._uv_publish("acme", {"UV_PUBLISH_TOKEN": self._masked["acme"]}, succeeds=False)
        return self._traffic({HTTPStatus.UNAUTHORIZED})

    def use_token_elsewhere(self) -> list[str]:
        """Upload to another registry than the token is for."""
        _, answer = self._mint("acme", self.issuer.token(aud=self._audience("acme")))
        self._uv_publish("umbrella", {"UV_PUBLISH_TOKEN": answer["token"]}, succeeds=False)
        return self._traffic({HTTPStatus.FORBIDDEN})[-1:]

    def publish_as_stranger(self) -> list[str]:
        """Let a job of an unknown repository try to publish."""
        self._uv_publish("acme", self._job("octo-org/somebody-elses"), succeeds=False)
        return [*self._traffic({HTTPStatus.UNPROCESSABLE_ENTITY})[-1:], self._reason()]

    def publish_from_other_workflow(self) -> list[str]:
        """Let a job of the right repository, but of the wrong workflow, try to publish."""
        job = self._job(_REPOSITORIES["acme"], workflow="test.yml")
        self._uv_publish("acme", job, succeeds=False)
        return [*self._traffic({HTTPStatus.UNPROCESSABLE_ENTITY})[-1:], self._reason()]

    def replay(self) -> list[str]:
        """Exchange one identity token twice."""
        identity_token = self.issuer.token(aud=self._audience("acme"))
        first, _ = self._mint("acme", identity_token)
        second, _ = self._mint("acme", identity_token)
        if (first, second) != (HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY):
            raise StepError(f"answered {first} and {second}")
        return [*self._traffic({HTTPStatus.UNPROCESSABLE_ENTITY})[-1:], self._reason()]


def _credentials(registry: str, token: str) -> dict[str, str]:
    """Return uv's variables for the credentials of an index of this name."""
    name = f"UV_INDEX_{registry.upper()}"
    return {f"{name}_USERNAME": "__token__", f"{name}_PASSWORD": token} if token else {}
