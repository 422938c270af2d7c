"""The story of `pytp-broker demo`: real uv, real tokens, a broker and its index."""

import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.demo.screen import Screen
from pytp_broker.http import paths

if TYPE_CHECKING:
    from pytp_broker.demo.issuer import Issuer
    from pytp_broker.demo.packages import TinyPackage
    from pytp_broker.demo.process import ServerProcess

_CLIENT_SECONDS: Final = 60
_WIDTH: Final = 110
_REPOSITORIES: Final = {"acme": "octo-org/widgets", "umbrella": "umbrella-corp/gadgets"}
_MASK: Final = "::add-mask::"
_CONFIGURATION: Final = """\
[[issuers]]
url = "{issuer}"
provider = "github"

[[registries]]
name = "acme"
issuers = ["{issuer}"]
access = "public"
[[registries.publishers]]
projects = ["hello-acme"]
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
workflow = "release.yml"
environment = "release"

[[registries]]
name = "umbrella"
issuers = ["{issuer}"]
access = "public"
[[registries.publishers]]
projects = ["hello-umbrella"]
[registries.publishers.github]
repository = "umbrella-corp/gadgets"
repository_owner_id = "9919"
workflow = "release.yml"
"""


class StepError(Exception):
    """A step of the story went wrong."""


def play() -> bool:
    """Play the story; say whether every step went as it should. The first that did not ends it."""
    screen = Screen(is_coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    began = time.monotonic()
    with ExitStack() as stack:
        stage = _set_up(stack)
        screen.begin(stage.issuer.url, stage.server.url, _REPOSITORIES)
        played = _play(_story(stage), screen)
    screen.end(played, time.monotonic() - began)
    return all(played)


def _set_up(stack: ExitStack) -> "Stage":
    from pytp_broker.demo.issuer import Issuer
    from pytp_broker.demo.process import ServerError, ServerProcess

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pytp-broker-demo-")))
    issuer = stack.enter_context(Issuer())
    config = folder / "broker.toml"
    config.write_text(_CONFIGURATION.format(issuer=issuer.url))
    try:
        server = stack.enter_context(ServerProcess(config, folder / "server.log"))
    except ServerError as error:
        raise StepError(f"the broker does not start: {error}") from None
    return Stage(folder, issuer, server)


Step = tuple[str, Callable[[], list[str]]]


def _story(stage: "Stage") -> list[Step]:
    return [
        ("acme: uv publishes a wheel and an sdist", lambda: stage.publish("acme")),
        ("acme: uv installs the package, and it runs", lambda: stage.install_with_uv("acme")),
        ("umbrella: uv publishes", lambda: stage.publish("umbrella")),
        ("umbrella: pip installs", lambda: stage.install_with_pip("umbrella")),
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


class Stage:
    """The issuer, the server and the packages, with every step of the story."""

    def __init__(self, folder: Path, issuer: "Issuer", server: "ServerProcess") -> None:
        self.issuer = issuer
        self.server = server
        self._folder = folder
        self._masked: dict[str, str] = {}
        self._seen = {"access": 0, "exchange": 0}

    # Steps that must succeed

    def publish(self, registry: str) -> list[str]:
        """Let a job of the trusted repository publish with uv."""
        job = self._job(_REPOSITORIES[registry])
        output = self._uv_publish(registry, job, succeeds=True)
        self._masked[registry] = output.partition(_MASK)[2].partition("\n")[0]
        return self._traffic({HTTPStatus.OK, HTTPStatus.ACCEPTED})

    def install_with_uv(self, registry: str) -> list[str]:
        """Install the package with uv and run it."""
        package, target = self._package(registry), self._folder / f"site-{registry}"
        options = ("--python", sys.executable, "--target", str(target))
        index = paths.PROJECTS.url(f"{self.server.url}/{registry}")
        self._run(_uv(), "pip", "install", *options, "--index-url", index, package.name)
        return [f"uv pip install --index-url {index} {package.name}", *self._greet(package, target)]

    def install_with_pip(self, registry: str) -> list[str]:
        """Install the package with pip, where there is one, and run it."""
        if find_spec("pip") is None:
            return self.install_with_uv(registry)
        package, target = self._package(registry), self._folder / f"site-{registry}"
        options = ("--isolated", "--quiet", "--disable-pip-version-check", "--no-cache-dir")
        trust = ("--cert", str(self.server.ca_file), "--target", str(target))
        index = paths.PROJECTS.url(f"{self.server.url}/{registry}")
        pip = (sys.executable, "-m", "pip", "install")
        self._run(*pip, *options, *trust, "--index-url", index, package.name)
        return [f"pip install --index-url {index} {package.name}", *self._greet(package, target)]

    # Steps that the broker must refuse

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
        return [*self._traffic({HTTPStatus.UNPROCESSABLE_ENTITY})[-2:], self._reason()]

    # Tools of the steps

    def _job(self, repository: str, **changes: str) -> dict[str, str]:
        from pytp_broker.demo.issuer import github_job

        return self.issuer.start_job(**github_job(repository, **changes))

    def _package(self, registry: str) -> "TinyPackage":
        from pytp_broker.demo.packages import TinyPackage

        return TinyPackage(f"hello-{registry}", greeting=f"hello from {registry}")

    def _uv_publish(self, registry: str, environment: Mapping[str, str], *, succeeds: bool) -> str:
        files = self._package(registry).build(self._folder / "dist")
        url = paths.LEGACY.url(f"{self.server.url}/{registry}")
        command = (_uv(), "publish", "--publish-url", url, *map(str, files))
        if "GITHUB_ACTIONS" in environment:
            command = (*command, "--trusted-publishing", "always")
        return self._run(*command, environment=environment, succeeds=succeeds)

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
        return done.stdout

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

    def _traffic(self, expected: set[HTTPStatus]) -> list[str]:
        """Return the requests since the last call; the last one must have an expected status."""
        requests = self._new_events("access")
        if not requests or requests[-1]["status"] not in expected:
            raise StepError(f"expected {sorted(expected)}, saw {_describe(requests)}")
        return _describe(requests)

    def _reason(self) -> str:
        """Return why the last exchange was refused, from the broker's audit record."""
        exchanges = self._new_events("exchange")
        if not exchanges or exchanges[-1]["outcome"] != "refused":
            raise StepError("the exchange was not refused")
        reason, detail = exchanges[-1]["reason"], exchanges[-1]["detail"]
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


def _uv() -> str:
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
