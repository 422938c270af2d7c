"""Slow and rude clients of a soak, and real uv and twine."""

import contextlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from uv import find_uv_bin

from pytp_broker.demo.issuer import github_job
from tests.soak.jobs import Jobs, facts_of
from tests.soak.journal import Entry
from tests.soak.memory import Sent, build
from tests.soak.site import REPOSITORIES, STEADY
from tests.support.distributions import CONTENT_TYPE, Distribution, form

_RESET: Final = struct.pack("ii", 1, 0)
_TIMEOUT_SECONDS: Final = 120


@dataclass
class RudeClients:
    """What a client does that has no manners, or no luck."""

    jobs: Jobs

    def say_nothing(self, chance: Random) -> None:
        """Connect, and leave after a while."""
        self._leave(b"", chance, is_tls=chance.random() < 0.5)

    def send_half_a_head(self, chance: Random) -> None:
        head = b"POST /acme/legacy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
        self._leave(head[: chance.randrange(len(head))], chance)

    def send_rubbish(self, chance: Random) -> None:
        self._leave(chance.randbytes(chance.randrange(1, 3000)), chance, is_tls=False)

    def leave_in_the_middle(self, chance: Random) -> None:
        """Begin an upload with a good token, and leave before its end."""
        minted = self.jobs.memory.live.any(chance)
        if minted is None:
            return
        version = self.jobs.memory.version()
        file = build(minted.project, version, chance)[0]
        body = form(file)
        sent = body[: chance.randrange(1, len(body) - 1)]
        lines = (
            "POST /acme/legacy/ HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {minted.token}",
            f"Content-Type: {CONTENT_TYPE}",
            f"Content-Length: {len(body)}",
        )
        head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
        self._leave(head + sent, chance, **facts_of(minted.project, version, file))

    def read_slowly(self, chance: Random) -> None:
        """Ask for a page many times on one connection, and read a little of the answers."""
        token = self.jobs.memory.reading.any(chance) or "none"
        request = (
            "GET /acme/simple/widgets/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        )
        self._leave(request.encode() * 50, chance)

    def _leave(self, octets: bytes, chance: Random, *, is_tls: bool = True, **facts: Any) -> None:
        """Send this, wait a little, and close the connection or reset it."""
        begin = time.time()
        with contextlib.suppress(OSError), self._connect(is_tls=is_tls) as connection:
            connection.sendall(octets)
            time.sleep(chance.uniform(0, 3))
            if chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.jobs.world.journal.write(Entry("rude", begin, time.time(), facts=facts))

    def _connect(self, *, is_tls: bool) -> socket.socket:
        url = urlsplit(self.jobs.world.site.url)
        plain = socket.create_connection((str(url.hostname), url.port), timeout=20)
        if not is_tls:
            return plain
        context = ssl.create_default_context(cafile=self.jobs.world.site.ca_file)
        return context.wrap_socket(plain, server_hostname=url.hostname)


@dataclass
class Tools:
    """Real upload clients, each in a job of its own."""

    jobs: Jobs

    def uv(self, chance: Random) -> None:
        """Publish with `uv publish`, which exchanges and burns by itself."""
        project = chance.choice(STEADY)
        variables = self.jobs.world.issuer.start_job(**github_job(REPOSITORIES[project]))
        command = (find_uv_bin(), "publish", "--trusted-publishing", "always", "--publish-url")
        self._publish("uv", project, chance, command, variables)

    def twine(self, chance: Random) -> None:
        """Publish with twine and a token of the job."""
        project = chance.choice(STEADY)
        with self.jobs.world.visit(chance) as visit:
            minted = self.jobs.mint(visit, project)
            if minted is None:
                return
            command = (
                *(sys.executable, "-m", "twine", "upload", "--non-interactive"),
                *("--disable-progress-bar", "--repository-url"),
            )
            variables = {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": minted.token}
            self._publish("twine", project, chance, command, variables)
            self.jobs.burn(visit, minted)

    def _publish(
        self,
        tool: str,
        project: str,
        chance: Random,
        command: tuple[str, ...],
        variables: dict[str, str],
    ) -> None:
        version = self.jobs.memory.version()
        files = build(project, version, chance)
        with tempfile.TemporaryDirectory(dir=self.jobs.world.site.folder) as name:
            paths = [_write(Path(name), file) for file in files]
            begin = time.time()
            status, said = self._run(
                (*command, f"{self.jobs.world.site.url}/acme/legacy/", *paths),
                Path(name),
                variables,
            )
        facts = {"files": {file.filename: file.sha256 for file in files}, "project": project}
        facts |= {"version": version, "said": said}
        self.jobs.world.journal.write(Entry(f"tool {tool}", begin, time.time(), status, facts))
        if status == 0:
            for file in files:
                self.jobs.memory.sent.add(Sent(project, version, file))

    def _run(
        self, command: tuple[str, ...], folder: Path, variables: dict[str, str]
    ) -> tuple[int | None, str]:
        ca_file = self.jobs.world.site.ca_file
        base = {
            "HOME": str(folder),
            "NO_COLOR": "1",
            "NO_PROXY": "*",
            "PATH": os.defpath,
            "REQUESTS_CA_BUNDLE": ca_file,
            "SSL_CERT_FILE": ca_file,
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
        try:
            ended = subprocess.run(
                command,
                env=base | variables,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, "it did not end"
        return ended.returncode, (ended.stdout + ended.stderr)[-600:] if ended.returncode else ""


def _write(folder: Path, file: Distribution) -> str:
    path = folder / file.filename
    path.write_bytes(file.content)
    return str(path)
