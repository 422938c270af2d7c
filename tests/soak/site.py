"""The server under test: `serve` over TLS on a data folder, killed, started again and reloaded."""

import hashlib
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Final

from pytp_broker.demo.process import ServerProcess
from tests.soak.journal import Entry, Journal
from tests.support.configurations import github_issuer, github_publisher, github_reader, registry
from tests.support.ports import free_port

STEADY: Final = ("widgets", "gadgets", "gizmos")
# A project whose publisher the operator removes and adds again.
CHANGING: Final = "sprockets"
REPOSITORIES: Final = {name: f"octo-org/{name}" for name in (*STEADY, CHANGING)}
INTROSPECTION_CLIENT: Final = ("devpi", "the secret of another index")
# Longer than a soak, so that a token is dead at its end because it was burned.
TOKEN_SECONDS: Final = 21600


class Site:
    """A server on a data folder; every start, kill and reload is in the journal."""

    def __init__(self, folder: Path, issuer_url: str, journal: Journal) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.backups = folder / "backup"
        self.log = folder / "server.log"
        self.config = folder / "broker.toml"
        self.url = ""
        self.ca_file = ""
        self.starts = 0
        self._issuer_url = issuer_url
        self._journal = journal
        self._port = free_port()
        self._server: ServerProcess | None = None
        self._turn = Lock()  # one of kill, reload and sample at a time

    def configure(self, *, with_changing: bool) -> None:
        """Write the configuration; the server sees it when it is applied or starts."""
        changing = (CHANGING,) if with_changing else ()
        text = _configuration(self._issuer_url, (*STEADY, *changing))
        written = self.config.with_suffix(".new")
        written.write_text(text)
        written.replace(self.config)  # a server that starts now reads one or the other

    def start(self) -> None:
        """Start the server; raise ServerError if it does not start."""
        options = ("--port", str(self._port), "--data", str(self.data))
        self._server = ServerProcess(self.config, self.log, *options)
        self._server.__enter__()
        self.starts += 1
        self.url, self.ca_file = self._server.url, str(self._server.ca_file)

    def stop(self) -> None:
        """End the server as an operator does."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """Kill the server while it works, and start it again; the journal has when it was away."""
        assert self._server is not None
        with self._turn:
            begin = time.time()
            self._server.stop(signal.SIGKILL)
            self.start()
            self._journal.write(Entry("kill", begin, time.time()))

    def reload(self) -> None:
        """Let the server read its files again."""
        assert self._server is not None
        with self._turn:
            begin = time.time()
            self._server.send(signal.SIGHUP)
            self._journal.write(Entry("reload", begin, time.time()))

    def sample(self) -> None:
        """Note how much memory and how many open files the server has, and its processor time."""
        with self._turn:
            if self._server is None or self._server._process is None:
                return
            process = Path(f"/proc/{self._server._process.pid}")
            now = time.time()
            facts = {
                "start": self.starts,
                "kibibytes": _resident(process),
                "files": len(list((process / "fd").iterdir())),
                "processor_ticks": _ticks(process),
            }
        self._journal.write(Entry("sample", now, now, facts=facts))

    @property
    def database(self) -> Path:
        return self.data / "broker.sqlite3"

    def is_database_whole(self) -> bool:
        """Let SQLite check its file and all references in it."""
        with closing(sqlite3.connect(self.database)) as connection:
            checked = connection.execute("PRAGMA integrity_check").fetchall()
            return (
                checked == [("ok",)]
                and not connection.execute("PRAGMA foreign_key_check").fetchall()
            )


def _configuration(issuer: str, projects: tuple[str, ...]) -> str:
    name, secret = INTROSPECTION_CLIENT
    digest = hashlib.sha256(secret.encode()).hexdigest()
    publishers = [github_publisher(p, repository=REPOSITORIES[p]) for p in projects]
    client = f'[[registries.introspection_clients]]\nid = "{name}"\nsecret_sha256 = "{digest}"\n'
    return github_issuer(issuer) + registry(
        "acme",
        *publishers,
        github_reader(),
        client,
        audience="acme",
        issuers=[issuer],
        token_lifetime=TOKEN_SECONDS,
        refusals_per_minute=1_000_000,
    )


def _resident(process: Path) -> int:
    (line,) = (
        line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS:")
    )
    return int(line.split()[1])


def _ticks(process: Path) -> int:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
